"""Makes the splits of a task from all its possible examples: removes duplicates, balances classes,
and limits the number of rows. The same examples always give the same splits."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from probes.tasks.docs.dedup import kept_rows
from probes.tasks.docs.material import water_fill
from probes.tasks.task import Split

SPLIT_SHARES = {"train": 0.65, "validation": 0.10, "test": 0.25}
MAX_ROWS_PER_FILE = 60
"""Largest number of rows that a class takes from one file, so that a few large files do not make up
a class."""
MIN_TRAIN_ROWS = 12
MIN_TEST_ROWS = 4
"""A class with fewer test rows is left out of a task."""

Balance = Literal["labels", "packages", "natural"]
"""`labels`: classes as equal as the material allows. `packages`: also within each package, so that
a package's style does not give the class away. `natural`: the classes' own frequencies."""


class Example(NamedTuple):
    """A possible row of a task."""

    text: str
    label: str
    split: str
    package: str
    file: str
    pair: str | None = None

    @property
    def order(self) -> int:
        """A pseudo-random position that depends on the content alone."""
        return zlib.crc32(
            f"{self.file}\x1e{self.text}\x1e{self.pair}".encode("utf-8", "surrogatepass")
        )


def sample_splits(
    examples: Iterable[Example], label_names: Sequence[str], balance: Balance, max_rows: int
) -> tuple[tuple[str, ...], dict[str, Split]]:
    """The kept label names (in the given order) and the splits, at most `max_rows` rows in all.

    Near duplicates are removed across splits, so that no test row has a copy in train. A class is
    left out when fewer than MIN_TRAIN_ROWS or MIN_TEST_ROWS rows of it remain. With fewer than two
    classes the result is ((), {})."""
    quotas = {split: max(2, round(max_rows * share)) for split, share in SPLIT_SHARES.items()}
    kept = _distinct(_thinned(examples, quotas, balance, len(label_names)))
    by_class: dict[tuple[str, str], list[Example]] = defaultdict(list)
    for example in kept:
        by_class[example.split, example.label].append(example)
    names = tuple(
        name
        for name in label_names
        if len(by_class["train", name]) >= MIN_TRAIN_ROWS
        and len(by_class["test", name]) >= MIN_TEST_ROWS
    )
    if len(names) < 2:
        return (), {}
    splits = {}
    for split, quota in quotas.items():
        groups = {name: by_class[split, name] for name in names}
        chosen = _chosen(groups, quota, balance)
        chosen.sort(key=lambda example: (example.order, example.text))
        if chosen:
            splits[split] = _as_split(chosen, names)
    return names, splits


def _thinned(
    examples: Iterable[Example], quotas: dict[str, int], balance: Balance, n_classes: int
) -> list[Example]:
    """Enough candidates of each split and class, in the order of their content. Looking for
    duplicates among all examples would take minutes."""
    groups: dict[tuple[str, str], list[Example]] = defaultdict(list)
    per_file: dict[tuple[str, str], int] = defaultdict(int)
    for example in sorted(set(examples), key=lambda example: (example.order, example)):
        per_file[example.file, example.label] += 1
        if per_file[example.file, example.label] <= MAX_ROWS_PER_FILE:
            groups[example.split, "" if balance == "natural" else example.label].append(example)
    thinned = []
    for (split, _), group in groups.items():
        quota = quotas[split]
        room = (
            2 * quota
            if balance == "natural"
            else min(2 * quota, quota // 4 + 4 * quota // n_classes)
        )
        thinned.extend(_round_robin(group)[:room] if balance == "labels" else group[:room])
    return thinned


def _distinct(examples: list[Example]) -> list[Example]:
    """The examples without near duplicates of either text. A copy of a test row is removed from
    train."""
    ranked = sorted(
        examples, key=lambda example: ("test", "validation", "train").index(example.split)
    )
    rows = set(kept_rows([example.text for example in ranked]))
    if any(example.pair is not None for example in ranked):
        rows &= set(kept_rows([example.pair or "" for example in ranked]))
    return [ranked[row] for row in sorted(rows)]


def _chosen(groups: dict[str, list[Example]], quota: int, balance: Balance) -> list[Example]:
    if balance == "natural":
        everything = sorted(
            (example for group in groups.values() for example in group),
            key=lambda example: example.order,
        )
        return everything[:quota]
    if balance == "packages":
        groups = _balanced_within_packages(groups)
    shares = water_fill([len(group) for group in groups.values()], quota)
    return [
        example
        for group, n in zip(groups.values(), shares, strict=True)
        for example in _round_robin(group)[:n]
    ]


def _balanced_within_packages(groups: dict[str, list[Example]]) -> dict[str, list[Example]]:
    """From each package as many rows of every class as its rarest class has."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(groups, 0))
    for name, group in groups.items():
        for example in group:
            counts[example.package][name] += 1
    room = {
        name: {package: min(count.values()) for package, count in counts.items()} for name in groups
    }
    balanced: dict[str, list[Example]] = {name: [] for name in groups}
    for name, group in groups.items():
        for example in group:
            if room[name][example.package] > 0:
                room[name][example.package] -= 1
                balanced[name].append(example)
    return balanced


def _round_robin(group: list[Example]) -> list[Example]:
    """One example of each package, then a second one of each, and so on. So no package crowds out
    the others."""
    seen: dict[str, int] = defaultdict(int)
    ranked = []
    for position, example in enumerate(group):
        ranked.append((seen[example.package], position))
        seen[example.package] += 1
    return [group[position] for _, position in sorted(ranked)]


def _as_split(examples: list[Example], names: tuple[str, ...]) -> Split:
    labels = np.array([names.index(example.label) for example in examples], dtype=np.int64)
    pairs = (
        tuple(example.pair or "" for example in examples) if examples[0].pair is not None else None
    )
    return Split(text=tuple(example.text for example in examples), labels=labels, text_pair=pairs)
