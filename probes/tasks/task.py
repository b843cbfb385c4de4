"""A labelled text task as one value, identified by its content."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

PAIR_SEPARATOR = "\x1e"
"""Between the two texts of a pair wherever a pair is hashed (ASCII record separator: does not occur
in text)."""


@dataclass(frozen=True)
class Split:
    """One split of a task: `text` (and `text_pair`, for pair tasks) aligned with `labels` (n,)
    int64, indices into the task's `label_names`; -1 where a row has no label."""

    text: tuple[str, ...]
    labels: np.ndarray
    text_pair: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.text)


@dataclass(frozen=True)
class Task:
    """A classification task. `splits` has at least `train` and `test` (a source without an official
    test split is split once, deterministically, at loading)."""

    name: str
    """The reference it was loaded from, for example `docs/library`."""
    label_names: tuple[str, ...]
    splits: dict[str, Split]
    family: str = ""
    """Tasks of one family share texts or labels; evaluation leaves whole families out. Empty: the
    task is its own family."""
    info: dict[str, str] = field(default_factory=dict)
    """Free facts for people: domain, language, licence, source."""

    @property
    def n_classes(self) -> int:
        return len(self.label_names)

    @property
    def is_pair(self) -> bool:
        return self.splits["train"].text_pair is not None

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits: a hash of the content (texts, labels, label names, split membership and
        order), never of a path."""
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
