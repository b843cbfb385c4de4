"""The ridge probe of a sample, cross-fitted: every training row is predicted by a probe that has
not seen it.

The metamodel starts from two results: leave-one-out predictions at the present n, and held-out
predictions of probes trained on halves, quarters and eighths of the sample (the learning curve seen
so far). At every size the regularisation is chosen by leave-one-out error, as the sweep's ridge
probe does. The grid includes strong penalties, because near n = d a weakly regularised ridge is
worse than one trained on fewer rows.

Where rows come in groups (`probes.features.row_groups`), a row is predicted by a probe that has
seen no row of its group, and no group is split between parts of the sample.
"""

from dataclasses import dataclass

import numpy as np

from probes.features.decomposition import Decomposition, centred_rows, decompose
from probes.features.row_groups import leave_groups_out, nested_groups, parts_of_groups, prefix_end

PENALTIES = tuple(10.0**power for power in np.arange(-1.0, 5.01, 0.5))
"""Ridge penalties (1/C) on features scaled to a mean row norm of sqrt(d)."""
TEMPERATURES = tuple(2.0**power for power in np.arange(0.0, 7.01, 0.5))
"""Factors from ridge scores (near 0 and 1) to softmax logits."""

MIN_PART_ROWS = 4
"""Parts of a sample with fewer rows than this get no probe."""


@dataclass(frozen=True)
class RidgeFit:
    """A ridge probe on one-hot targets with its leave-one-out predictions."""

    loo_scores: np.ndarray
    """(n, K) float64: row i by the probe that was fitted to the others (to the other groups, where
    rows come in groups), with the class frequencies of the whole sample as intercept. Without a row
    its own class is rarer. So where features say little and classes are balanced, plain
    leave-one-out is wrong about nearly every row."""
    weights: np.ndarray
    """(d, K), for features minus `centre`, unscaled."""
    intercept: np.ndarray
    """(K,)."""
    centre: np.ndarray
    """(d,)."""
    penalty: float
    decomposition: Decomposition
    """Decomposition of the centred sample."""
    temperature: float
    """The one of `TEMPERATURES` for which softmax(temperature · scores) has the least leave-one-out
    log-loss."""

    def scores(self, X: np.ndarray) -> np.ndarray:
        """(m, K) scores of rows X (m, d)."""
        return (X - self.centre) @ self.weights + self.intercept

    def probabilities(self, scores: np.ndarray) -> np.ndarray:
        """(m, K) probabilities of `scores` (m, K)."""
        return softmax(self.temperature * scores)


def fit_ridge(
    X: np.ndarray, y: np.ndarray, n_classes: int, groups: np.ndarray | None = None
) -> RidgeFit:
    """Ridge of one-hot labels on X (n, d). The intercept is not penalised. The penalty is chosen as
    the sweep's ridge probe does. `groups` (n,) int64 names the group of each row; None, and a
    single group, mean that every row stands for itself.

    Cost nd·min(n, d), then n·rank·K per penalty. Leave-one-out is exact: it divides the residual by
    1 − leverage, where the leverage of the intercept is included. Then the class frequencies of the
    whole sample are put back. Groups are left out exactly, too.
    """
    n_rows, n_columns = X.shape
    centre = X.mean(axis=0, dtype=np.float64)
    centred = centred_rows(X)
    parts = decompose(centred)
    target = np.zeros((n_rows, n_classes))
    target[np.arange(n_rows), y] = 1.0
    intercept = target.mean(axis=0)
    target = target - intercept
    mean_square = float(np.mean(np.linalg.norm(X, axis=1)) ** 2) or 1.0
    squares = parts.singular**2 * (n_columns / mean_square)
    projected = parts.left.T @ target  # (r, K)
    left_squares = parts.left**2
    if groups is not None and (groups == groups[0]).all():
        groups = None  # nothing would be left
    tried = []
    for penalty in reversed(PENALTIES):  # from strong to weak, so that ties go to the stronger one
        shrunk = squares / (squares + penalty)
        by_features = left_squares @ shrunk  # leverages without the intercept's 1/n
        left_out_share = np.maximum(1 - 1 / n_rows - by_features, 1e-6)[:, None]
        # residual / (1 - leverage), written relative to the class frequencies. So where features
        # say nothing all classes tie exactly. Otherwise round-off would order them, and it depends
        # on the row's own label.
        fitted = (
            parts.left @ (shrunk[:, None] * projected)
            - target * (by_features * n_rows / (n_rows - 1))[:, None]
        )
        left_out = fitted / left_out_share
        if groups is not None:
            left_out = leave_groups_out(left_out, parts.left, shrunk, projected, target, groups)
        accuracy = float(np.mean((left_out + intercept).argmax(axis=1) == y))
        tried.append((float(np.mean((target - left_out) ** 2)), accuracy, penalty, left_out))
    best_accuracy = max(accuracy for _, accuracy, *_ in tried)
    least = best_accuracy - 0.5 * np.sqrt(best_accuracy * (1 - best_accuracy) / n_rows)
    _, _, penalty, left_out = min((fit for fit in tried if fit[1] >= least), key=lambda fit: fit[0])
    loo_scores = left_out + intercept
    # Xᵀ times the dual weights. To divide coefficients by small singular values would lose digits.
    dual = parts.left @ (projected / (squares + penalty)[:, None])
    weights = centred.T @ dual * (n_columns / mean_square)
    return RidgeFit(
        loo_scores, weights, intercept, centre, penalty, parts, _best_temperature(loo_scores, y)
    )


