"""Question 2 with a few labelled evaluation rows: the metric is measured on them, and the probe's
own confidence on the other rows makes the interval narrower.

This is prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633) with the weight of
Angelopoulos, Duchi and Zrnic 2023 (arXiv 2311.01453). The estimate is the mean of λ·f over the
unlabelled rows plus the mean of (y − λ·f) over the labelled rows. Here y is the outcome of a row (a
hit, or the log-loss), and f is the outcome that the probe itself expects. The estimate is unbiased
however wrong f is, as long as the labelled rows are a random part of the evaluation rows. Where f
does not predict y, λ is near 0.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from meta.metamodel.quantile_curves import Z_SCORES, bounded
from meta.metric import MEDIAN, MIN_LOSS, QUANTILES, Metric

MIN_LABELLED_ROWS = 20
"""Fewer labelled evaluation rows do not correct a forecast, because their variance is not known
well enough."""
MEAN_METRICS = (Metric.ACCURACY, Metric.LOG_LOSS)
"""The metrics that are means over rows; macro-F1 and AUROC are not."""
FORECAST_DEVIATIONS = 0.7
"""The errors of forecasts are this many times as large as their intervals say: the intervals hold
more truths than they promise (docs/benchmarks.md). So a measurement weighs less against a forecast
than the interval alone would let it."""
MAX_FORECAST_DEVIATIONS = 2.0
"""The measurement refutes a forecast that is further from it than this many standard deviations of
both errors together. Such a forecast was too certain. It is stretched about its median until it
lies exactly this far off."""


@dataclass(frozen=True)
class Measured:
    """An estimate of the mean outcome on the evaluation rows."""

    estimate: float
    standard_error: float
    """Already widened by Student's t for `n_labelled` rows, so that normal quantiles apply."""
    n_labelled: int
    weight: float
    """λ in [0, 1]."""

    @property
    def quantiles(self) -> np.ndarray:
        """(5,) quantiles of the mean outcome, at QUANTILES."""
        return self.estimate + self.standard_error * Z_SCORES


