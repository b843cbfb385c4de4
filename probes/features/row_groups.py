"""Rows that belong together (near-copies of a text, texts of an author, records of a patient): they
are left out together, and stay on one side of every split.

A group is a value of `groups` (n,) int64. Between groups rows are independent, within a group they
need not be.
"""

from collections.abc import Callable

import numpy as np

JITTER = 1e-9
"""Added to the diagonal of every system: a group that alone spans a direction leaves it
singular."""


def leave_groups_out(
    left_out: np.ndarray,
    left: np.ndarray,
    shrunk: np.ndarray,
    projected: np.ndarray,
    target: np.ndarray,
    groups: np.ndarray,
) -> np.ndarray:
    """(n, K) what a ridge predicts of each row (less the class frequencies of the whole sample)
    when it is fitted without the row's group.

    The fit's hat matrix is 11ᵀ/n + H with H = `left` diag(`shrunk`) `left`ᵀ; `target` T (n, K) is
    centred, and `projected` is `left`ᵀ T. `left_out` (n, K) is the result where each row is its own
    group, which holds for groups of one row. A larger group g of m rows is left out by the block
    formula of leave-one-out: its residuals are (I − 11ᵀ/n − H_gg)⁻¹ times those of the fit. Written
    relative to the class frequencies of the whole sample that is

        (I − 11ᵀ/n − H_gg)⁻¹ [(HT)_g − H_gg (T_g + 11ᵀT_g / (n − m))].

    So it is exactly 0 where features say nothing. Cost m²·min(m, r) for each group. There must be
    two groups or more.
    """
    n_rows, rank = left.shape
    found = left_out.copy()
    for rows in _by_size(groups):  # (k, m): k groups of m rows
        size = rows.shape[1]
        if size == 1:
            continue
        directions = left[rows]  # (k, m, r)
        scaled = directions * np.sqrt(shrunk)
        shifted = target[rows] + target[rows].sum(axis=1, keepdims=True) / (n_rows - size)
        inner = np.einsum("kmr,kmc->krc", scaled, shifted)
        right = directions @ (shrunk[:, None] * projected) - scaled @ inner
        border = np.full((len(rows), size, 1), n_rows**-0.5)
        factors = np.concatenate([border, scaled], axis=2)  # I − F Fᵀ is to be solved
        transposed = factors.transpose(0, 2, 1)
        if size <= rank + 1:
            found[rows] = np.linalg.solve(_identity(size) - factors @ transposed, right)
        else:  # the same by the Woodbury identity, in rank + 1 dimensions
            small = np.linalg.solve(_identity(rank + 1) - transposed @ factors, transposed @ right)
            found[rows] = right + factors @ small
    return found


def parts_of_groups(
    y: np.ndarray, groups: np.ndarray, n_parts: int, rng: np.random.Generator
) -> np.ndarray:
    """(n,) the part of each row. Groups are dealt at random, the largest first, each to the part
    that has the fewest rows of the group's first class, and of these to the smallest part. There
    must be as many groups as parts."""
    _, first, index, counts = np.unique(
        groups, return_index=True, return_inverse=True, return_counts=True
    )
    shuffled = rng.permutation(len(first))
    order = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    of_class = [[0] * n_parts for _ in range(int(y.max()) + 1)]
    sizes = [0] * n_parts
    part_of_group = np.empty(len(first), dtype=np.int64)
    start = int(rng.integers(n_parts))
    for at, group in enumerate(order.tolist()):
        own = of_class[int(y[first[group]])]
        if at < n_parts:  # no part stays empty
            part = (start + at) % n_parts
        else:
            part = min(range(n_parts), key=lambda i: (own[i], sizes[i]))
        part_of_group[group] = part
        own[part] += int(counts[group])
        sizes[part] += int(counts[group])
    return part_of_group[index]


def nested_groups(groups: np.ndarray, order_of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """(n,) an order of the rows in which the rows of each group follow each other. `order_of` gives
    the order of the groups from the first rows (G,) of all groups."""
    _, first, index = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[order_of(first)] = np.arange(len(first))
    return np.argsort(rank[index], kind="stable")


def prefix_end(size: int, order: np.ndarray, groups: np.ndarray | None) -> int:
    """The end of a group that is nearest to `size` rows, among the rows in `order` (n,), in which
    the rows of each group follow each other. `size` itself without groups."""
    if groups is None:
        return size
    ordered = groups[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, len(order))
    return int(ends[np.abs(ends - size).argmin()])


def design_effect(hits: np.ndarray, groups: np.ndarray | None) -> float:
    """How many times larger the variance of the mean of `hits` (n,) bool is than for independent
    rows, because rows of one group are right or wrong together (Kish 1965). At least 1."""
    rate = float(hits.mean())
    if groups is None or rate in (0.0, 1.0):
        return 1.0
    _, index = np.unique(groups, return_inverse=True)
    together = np.bincount(index, hits - rate)
    n_groups = len(together)
    between = float(np.sum(together**2)) * n_groups / max(n_groups - 1, 1)
    return max(between / (len(hits) * rate * (1 - rate)), 1.0)


def _by_size(groups: np.ndarray) -> list[np.ndarray]:
    """The rows of the groups: for each size m an array (groups of this size, m)."""
    order = np.argsort(groups, kind="stable")
    _, starts, counts = np.unique(groups[order], return_index=True, return_counts=True)
    return [order[starts[counts == size][:, None] + np.arange(size)] for size in np.unique(counts)]


def _identity(size: int) -> np.ndarray:
    return (1 + JITTER) * np.eye(size)
