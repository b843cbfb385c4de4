"""The rows that a user gives, as values: a labelled sample and an evaluation sample."""

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class LabelledSample:
    """n labelled rows."""

    texts: tuple[str, ...]
    labels: np.ndarray
    """(n,) int64 indices into `label_names`."""
    label_names: tuple[str, ...]
    text_pair: tuple[str, ...] | None = None
    """The second texts, for a task on pairs of texts."""
    rows: np.ndarray | None = None
    """(n,) int64 positions of the rows in the user's file. None means 0..n-1."""
    groups: np.ndarray | None = None
    """(n,) int64: rows of one group are not independent, so they are held out together. None means
    that every row is independent of the others."""
    times: np.ndarray | None = None
    """(n,) float64: when each row came about, later is larger. None where it is not known."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positions(self) -> np.ndarray:
        """(n,) int64 positions of the rows in the user's file."""
        return np.arange(len(self)) if self.rows is None else self.rows

    @property
    def keys(self) -> list[tuple[str, str]]:
        """A key for each row. Rows with the same key count as the same row: their texts differ at
        most in case and white space."""
        return _keys(self.texts, self.text_pair)

    def take(self, index: np.ndarray) -> "LabelledSample":
        """The sample of the rows at `index` (int64)."""
        texts, pair = _take(self.texts, index), _take(self.text_pair, index)
        return LabelledSample(
            texts or (),
            self.labels[index],
            self.label_names,
            pair,
            self.positions[index],
            None if self.groups is None else self.groups[index],
            None if self.times is None else self.times[index],
        )

    def with_groups(self, groups: np.ndarray | None) -> "LabelledSample":
        """The same rows in `groups` (n,)."""
        return replace(self, groups=groups)


NOT_LABELLED = -1
"""The value in `EvalSample.labels` of a row without a label."""


@dataclass(frozen=True)
class EvalSample:
    """m rows like those that the classifier will meet. They are unlabelled, except for rows whose
    labels the user asked to use."""

    texts: tuple[str, ...]
    text_pair: tuple[str, ...] | None = None
    """The second texts, for a task on pairs of texts."""
    rows: np.ndarray | None = None
    """(m,) int64 positions of the rows in the user's file. None means 0..m-1."""
    labels: np.ndarray | None = None
    """(m,) int64. K is the number of `label_names` of the labelled sample. A label is an index into
    these names, or K for a class that is not among them, or NOT_LABELLED. None: no labels are
    used."""
    groups: np.ndarray | None = None
    """(m,) int64 as in `LabelledSample.groups`, -1 for a group that no labelled row has. None where
    the groups are not known."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def positions(self) -> np.ndarray:
        """(m,) int64 positions of the rows in the user's file."""
        return np.arange(len(self)) if self.rows is None else self.rows

    @property
    def keys(self) -> list[tuple[str, str]]:
        """A key for each row. Rows with the same key count as the same row: their texts differ at
        most in case and white space."""
        return _keys(self.texts, self.text_pair)

    @property
    def is_labelled(self) -> np.ndarray:
        """(m,) bool: whether the user's label of a row is used."""
        return (
            np.zeros(len(self), dtype=bool) if self.labels is None else self.labels != NOT_LABELLED
        )

    def take(self, index: np.ndarray) -> "EvalSample":
        """The sample of the rows at `index` (int64)."""
        labels = None if self.labels is None else self.labels[index]
        return EvalSample(
            _take(self.texts, index) or (),
            _take(self.text_pair, index),
            self.positions[index],
            labels,
            None if self.groups is None else self.groups[index],
        )


def _keys(texts: tuple[str, ...], pair: tuple[str, ...] | None) -> list[tuple[str, str]]:
    """The normalised texts and second texts of each row."""
    seconds = pair if pair is not None else ("",) * len(texts)
    return [
        (normalised(text), normalised(second)) for text, second in zip(texts, seconds, strict=True)
    ]


def normalised(text: str) -> str:
    """`text` in lower case, with single spaces."""
    return " ".join(text.casefold().split())


def _take(texts: tuple[str, ...] | None, index: np.ndarray) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts[int(i)] for i in index)
