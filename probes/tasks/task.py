"""A labelled text task as a value. Its content identifies it."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

PAIR_SEPARATOR = "\x1e"
"""Separates the two texts of a pair where a pair is hashed. It is the ASCII record separator, which
does not occur in text."""


@dataclass(frozen=True)
class Split:
    """One split of a task. `labels` (n,) int64 are indices into the task's `label_names`, or -1
    where a row has no label. `text` has the n texts, and `text_pair` the second texts of a task on
    pairs."""

    text: tuple[str, ...]
    labels: np.ndarray
    text_pair: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Task:
    """A classification task. `splits` has at least `train` and `test`. A source without an official
    test split is split when it is loaded, always in the same way."""

    name: str
    """The reference it was loaded from, for example `docs/library`."""
    label_names: tuple[str, ...]
    splits: dict[str, Split]
    family: str = ""
    """Tasks of one family share texts or labels, and evaluation leaves whole families out. Empty:
    the task is a family of its own."""
    info: dict[str, str] = field(default_factory=dict)
    """Facts for people to read: domain, language, licence, source."""

    @property
    def n_classes(self) -> int:
        return len(self.label_names)

    @property
    def is_pair(self) -> bool:
        return self.splits["train"].text_pair is not None

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits: a hash of the content (texts, labels, label names, splits, order). A path
        is no part of it."""
        sha = hashlib.sha256(repr(self.label_names).encode())
        for split_name in sorted(self.splits):
            split = self.splits[split_name]
            sha.update(f"{split_name}:{len(split)}".encode())
            for row, text in enumerate(split.text):
                pair = split.text_pair[row] if split.text_pair is not None else ""
                sha.update(
                    f"{text}{PAIR_SEPARATOR}{pair}{PAIR_SEPARATOR}".encode("utf-8", "surrogatepass")
                )
            sha.update(np.ascontiguousarray(split.labels, dtype="<i8").tobytes())
        return sha.hexdigest()[:16]
