"""Conformal calibration of quantile forecasts, in which the exchangeable unit is the task, not the
row.

The rows of one task resemble each other, so thousands of rows of nine tasks are not thousands of
independent draws. Therefore scores are weighted so that tasks count equally. They come from models
that have not seen the family of the row's task (cross-fitting). The factors are widened, as a
Student interval is, for the number of independent draws that the rows are worth. `guaranteed_level`
says which coverage a factor guarantees if only the tasks are exchangeable: with G tasks never more
than G / (G + 1).
"""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from meta.groups import group_weights, weighted_quantile
from meta.metamodel.quantile_curves import Z_SCORES
from meta.metric import MEDIAN, QUANTILES

FACTOR_RANGE = (0.3, 6.0)
"""Calibration factors are clipped to this range. A factor outside it means that not only the width
of the intervals is wrong; the table of coverage then shows it."""


def effective_groups(errors: np.ndarray, groups: np.ndarray) -> float:
    """How many independent draws the `errors` (n,) of G `groups` (n,) are worth: G / ρ, at most n.

    ρ is the share of the errors' variance that lies between groups (one-way analysis of variance,
    in which groups count equally). The result is G where all variance lies between groups, and far
    more where groups differ no more than rows do. Raises ValueError for fewer than 2 groups.
    """
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < 2:
        raise ValueError("calibration needs rows of at least 2 groups")
    means = np.bincount(index, errors) / counts
    within = float(np.mean(np.bincount(index, (errors - means[index]) ** 2) / counts))
    between = max(float(means.var(ddof=1)) - within * float(np.mean(1 / counts)), 0.0)
    share = between / (between + within) if between + within > 0 else 1.0
    return float(min(len(names) / max(share, 1e-9), len(errors)))


def small_sample_factor(n_draws: float, level: float) -> float:
    """The factor by which an interval at the one-sided `level` must be wider because its width is
    known from only `n_draws` independent draws. It is Student's quantile over the normal one, times
    sqrt(1 + 1/n) for the new draw. `n_draws` is more than 1; the factor tends to 1."""
    tail = max(level, 1 - level)
    return float(student.ppf(tail, n_draws - 1) / norm.ppf(tail) * np.sqrt(1 + 1 / n_draws))


def guaranteed_level(scores: np.ndarray, groups: np.ndarray, factor: float) -> float:
    """The one-sided coverage that `factor` guarantees for a row of a new task: G/(G+1) times the
    share of `scores` (n,) at or below it, in which G `groups` (n,) count equally (hierarchical
    conformal prediction, Lee, Barber and Willett 2023, arXiv 2306.06342)."""
    weights, n_groups = group_weights(groups), len(np.unique(groups))
    return float(n_groups / (n_groups + 1) * weights[scores <= factor].sum())


def calibration_factors(
    quantiles: np.ndarray, truth: np.ndarray, groups: np.ndarray, nearness: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """For each level of `QUANTILES`, the factor by which the distance of its quantile from the
    median must be stretched, and the one-sided level that the stretched quantile guarantees.

    Both are (5,); at the median they are 1 and 0.5. `quantiles` (n, 5) are cross-fitted: no row is
    predicted by a model that has seen its group. `truth` and `groups` are (n,). `nearness` (n,) in
    [0, 1] are weights of the rows (localised conformal prediction, Guan 2023); rows of nearness 0
    are left out.
    """
    factors, guaranteed = np.ones(len(QUANTILES)), np.full(len(QUANTILES), 0.5)
    if nearness is not None:
        is_near = nearness > 0
        quantiles, truth, groups, nearness = (
            quantiles[is_near],
            truth[is_near],
            groups[is_near],
            nearness[is_near],
        )
    weights = group_weights(groups) * (1.0 if nearness is None else nearness)
    half_width = np.maximum(quantiles[:, -1] - quantiles[:, 0], 1e-6) / 2
    n_draws = effective_groups((truth - quantiles[:, MEDIAN]) / half_width, groups)
    for column, level in enumerate(QUANTILES):
        if column == MEDIAN:
            continue
        side = 1.0 if level > 0.5 else -1.0
        width = np.maximum(side * (quantiles[:, column] - quantiles[:, MEDIAN]), 1e-6)
        scores = side * (truth - quantiles[:, MEDIAN]) / width
        tail = max(level, 1 - level)
        factor = weighted_quantile(scores, weights, tail) * small_sample_factor(n_draws, tail)
        factors[column] = np.clip(factor, *FACTOR_RANGE)
        guaranteed[column] = guaranteed_level(scores, groups, factors[column])
    return factors, guaranteed


def stretch(quantiles: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """`quantiles` (n, 5), with the distances from the median multiplied by `factors`, (5,) or (n,
    5). Rows are sorted."""
    median = quantiles[:, MEDIAN : MEDIAN + 1]
    return np.sort(median + factors * (quantiles - median), axis=1)


def interval(quantiles: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The lower and upper ends, both (n,), of the central interval of `level` from `quantiles` (n,
    5). Between the levels of QUANTILES they are interpolated in the normal quantile. Raises
    ValueError for a level beyond the outermost quantiles."""
    tail = (1 - level) / 2
    if not QUANTILES[0] - 1e-12 <= tail < 0.5:
        raise ValueError(f"level {level}: between 0 and {1 - 2 * QUANTILES[0]:.2f}")
    ends = []
    for z in (norm.ppf(tail), norm.ppf(1 - tail)):
        right = int(np.clip(np.searchsorted(Z_SCORES, z - 1e-9), 1, len(Z_SCORES) - 1))
        share = (z - Z_SCORES[right - 1]) / (Z_SCORES[right] - Z_SCORES[right - 1])
        ends.append((1 - share) * quantiles[:, right - 1] + share * quantiles[:, right])
    return ends[0], ends[1]
