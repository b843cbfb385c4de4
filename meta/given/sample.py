"""The rows that a user gives: a labelled sample and an evaluation sample."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelledSample:
    """Labelled rows: `labels` (n,) int64, indices into `label_names`; `rows` (n,) their positions
    in the user's file."""

    texts: tuple[str, ...]
    labels: np.ndarray
    label_names: tuple[str, ...]
    text_pair: tuple[str, ...] | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positions(self) -> np.ndarray:
        """(n,) int64: `rows`, or 0..n-1."""
        return np.arange(len(self)) if self.rows is None else self.rows

    @property
    def keys(self) -> list[tuple[str, str]]:
        """What makes two rows the same: their texts, up to case and white space."""
        return _keys(self.texts, self.text_pair)

    def take(self, index: np.ndarray) -> "LabelledSample":
        """The rows at `index`."""
        texts, pair = _take(self.texts, index), _take(self.text_pair, index)
        return LabelledSample(
            texts or (), self.labels[index], self.label_names, pair, self.positions[index]
        )


NOT_LABELLED = -1
"""In `EvalSample.labels`: no label is given."""


@dataclass(frozen=True)
class EvalSample:
    """Rows that the classifier will meet, unlabelled but for the few whose labels the user wants
    used."""

    texts: tuple[str, ...]
    text_pair: tuple[str, ...] | None = None
    rows: np.ndarray | None = None
    labels: np.ndarray | None = None
    """(m,) int64: an index into the labelled sample's `label_names`, their number for a class it
    lacks, or NOT_LABELLED."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positions(self) -> np.ndarray:
        """(m,) int64: `rows`, or 0..m-1."""
        return np.arange(len(self)) if self.rows is None else self.rows

    @property
    def keys(self) -> list[tuple[str, str]]:
        """What makes two rows the same: their texts, up to case and white space."""
        return _keys(self.texts, self.text_pair)

    def take(self, index: np.ndarray) -> "EvalSample":
        """The rows at `index`."""
        labels = None if self.labels is None else self.labels[index]
        return EvalSample(
            _take(self.texts, index) or (),
            _take(self.text_pair, index),
            self.positions[index],
            labels,
        )


def _keys(texts: tuple[str, ...], pair: tuple[str, ...] | None) -> list[tuple[str, str]]:
    seconds = pair if pair is not None else ("",) * len(texts)
    return [
        (normalised(text), normalised(second)) for text, second in zip(texts, seconds, strict=True)
    ]


def normalised(text: str) -> str:
    """`text` in lower case, with single spaces."""
    return " ".join(text.casefold().split())


def _take(texts: tuple[str, ...] | None, index: np.ndarray) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts[int(i)] for i in index)
