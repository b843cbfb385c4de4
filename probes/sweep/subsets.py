"""Which training rows a probe sees: pure functions of (task fingerprint, kind, n, seed).

Invariant: subsets of one (task, kind, seed) are nested. The rows at n = 64 begin with the rows at n
= 32, so all points of a learning curve with the same seed are paired. This holds because every
subset is a prefix of one order of all rows.
"""

import hashlib

import numpy as np

KINDS = ("uniform", "stratified", "balanced", "imbalanced", "noisy", "shifted")
"""The kinds of subset:

- `uniform`: rows at random.
- `stratified`: classes in the pool's proportions; every class is present from n >= K on.
- `balanced`: as many rows of each class as its rows allow (k per class at n = k·K).
- `imbalanced:RATIO`: class frequencies fall geometrically to RATIO of the commonest's, in a random
  order of the classes, as far as the rows allow.
- `noisy:RATE`: the stratified rows; each label is replaced with probability RATE (`noisy_labels`).
- `shifted:RATIO`: as `imbalanced`, with clusters of similar texts instead of classes.

The colon and what follows may be left out.
"""
DEFAULTS = {"imbalanced": 0.1, "noisy": 0.1, "shifted": 0.05}
"""The number of a kind when nothing follows its name."""


def parse_kind(kind: str) -> tuple[str, float | None]:
    """The name and the number of a kind, such as `imbalanced:0.02`. The number is None for kinds
    without one. Raises ValueError."""
    name, colon, text = kind.partition(":")
    if name not in KINDS or (colon and name not in DEFAULTS):
        forms = ", ".join(f"{known}[:NUMBER]" if known in DEFAULTS else known for known in KINDS)
        raise ValueError(f"unknown kind of subset {kind!r}; choose {forms}")
    try:
        value = float(text) if colon else DEFAULTS.get(name)
    except ValueError:
        value = -1.0
    if value is not None and not 0 < value <= 1:
        raise ValueError(
            f"kind of subset {kind!r}: what follows the colon must be a number above 0, at most 1"
        )
    return name, value


def subset_rows(
    labels: np.ndarray,
    *,
    task_fingerprint: str,
    kind: str,
    n: int,
    seed: int,
    clusters: np.ndarray | None = None,
) -> np.ndarray:
    """Rows (n,) int64 of a training split with `labels` (N,) int64. Rows with a negative label are
    never drawn. The kind `shifted` needs the rows' `clusters` (N,) int64 (`probes.sweep.clusters`).

    Raises ValueError for an unknown kind, and for n below 1 or above the number of labelled rows.
    """
    name, value = parse_kind(kind)
    if name == "noisy":
        name = "stratified"  # the same rows, so that the noise is all that differs
    labelled = np.flatnonzero(labels >= 0)
    if not 1 <= n <= len(labelled):
        raise ValueError(
            f"a subset of {n} rows of the {len(labelled)} labelled ones cannot be drawn"
        )
    generator = np.random.default_rng(_entropy(task_fingerprint, name, seed))
    shuffled = generator.permutation(labelled)
    if name == "uniform":
        return shuffled[:n]
    if name == "shifted" and clusters is None:
        raise ValueError("a shifted subset is drawn by clusters of the rows; none are given")
    groups = labels if clusters is None or name != "shifted" else clusters
    _, classes, counts = np.unique(groups[shuffled], return_inverse=True, return_counts=True)
    weights = _weights(name, value, counts, generator)
    due = _due_times(classes, weights, every_class_first=name != "shifted")
    return shuffled[np.argsort(due, kind="stable")[:n]]


def subset_labels(
    labels: np.ndarray, *, task_fingerprint: str, kind: str, n_classes: int, seed: int
) -> np.ndarray:
    """`labels` (N,) int64 as a subset of this kind and seed sees them: with errors for `noisy`,
    otherwise unchanged."""
    name, rate = parse_kind(kind)
    if name != "noisy" or rate is None:
        return labels
    return noisy_labels(
        labels, rate=rate, n_classes=n_classes, task_fingerprint=task_fingerprint, seed=seed
    )


def noisy_labels(
    labels: np.ndarray, *, rate: float, n_classes: int, task_fingerprint: str, seed: int
) -> np.ndarray:
    """`labels` (N,) int64, each replaced with probability `rate` by another class at random. The
    result is a pure function of the arguments, and nested in the rate: a label that is wrong at 0.1
    is wrong in the same way at 0.2. Raises ValueError for a rate outside [0, 1]."""
    if not 0 <= rate <= 1:
        raise ValueError(f"label noise is a rate in [0, 1], got {rate}")
    generator = np.random.default_rng(_entropy(task_fingerprint, "label_noise", seed))
    is_wrong = (generator.random(len(labels)) < rate) & (labels >= 0)
    shifts = generator.integers(1, max(n_classes, 2), size=len(labels))
    return np.where(is_wrong, (labels + shifts) % n_classes, labels)


def _entropy(task_fingerprint: str, kind: str, seed: int) -> int:
    """256 bits that depend on every argument, and are the same on every machine."""
    return int.from_bytes(
        hashlib.sha256(f"{task_fingerprint}/{kind}/{seed}".encode()).digest(), "little"
    )


def _weights(
    name: str, value: float | None, counts: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    """(K,) wanted frequency of each class (or cluster), up to a factor."""
    if name == "stratified":
        return counts.astype(np.float64)
    if value is None:
        return np.ones(len(counts))
    rank = generator.permutation(len(counts))
    return value ** (rank / max(len(counts) - 1, 1))


def _due_times(classes: np.ndarray, weights: np.ndarray, *, every_class_first: bool) -> np.ndarray:
    """(N,) the time when each row joins the subset. The j-th row (j = 0, 1, ...) of a class with
    weight w is due at (j + 1/2) / w. So every prefix has its share of each class to within a row.
    With `every_class_first` the first row of each class comes before all second ones."""
    ordinal = np.empty(len(classes))
    for label in range(len(weights)):
        members = np.flatnonzero(classes == label)
        ordinal[members] = np.arange(len(members))
    due = (ordinal + 0.5) / weights[classes]
    return np.where(ordinal == 0, due - due.max() - 1, due) if every_class_first else due