def outcomes(
    metric: Metric, probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The outcomes (m,) of the rows, NaN where `labels` (m,) < 0, and the outcomes (m,) that the
    probe expects, from its `probabilities` (m, K).

    For accuracy the outcome is 1.0 for a hit and 0.0 for a miss, and the largest probability is
    expected. For log-loss the outcome is the loss (nats), and the entropy is expected. The label K
    means a class that the probe has never seen: it counts as a miss, and its loss is that of the
    probability 0.01. Raises ValueError for a metric that is not among `MEAN_METRICS`.
    """
    if metric not in MEAN_METRICS:
        raise ValueError(f"metric {metric!r}: one of {', '.join(MEAN_METRICS)}")
    known = labels >= 0
    seen = known & (labels < probabilities.shape[1])
    clipped = np.clip(probabilities, 0.01 if metric == Metric.LOG_LOSS else 0.0, 1.0)
    own = np.where(seen, clipped[np.arange(len(labels)), np.where(seen, labels, 0)], 0.01)
    if metric == Metric.ACCURACY:
        outcome = (probabilities.argmax(axis=1) == labels).astype(np.float64)
        expected = probabilities.max(axis=1)
    else:
        outcome = -np.log(own)
        expected = -(probabilities * np.log(clipped)).sum(axis=1)
    return np.where(known, outcome, np.nan), expected


def can_measure(labels: np.ndarray | None, metric: Metric) -> bool:
    """Whether `labels` (m,) of evaluation rows can correct a forecast: the metric is a mean over
    rows, and at least `MIN_LABELLED_ROWS` rows have a label."""
    return (
        labels is not None
        and metric in MEAN_METRICS
        and int(np.sum(labels >= 0)) >= MIN_LABELLED_ROWS
    )


def measure(outcome: np.ndarray, expected: np.ndarray) -> Measured:
    """Estimate the mean outcome from `outcome` (m,), NaN where unlabelled, and `expected` (m,).
    Raises ValueError for fewer than `MIN_LABELLED_ROWS` labelled rows.

    The variance is that of the labelled rows and of two more rows, which have the least and the
    greatest outcome that is possible. For a sample without a miss does not prove that there are
    none (Agresti and Coull's interval does the same).
    """
    labelled = np.isfinite(outcome)
    y, f, rest = outcome[labelled], expected[labelled], expected[~labelled]
    n_labelled, n_rest = len(y), len(rest)
    if n_labelled < MIN_LABELLED_ROWS:
        raise ValueError(
            f"{n_labelled} labelled evaluation rows; at least {MIN_LABELLED_ROWS} are needed"
        )
    weight = _weight(y, f, n_rest)
    error = y - weight * f
    estimate = float(error.mean() + (weight * rest.mean() if n_rest else 0.0))
    ends = np.array([0.0, max(1.0, float(y.max()))]) - weight * f.mean()
    variance = np.concatenate([error, ends]).var(ddof=1) / n_labelled
    if n_rest:
        variance += weight**2 * rest.var(ddof=1) / n_rest if n_rest > 1 else weight**2
    student = float(t.ppf(0.95, n_labelled - 1) / norm.ppf(0.95))
    return Measured(estimate, float(np.sqrt(variance)) * student, n_labelled, weight)


def correct_curve(curve: np.ndarray, measured: Measured, metric: Metric) -> np.ndarray:
    """Forecast quantiles `curve` (H, 5) over ascending horizons, corrected by what was `measured`
    at the first horizon, which is the present n.

    The computation is on the scale on which forecasts are learnt (`Metric.to_scale`). A forecast
    that the measurement refutes is stretched first (`MAX_FORECAST_DEVIATIONS`). The forecast at the
    present n and the measurement are then weighed by the variances of their errors
    (`FORECAST_DEVIATIONS`). The error of a later forecast is taken to be the error of the first one
    plus an independent part. So later medians move with the first one, and later intervals become
    narrower by a smaller share.
    """
    forecast, spread, prior, noise, off = _errors(curve, measured, metric)
    believed = FORECAST_DEVIATIONS * _stretch_to_agree(off, FORECAST_DEVIATIONS**2 * prior, noise)
    gain = believed**2 * prior / (believed**2 * prior + noise)
    stretch = max(believed, 1.0)  # no interval becomes narrower because errors are small
    prior, spread = prior * stretch**2, spread * stretch
    shift = gain * off
    # covariance of the error at each horizon with the error at the first one
    shared = np.minimum(prior, spread**2)
    left = np.sqrt(np.maximum(1 - gain * shared**2 / (prior * np.maximum(spread**2, 1e-12)), 0.0))
    median = forecast[:, MEDIAN] + shift * shared / prior
    about = stretch * left[:, None] * (forecast - forecast[:, [MEDIAN]])
    corrected = metric.from_scale(bounded(median[:, None] + about, metric))
    order = np.maximum.accumulate if metric.is_rate else np.minimum.accumulate
    return order(corrected, axis=0)


def is_refuted(curve: np.ndarray, measured: Measured, metric: Metric) -> bool:
    """Whether what was `measured` refutes the forecast `curve` (H, 5) at the first horizon: then
    `correct_curve` leans on the measurement."""
    _, _, prior, noise, off = _errors(curve, measured, metric)
    return _stretch_to_agree(off, FORECAST_DEVIATIONS**2 * prior, noise) > 1.0


def _errors(
    curve: np.ndarray, measured: Measured, metric: Metric
) -> tuple[np.ndarray, np.ndarray, float, float, float]:
    """On the scale on which forecasts are learnt: the `curve` (H, 5), its standard deviations (H,),
    the variance at the first horizon, that of the measurement, and how far the measurement is from
    the first median."""
    # losses below MIN_LOSS count as what they are
    forecast = metric.to_scale(curve) if metric.is_rate else np.log(np.maximum(curve, 1e-9))
    spread = np.abs(forecast[:, -1] - forecast[:, 0]) / (
        norm.ppf(QUANTILES[-1]) - norm.ppf(QUANTILES[0])
    )  # (H,) deviations
    prior = max(float(spread[0]) ** 2, 1e-12)
    middle = float(metric.to_scale(np.array(measured.estimate)))
    # an estimate may lie outside the range; this is the nearer end then
    within = float(metric.from_scale(np.array(middle)))
    below, above = metric.to_scale(within + measured.standard_error * np.array([-1.0, 1.0]))
    noise = max(middle - below, above - middle) ** 2  # an end of the range cuts one side off
    off = middle - float(forecast[0, MEDIAN])
    if not metric.is_rate and measured.estimate <= MIN_LOSS:
        # the measurement cannot tell smaller losses apart: a forecast of less agrees with it
        off = min(off, 0.0)
    return forecast, spread, prior, noise, off


def _stretch_to_agree(off: float, prior: float, noise: float) -> float:
    """The factor, 1 or more, by which a forecast must be stretched so that a measurement that is
    `off` from it lies within `MAX_FORECAST_DEVIATIONS`. `prior` and `noise` are the variances of
    both errors."""
    return float(np.sqrt(max(((off / MAX_FORECAST_DEVIATIONS) ** 2 - noise) / prior, 1.0)))


def _weight(y: np.ndarray, f: np.ndarray, n_rest: int) -> float:
    """The λ in [0, 1] for which the estimate has the least variance. `y` and `f` (n_labelled,) are
    outcomes and expected outcomes of the labelled rows. 0 where there are no unlabelled rows
    (`n_rest` is 0), or where all f are equal."""
    if n_rest == 0 or f.var() < 1e-12:
        return 0.0
    covariance = float(np.mean((y - y.mean()) * (f - f.mean())))
    return float(np.clip(covariance / (f.var() * (1 + len(y) / n_rest)), 0.0, 1.0))
