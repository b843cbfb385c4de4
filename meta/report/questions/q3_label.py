"""Question 3: what type of data do I need?"""

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from meta.schema import AnswersContent

KINDS = {
    "uncovered region": "of kinds with few or no labels",
    "uncertain": "uncertain",
    "rare class": "likely of a rare class",
    "typical": "typical of many",
}
"""Rows to label next in words, by the reason why they were chosen."""
MANY_SUSPECTS = 0.1
"""Above this share of the labelled rows doubted labels tell of a weak probe, not of weak labels."""
MAX_CLASSES = 12
"""Lines of the table of classes."""


def sentence(answers: AnswersContent) -> str:
    """Which rows to label next, and which labels to check."""
    first, suspects = _label_next(answers), answers.suspect_labels
    if len(suspects) > MANY_SUSPECTS * answers.n_train:
        return (
            f"{first}; the probe disagrees with {len(suspects)} labels, too many to be errors: look"
            " at the first ones only, most are rows that are hard for it."
        )
    if not suspects:
        return f"{first}; no label looks wrong."
    look = "1 label may" if len(suspects) == 1 else f"{len(suspects)} labels may"
    return f"{first}; {look} be wrong and should be checked."


def _label_next(answers: AnswersContent) -> str:
    picks = answers.label_next
    if picks:
        reasons = Counter(pick.reason for pick in picks).most_common()
        rows = f"{len(picks)} proposed rows" if len(picks) > 1 else "proposed row"
        return f"Label the {rows} next ({', '.join(f'{n} {KINDS[why]}' for why, n in reasons)})"
    if answers.label_batch is not None:
        return (
            "The probe hesitates over none of the unlabelled rows, so none is proposed for"
            " labelling"
        )
    if answers.n_eval:
        return "All evaluation rows have a label already, so none can be proposed for labelling"
    return "No unlabelled rows were given, so none can be proposed for labelling"


class ClassRow(NamedTuple):
    """A class with its labelled rows."""

    name: str
    n_rows: int
    share: float
    """Of the rows of the most frequent class."""


def class_rows(counts: Mapping[str, int]) -> list[ClassRow]:
    """The classes, the most frequent first. The rarest of many share a line."""
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) > MAX_CLASSES:
        rest = ordered[MAX_CLASSES - 1 :]
        together = (f"{len(rest)} more classes, together", sum(n for _, n in rest))
        ordered = [*ordered[: MAX_CLASSES - 1], together]
    most = max((n for _, n in ordered), default=1)
    return [ClassRow(name, n, n / max(most, 1)) for name, n in ordered]
