"""Rows that belong together (tasks, families of tasks): equal weights, folds that never split them,
weighted quantiles."""

import numpy as np


def group_weights(groups: np.ndarray) -> np.ndarray:
    """(n,) weights that sum to 1, equal in total for every group."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (len(counts) * counts[index])


def group_folds(groups: np.ndarray, n_folds: int, seed: int = 0) -> list[np.ndarray]:
    """The names in `groups` (n,) dealt at random into at most `n_folds` parts, none of them
    empty."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    n_folds = min(n_folds, len(names))
    return [names[fold::n_folds] for fold in range(n_folds)]


def weighted_quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The smallest value whose weighted share of values at or below it reaches `level` (the inverse
    of the distribution)."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, level - 1e-12)), len(values) - 1)])
