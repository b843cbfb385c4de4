"""Which training rows a probe sees: pure functions of (task fingerprint, kind, n, seed).

Invariant: subsets of one (task, kind, seed) are nested, the rows at n = 64 begin with the rows at n = 32, so that a learning
curve is paired along its seed. This holds because every kind is a prefix of one order of all rows.
"""

import hashlib

import numpy as np

KINDS = ("uniform", "stratified", "balanced", "imbalanced")
"""`uniform`: rows at random. `stratified`: classes in the pool's proportions, every class present from n >= K on.
`balanced`: as many rows of each class as its rows allow (k per class at n = k·K). `imbalanced`: class frequencies falling
geometrically to `IMBALANCE_RATIO` in a random order of the classes, as far as the rows allow."""
IMBALANCE_RATIO = 0.1
"""Frequency of the rarest class over that of the commonest in `imbalanced` subsets."""


def subset_rows(labels: np.ndarray, *, task_fingerprint: str, kind: str, n: int, seed: int) -> np.ndarray:
    """Rows (n,) int64 of a training split with `labels` (N,) int64; rows whose label is negative are never drawn.

    Raises ValueError for an unknown kind, or n below 1 or above the labelled rows there are.
    """
    if kind not in KINDS:
        raise ValueError(f"unknown kind of subset {kind!r}; choose {', '.join(KINDS)}")
    labelled = np.flatnonzero(labels >= 0)
    if not 1 <= n <= len(labelled):
        raise ValueError(f"a subset of {n} rows of the {len(labelled)} labelled ones cannot be drawn")
    generator = np.random.default_rng(_entropy(task_fingerprint, kind, seed))
    shuffled = generator.permutation(labelled)
    if kind == "uniform":
        return shuffled[:n]
    _, classes, counts = np.unique(labels[shuffled], return_inverse=True, return_counts=True)
    weights = _class_weights(kind, counts, generator)
    return shuffled[np.argsort(_due_times(classes, weights), kind="stable")[:n]]


def noisy_labels(labels: np.ndarray, *, rate: float, n_classes: int, task_fingerprint: str, seed: int) -> np.ndarray:
    """`labels` (N,) int64 with each one replaced, with probability `rate`, by another class at random; pure, and nested in
    the rate: what is wrong at 0.1 is wrong in the same way at 0.2. Raises ValueError for a rate outside [0, 1]."""
    if not 0 <= rate <= 1:
        raise ValueError(f"label noise is a rate in [0, 1], got {rate}")
    generator = np.random.default_rng(_entropy(task_fingerprint, "label_noise", seed))
    is_wrong = (generator.random(len(labels)) < rate) & (labels >= 0)
    shifts = generator.integers(1, max(n_classes, 2), size=len(labels))
    return np.where(is_wrong, (labels + shifts) % n_classes, labels)


def _entropy(task_fingerprint: str, kind: str, seed: int) -> int:
    """256 bits that depend on every argument, the same on every machine."""
    return int.from_bytes(hashlib.sha256(f"{task_fingerprint}/{kind}/{seed}".encode()).digest(), "little")


def _class_weights(kind: str, counts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(K,) wanted frequency of each class, up to a factor."""
    if kind == "stratified":
        return counts.astype(np.float64)
    if kind == "balanced":
        return np.ones(len(counts))
    rank = generator.permutation(len(counts))
    return IMBALANCE_RATIO ** (rank / max(len(counts) - 1, 1))


def _due_times(classes: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N,) when each row joins: the j-th row (j = 0, 1, ...) of a class with weight w is due at (j + 1/2) / w, so that every
    prefix has its share of each class to within a row; the first row of each class comes before all second ones."""
    ordinal = np.empty(len(classes))
    for label in range(len(weights)):
        members = np.flatnonzero(classes == label)
        ordinal[members] = np.arange(len(members))
    due = (ordinal + 0.5) / weights[classes]
    return np.where(ordinal == 0, due - due.max() - 1, due)
