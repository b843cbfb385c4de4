"""Quantiles of a metric along the horizon: in order, within the metric's range, and never worse with more labels; and the scale
that they are learnt on: arcsin √a for rates, where the noise of n rows is 1/(4n) whatever the rate (Anscombe 1948) and nothing
reaches past 1; logarithms for log-loss, whose errors are in proportion to it."""

import itertools

import numpy as np
from sklearn.isotonic import isotonic_regression

from meta.curves import RATES, from_stabilised, stabilised

MOST_LOSS = 16.0
"""Nats: what a class costs whose probability is 0 in single precision (`probes.metrics`)."""
LEAST_LOSS = 0.005
"""A log-loss (nats) below it is one of so much: its logarithm would count for more than it says."""


def sorted_quantiles(anchored: np.ndarray, scale: np.ndarray, standardised: np.ndarray, metric: str) -> np.ndarray:
    return bounded(np.sort(anchored[:, None] + scale[:, None] * standardised, axis=1), metric)


def bounded(quantiles: np.ndarray, metric: str) -> np.ndarray:
    """Angles of rates within [0, π/2], logarithms of losses at most that of MOST_LOSS."""
    return np.clip(quantiles, 0.0, np.pi / 2) if metric in RATES else np.minimum(quantiles, np.log(MOST_LOSS))


def on_scale(values: np.ndarray, metric: str) -> np.ndarray:
    """Values of the metric on the scale that is learnt on."""
    return stabilised(values) if metric in RATES else np.log(np.maximum(values, LEAST_LOSS))


def off_scale(values: np.ndarray, metric: str) -> np.ndarray:
    """Values of the metric from the scale that is learnt on."""
    return from_stabilised(values) if metric in RATES else np.exp(values)


def monotone(quantiles: np.ndarray, sample: np.ndarray, octaves: np.ndarray, metric: str) -> np.ndarray:
    """Each quantile of each sample projected (least squares) on curves that get no worse with the horizon."""
    projected = quantiles.copy()
    order = np.lexsort((octaves, sample))
    starts = np.flatnonzero(np.r_[True, np.diff(sample[order]) > 0, True])
    worsens = np.diff(quantiles[order], axis=0) * (1 if metric in RATES else -1) < 0  # (R - 1, 5)
    for start, stop in itertools.pairwise(starts):
        rows = order[start:stop]
        for column in np.flatnonzero(worsens[start : stop - 1].any(axis=0)):
            projected[rows, column] = isotonic_regression(quantiles[rows, column], increasing=metric in RATES)
    return projected