@dataclass(frozen=True)
class HeldOutPart:
    """Held-out predictions of probes that were trained on `n_rows` rows each, stacked over the
    parts of the sample."""

    n_rows: float
    probabilities: np.ndarray
    """(rows predicted, K)."""
    labels: np.ndarray
    """(rows predicted,)."""


def curve_so_far(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    seed: int,
    fractions: tuple[int, ...] = (8, 4, 2),
    groups: np.ndarray | None = None,
) -> list[HeldOutPart]:
    """The learning curve inside the sample. For each fraction the rows are dealt into that many
    parts. A probe is trained on each part, and predicts all other rows. For halves this is done
    twice. Parts of fewer than 4 rows are left out of the curve. `groups` (n,) int64 are not split:
    parts then differ in size, and a curve has no parts of fewer than 2 groups."""
    rng = np.random.default_rng(seed)
    n_groups = len(y) if groups is None else len(np.unique(groups))
    points = []
    for fraction in fractions:
        if len(y) // fraction < MIN_PART_ROWS or n_groups < 2 * fraction:
            continue
        probabilities, labels, sizes = [], [], []
        for _ in range(2 if fraction == 2 else 1):
            part_of_row = (
                _assign_parts(y, fraction, rng)
                if groups is None
                else parts_of_groups(y, groups, fraction, rng)
            )
            for part in range(fraction):
                inside = part_of_row == part
                fit = fit_ridge(
                    X[inside], y[inside], n_classes, None if groups is None else groups[inside]
                )
                probabilities.append(fit.probabilities(fit.scores(X[~inside])))
                labels.append(y[~inside])
                sizes.append(inside.sum())
        points.append(
            HeldOutPart(
                float(np.mean(sizes)), np.concatenate(probabilities), np.concatenate(labels)
            )
        )
    return points


def nested_order(y: np.ndarray, *, seed: int, groups: np.ndarray | None = None) -> np.ndarray:
    """(n,) an order of the rows. Every prefix of it has about the class frequencies of the whole
    sample. The rows of one of the `groups` (n,) follow each other."""
    if groups is not None:
        return nested_groups(groups, lambda first: nested_order(y[first], seed=seed))
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(y))
    by_class = shuffled[np.argsort(y[shuffled], kind="stable")]
    labels, starts, counts = np.unique(y[by_class], return_index=True, return_counts=True)
    index = np.searchsorted(labels, y[by_class])
    due = (np.arange(len(y)) - starts[index] + rng.random(len(labels))[index]) / counts[index]
    return by_class[np.argsort(due, kind="stable")]


def fit_prefixes(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    order: np.ndarray,
    groups: np.ndarray | None = None,
) -> list[tuple[int, RidgeFit]]:
    """(rows trained on, probe) for the first half, quarter, eighth, ... of the rows X (n, d) in
    `order` (n,), by growing size. Parts of fewer than 4 rows are left out. The cost is about one
    and a half times that of a probe of n/2 rows. A prefix ends where one of the `groups` (n,) ends
    (`row_groups.prefix_end`)."""
    halves = [len(y) >> halvings for halvings in range(1, len(y).bit_length())]
    sizes = sorted({prefix_end(size, order, groups) for size in halves})
    return [
        (
            size,
            fit_ridge(
                X[order[:size]],
                y[order[:size]],
                n_classes,
                None if groups is None else groups[order[:size]],
            ),
        )
        for size in sizes
        if MIN_PART_ROWS <= size < len(y)
    ]


def _assign_parts(y: np.ndarray, n_parts: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) the part of each row. Parts are random and have equal sizes, and the classes are spread
    over them."""
    order = np.lexsort((rng.random(len(y)), y))
    parts = np.empty(len(y), dtype=np.int64)
    parts[order] = (np.arange(len(y)) + rng.integers(n_parts)) % n_parts
    return parts


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, K) probabilities of logits (n, K)."""
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def _best_temperature(scores: np.ndarray, y: np.ndarray) -> float:
    rows = np.arange(len(y))
    losses = [
        -np.mean(np.log(softmax(temperature * scores)[rows, y] + 1e-12))
        for temperature in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmin(losses))])
