"""Labels that contradict each other: rows with one text, or nearly one, and several labels."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from meta.given.sample import LabelledSample


@dataclass(frozen=True)
class Conflict:
    """A labelled row whose text occurs with another label at least as often."""

    row: int
    """Position in the user's file."""
    text: str
    given: str
    """The row's label."""
    other: str
    """The most frequent other label of the text."""
    share_given: float
    """Share of the rows with this text that have the given label."""
    is_same_text: bool = True
    """Whether the other rows have the same text; otherwise they are near-copies of it."""


def same_text_conflicts(train: LabelledSample) -> list[Conflict]:
    """The rows whose text has more than one label, without those that have its most frequent
    label."""
    rows_of_text: dict[tuple[str, str], list[int]] = defaultdict(list)
    for row, key in enumerate(train.keys):
        rows_of_text[key].append(row)
    found = []
    for rows in rows_of_text.values():
        labels = train.labels[rows]
        if len(np.unique(labels)) < 2:
            continue
        counts = np.bincount(labels, minlength=len(train.label_names))
        for row, label in zip(rows, labels, strict=True):
            others = np.where(np.arange(len(counts)) == label, -1, counts)
            other = int(others.argmax())
            if counts[label] > counts[other]:
                continue  # the most frequent label of this text is taken to be right
            share, position = float(counts[label] / counts.sum()), int(train.positions[row])
            found.append(
                Conflict(
                    position,
                    train.texts[row],
                    train.label_names[label],
                    train.label_names[other],
                    share,
                )
            )
    return found
