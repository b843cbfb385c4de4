"""Quantiles of a metric over horizons: they are sorted, lie within the range of the metric, and do
not get worse with more labels.

They are computed on the scale that is learnt on (`meta.metric.Metric.to_scale`).
"""

import itertools

import numpy as np
from scipy.stats import norm
from sklearn.isotonic import isotonic_regression

from meta.metric import MEDIAN, QUANTILES, Metric

Z_SCORES: np.ndarray = np.asarray(norm.ppf(QUANTILES))
"""(5,) quantiles of the standard normal distribution at QUANTILES."""
MAX_LOSS = 16.0
"""Nats: the loss of a row whose class has the probability 0 in single precision
(`probes.metrics`)."""

MIN_PROBABILITY_GAIN = 0.1
"""`n_if_reached` gives no size for a target whose probability rises by less than this: the size
would depend on the tails of the forecasts."""
LIKELY_PROBABILITY = 0.8
"""It gives one all the same where the target is reached with at least this probability."""
IF_REACHED_QUANTILES = (0.05, 0.5, 0.95)
"""The quantiles of the required n that `n_if_reached` gives."""


def sorted_quantiles(
    anchored: np.ndarray, scale: np.ndarray, standardised: np.ndarray, metric: Metric
) -> np.ndarray:
    """(R, 5) sorted quantiles within the range of the metric, on the scale that is learnt on.
    `anchored` (R,) is the anchor on that scale. `standardised` (R, 5) are quantiles of its error in
    units of `scale` (R,)."""
    return bounded(np.sort(anchored[:, None] + scale[:, None] * standardised, axis=1), metric)


def bounded(quantiles: np.ndarray, metric: Metric) -> np.ndarray:
    """`quantiles`, which are on the scale that is learnt on, clipped to the range of the metric:
    the angles of rates to [0, π/2], the logarithms of losses to at most that of MAX_LOSS."""
    return (
        np.clip(quantiles, 0.0, np.pi / 2)
        if metric.is_rate
        else np.minimum(quantiles, np.log(MAX_LOSS))
    )


def monotone(
    quantiles: np.ndarray, sample: np.ndarray, octaves: np.ndarray, metric: Metric
) -> np.ndarray:
    """`quantiles` (R, 5), changed as little as possible (least squares) so that no quantile of a
    sample gets worse with the horizon. `sample` (R,) int64 numbers the samples, `octaves` (R,) are
    the horizons."""
    projected = quantiles.copy()
    order = np.lexsort((octaves, sample))
    starts = np.flatnonzero(np.r_[True, np.diff(sample[order]) > 0, True])
    worsens = np.diff(quantiles[order], axis=0) * metric.sign < 0  # (R - 1, 5)
    for start, stop in itertools.pairwise(starts):
        rows = order[start:stop]
        for column in np.flatnonzero(worsens[start : stop - 1].any(axis=0)):
            projected[rows, column] = isotonic_regression(
                quantiles[rows, column], increasing=metric.is_rate
            )
    return projected


def probability_reached(quantiles: np.ndarray, target: float, metric: Metric) -> float:
    """Probability that a metric with `quantiles` (5,) is at `target` or better. The distribution is
    linear in the normal quantile between its quantiles and beyond them."""
    knots = np.asarray(quantiles, dtype=np.float64)
    if not metric.is_rate:
        knots, target = -knots[::-1], -target
    knots = np.maximum.accumulate(knots + np.arange(len(knots)) * 1e-12)
    if target <= knots[0]:
        z = Z_SCORES[0] + (target - knots[0]) / max(knots[MEDIAN] - knots[0], 1e-6) * (
            Z_SCORES[MEDIAN] - Z_SCORES[0]
        )
    elif target >= knots[-1]:
        z = Z_SCORES[-1] + (target - knots[-1]) / max(knots[-1] - knots[MEDIAN], 1e-6) * (
            Z_SCORES[-1] - Z_SCORES[MEDIAN]
        )
    else:
        z = np.interp(target, knots, Z_SCORES)
    return float(norm.sf(z))


def n_if_reached(sizes: np.ndarray, reached: np.ndarray) -> np.ndarray | None:
    """(3,) quantiles (IF_REACHED_QUANTILES) of the required n, given that the target is not met at
    the first size and is met at the last one. None where the probability hardly rises
    (`MIN_PROBABILITY_GAIN`) and is not high (`LIKELY_PROBABILITY`).

    `reached` (H,) are the probabilities that the metric is at the target at `sizes` (H,). The
    median is the size at which the probability has risen half of the way from the first size to the
    last. It is interpolated in log n.

    Users ask for a target that they believe to be within reach, so this condition fits their
    question. The median without the condition is larger. It is infinite for every target that is
    less probable than one half.
    """
    risen = np.maximum.accumulate(reached) - reached[0]
    if risen[-1] < MIN_PROBABILITY_GAIN and (reached[-1] < LIKELY_PROBABILITY or risen[-1] < 1e-9):
        return None
    shares = risen[-1] * np.array(IF_REACHED_QUANTILES)
    return np.asarray(2 ** np.interp(shares, risen, np.log2(np.asarray(sizes, dtype=np.float64))))
