"""Question 4: which embedding space is best?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from meta.metric import Metric
from meta.priors.encoders import OTHER_KIND
from meta.report.compared_spaces import ForecastSpace
from meta.report.space_plots import ranking
from meta.report.wording import hundredths, percent, space_words
from meta.schema import AnswersContent, UntriedBasis

MAX_RANKED = 10
"""Spaces drawn; the table has all."""
NAMED_CHANCE = 0.4
"""With more labels a space is called the favourite only where it has at least this chance to be the
best one."""
SURE_KIND = 0.5
"""The kind of the task is named where it is at least as probable as this."""


def sentence(answers: AnswersContent, names: Mapping[str, str]) -> str:
    """The space with the best forecast, its probability to be the best one, and the likeliest
    encoder that was not tried."""
    n_compared = len(answers.encoders) + len(answers.screened)
    best = answers.encoders[0]
    name = space_words(best.encoder, best.view, names)
    if n_compared == 1:
        return f"{name}, was the only one given: name more encoders to compare.{_untried(answers)}"
    return (
        f"{name}, is the best space of the {n_compared} compared with probability"
        f" {percent(best.p_best)}, and within {hundredths(answers.metric).half} of the best with"
        f" {percent(best.p_within_tolerance)}.{_untried(answers)}"
    )


def _untried(answers: AnswersContent) -> str:
    """The likeliest encoder that was not tried; empty where none is likely to be better."""
    basis = answers.untried_basis
    alike = {f"hf:{name}" for name in basis.called_alike.values()} if basis else set()
    new = [each for each in answers.untried if each.encoder not in alike]
    if not new:
        return ""
    tasks = ""
    if basis is not None:
        language = "English" if basis.language == "english" else "languages other than English"
        tasks = f" on {basis.tasks} tasks in {language}"
    return (
        f" Not tried, and by published results{tasks} better with probability"
        f" {percent(new[0].p_beats_best_tried)}: {new[0].encoder}."
    )


def kind_words(basis: UntriedBasis) -> str:
    """Which kind of task the sample seems to be of, as a sentence."""
    kind, share = max(basis.kinds.items(), key=lambda item: item[1])
    if share < SURE_KIND:
        return (
            "The labels and texts do not tell the kind of the task, so published tasks of all kinds"
            " count."
        )
    if kind == OTHER_KIND:
        return (
            f"By its labels and texts the task is none of sentiment, toxicity, topic and intent"
            f" (probability {percent(share)}), so published tasks of no kind count most."
        )
    return (
        f"By its labels and texts this is {'an' if kind == 'intent' else 'a'} {kind} task"
        f" (probability {percent(share)}), so the {basis.tasks_of_kind} published ones of that kind"
        " count most."
    )


def reliability_words(answers: AnswersContent) -> str:
    """How often statements like the first one came true, as a sentence; empty where that was not
    measured."""
    basis = answers.untried_basis
    if basis is None or not basis.reliability or not answers.untried:
        return ""
    said = answers.untried[0].p_beats_best_tried
    alike = min(basis.reliability, key=lambda row: abs(row.said - said))
    return (
        f"On published tasks that were held back, statements with a probability of about"
        f" {percent(alike.said)} came true in {percent(alike.came)} of the cases"
        f" ({alike.families} families of tasks)."
    )


@dataclass(frozen=True)
class RankingView:
    """What the section shows."""

    plot: Markup
    n_drawn: int
    """Spaces in the picture."""
    later_favourite: ForecastSpace | None
    """The space that is likely the best with 16 times the labels, where it is another than now."""
    untried_notes: list[str]
    """Sentences on what the list of untried encoders rests on."""


def view(answers: AnswersContent, spaces: Sequence[ForecastSpace], metric: Metric) -> RankingView:
    """The section's content. `spaces` are those with a forecast, the best first."""
    drawn = spaces[:MAX_RANKED]
    now = max(spaces, key=lambda space: space.p_best)
    later = max(spaces, key=lambda space: space.p_best_16x)
    has_changed = later is not now and later.p_best_16x >= NAMED_CHANCE
    return RankingView(
        plot=ranking(drawn, metric),
        n_drawn=len(drawn),
        later_favourite=later if has_changed else None,
        untried_notes=_untried_notes(answers),
    )


def _untried_notes(answers: AnswersContent) -> list[str]:
    """What the list of untried encoders rests on: the kind of the task, which of the tried encoders
    are known, and how often such statements came true."""
    basis = answers.untried_basis
    if basis is None:
        return []
    known = [
        f"{ref} is known as {name}."
        for ref, name in basis.known.items()
        if ref.rpartition("/")[2].rpartition(":")[2] != name.rpartition("/")[2]
    ]
    alike = [
        f"{ref} is called like {name}, but its weights are not known here: it is judged by its size"
        " and by what it reached on your rows."
        for ref, name in basis.called_alike.items()
    ]
    return [
        note for note in (kind_words(basis), *known, *alike, reliability_words(answers)) if note
    ]
