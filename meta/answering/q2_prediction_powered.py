"""Question 2 with a few labelled evaluation rows: measure on those, let the probe's own confidence
on all others narrow it.

Prediction-powered inference (Angelopoulos et al. 2023, arXiv 2301.09633) with the weight of
Angelopoulos, Duchi and Zrnic 2023 (arXiv 2311.01453): mean of λ·f over the unlabelled rows + mean
of (y − λ·f) over the labelled ones, where y is the outcome of a row (hit, or log-loss) and f what
the probe itself expects of it. Unbiased however wrong f is, as long as the labelled rows are a
random part of the evaluation rows; λ near 0 where f says nothing. Pure.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm, t

from meta.metamodel.quantile_curves import Z_SCORES, bounded
from meta.metric import MEDIAN, MIN_LOSS, QUANTILES, Metric

MIN_LABELLED_ROWS = 20
"""Fewer labelled evaluation rows than this correct nothing: their variance is not known well
enough."""
MEAN_METRICS = (Metric.ACCURACY, Metric.LOG_LOSS)
"""Means over rows; macro-F1 and AUROC are not."""
MAX_FORECAST_DEVIATIONS = 3.0
"""A forecast so many standard deviations off, of its own error and the measurement's together, is
refuted: it cannot have been as certain as it said, and is stretched about its median until it lies
just so far off."""


@dataclass(frozen=True)
class Measured:
    """The mean outcome on the evaluation rows, estimated; the standard error holds Student's t for
    `n_labelled` rows."""

    estimate: float
    standard_error: float
    n_labelled: int
    weight: float
    """λ in [0, 1]."""

    @property
    def quantiles(self) -> np.ndarray:
        """(5,) at QUANTILES."""
        return self.estimate + self.standard_error * Z_SCORES


def outcomes(
    metric: Metric, probabilities: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """((m,) outcome where `labels` (m,) >= 0, else NaN; (m,) what the probe expects of it) for
    probabilities (m, K).

    Hits and the largest probability (accuracy), or the loss and the entropy (log_loss). A label of
    K is of a class that the probe has never seen: a miss, with the loss of a probability of 0.01.
    Raises ValueError for another metric."""
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
    """Whether labels (m,) of evaluation rows are enough, for a metric that is a mean over rows."""
    return (
        labels is not None
        and metric in MEAN_METRICS
        and int(np.sum(labels >= 0)) >= MIN_LABELLED_ROWS
    )


def measure(outcome: np.ndarray, expected: np.ndarray) -> Measured:
    """The mean outcome from `outcome` (m,), NaN where unlabelled, and `expected` (m,). Raises
    ValueError for fewer than `MIN_LABELLED_ROWS` labelled rows.

    The variance is that of the labelled rows and two more, at the least and the greatest outcome a
    row could have had: a sample without a miss does not prove that there are none (as in Agresti
    and Coull's interval).
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
    """Forecast quantiles (H, 5) over ascending horizons, the first at the present n, after
    `measured` there.

    The first is the normal product of forecast and measurement, on the scale that forecasts are
    learnt on (`meta.metamodel.quantile_curves`); a forecast that the measurement refutes is
    stretched first (`MAX_FORECAST_DEVIATIONS`). What a later forecast errs beyond the first's error
    is taken to be independent of it, so all medians move with the first, and lose its variance:
    less than the first gained, by share.
    """
    forecast = (
        metric.to_scale(curve) if metric.is_rate else np.log(np.maximum(curve, 1e-9))
    )  # below MIN_LOSS, too
    spread = np.abs(forecast[:, -1] - forecast[:, 0]) / (
        norm.ppf(QUANTILES[-1]) - norm.ppf(QUANTILES[0])
    )  # (H,) deviations
    prior = max(float(spread[0]) ** 2, 1e-12)
    middle = float(metric.to_scale(np.array(measured.estimate)))
    within = float(
        metric.from_scale(np.array(middle))
    )  # an estimate may lie beyond an end of the range
    below, above = metric.to_scale(within + measured.standard_error * np.array([-1.0, 1.0]))
    noise = max(middle - below, above - middle) ** 2  # at an end of the range one side is cut off
    off = middle - float(forecast[0, MEDIAN])
    if not metric.is_rate and measured.estimate <= MIN_LOSS:
        off = min(
            off, 0.0
        )  # the least that a measurement tells apart: a forecast of less agrees with it
    stretch = np.sqrt(max(((off / MAX_FORECAST_DEVIATIONS) ** 2 - noise) / prior, 1.0))
    prior, spread = prior * stretch**2, spread * stretch
    gain = prior / (prior + noise)
    shift = gain * off
    shared = np.minimum(
        prior, spread**2
    )  # covariance of the error at each horizon with that at the first
    left = np.sqrt(np.maximum(1 - gain * shared**2 / (prior * np.maximum(spread**2, 1e-12)), 0.0))
    median = forecast[:, MEDIAN] + shift * shared / prior
    about = stretch * left[:, None] * (forecast - forecast[:, [MEDIAN]])
    corrected = metric.from_scale(bounded(median[:, None] + about, metric))
    order = np.maximum.accumulate if metric.is_rate else np.minimum.accumulate
    return order(corrected, axis=0)


def _weight(y: np.ndarray, f: np.ndarray, n_rest: int) -> float:
    """λ of least variance, in [0, 1]; 0 without unlabelled rows, whose mean f would be all it has
    to say."""
    if n_rest == 0 or f.var() < 1e-12:
        return 0.0
    covariance = float(np.mean((y - y.mean()) * (f - f.mean())))
    return float(np.clip(covariance / (f.var() * (1 + len(y) / n_rest)), 0.0, 1.0))
