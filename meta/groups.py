"""Groups of rows that belong together, such as the rows of one task or of one family of tasks.

Groups get equal weights, and folds never split them.
"""

import numpy as np


def group_weights(groups: np.ndarray) -> np.ndarray:
    """(n,) float64 weights of the rows whose groups are `groups` (n,). They sum to 1, and every
    group has the same total."""
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return 1.0 / (len(counts) * counts[index])


def group_folds(groups: np.ndarray, n_folds: int, seed: int = 0) -> list[np.ndarray]:
    """The distinct names in `groups` (n,), dealt at random into at most `n_folds` parts. No part is
    empty."""
    names = np.random.default_rng(seed).permutation(np.unique(groups))
    n_folds = min(n_folds, len(names))
    return [names[fold::n_folds] for fold in range(n_folds)]


def weighted_quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    """The smallest of `values` (n,) such that the values up to it have at least the share `level`
    of all `weights` (n,)."""
    order = np.argsort(values, kind="stable")
    share = np.cumsum(weights[order]) / weights.sum()
    return float(values[order][min(int(np.searchsorted(share, level - 1e-12)), len(values) - 1)])
