"""Quantiles of a metric along the horizon: in order, within the metric's range, and never worse
with more labels. On the scale that they are learnt on (`meta.metric.Metric.to_scale`) no rate
reaches past 1."""

import itertools

import numpy as np
from scipy.stats import norm
from sklearn.isotonic import isotonic_regression

from meta.metric import MEDIAN, QUANTILES, Metric

Z_SCORES: np.ndarray = np.asarray(norm.ppf(QUANTILES))
"""(5,) quantiles of the standard normal distribution at QUANTILES."""
MAX_LOSS = 16.0
"""Nats: what a class costs whose probability is 0 in single precision (`probes.metrics`)."""

MIN_PROBABILITY_GAIN = 0.1
"""A target that more labels make so little likelier has no size of its own: it rests on the tails
of the forecasts."""


def sorted_quantiles(
    anchored: np.ndarray, scale: np.ndarray, standardised: np.ndarray, metric: Metric
) -> np.ndarray:
    return bounded(np.sort(anchored[:, None] + scale[:, None] * standardised, axis=1), metric)


def bounded(quantiles: np.ndarray, metric: Metric) -> np.ndarray:
    """Angles of rates within [0, π/2], logarithms of losses at most that of MAX_LOSS."""
    return (
        np.clip(quantiles, 0.0, np.pi / 2)
        if metric.is_rate
        else np.minimum(quantiles, np.log(MAX_LOSS))
    )


def monotone(
    quantiles: np.ndarray, sample: np.ndarray, octaves: np.ndarray, metric: Metric
) -> np.ndarray:
    """Each quantile of each sample projected (least squares) on curves that get no worse with the
    horizon."""
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
    """Probability that a metric with `quantiles` (5,) is at `target` or better."""
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


def n_if_reached(sizes: np.ndarray, reached: np.ndarray) -> float | None:
    """The median of the required n for those of the possible curves that are below the target now
    and get there: the size by which the chance of having reached it, `reached` (H,) at `sizes`
    (H,), has risen half of the way from the first size to the last, linear in log n between. None
    where it hardly rises: nothing is gained, or all is there.

    A target is asked for because it is believed to be within reach. The median over all curves,
    those that never get there included, answers another question, and is later: infinite for every
    target less likely than not.
    """
    risen = np.maximum.accumulate(reached) - reached[0]
    if risen[-1] < MIN_PROBABILITY_GAIN:
        return None
    return float(2 ** np.interp(risen[-1] / 2, risen, np.log2(np.asarray(sizes, dtype=np.float64))))
