"""The metrics that are forecast: their names, their scales, what of them may be asked for."""

from numbers import Real

import numpy as np

from cluster.storage import UserError

RATES = ("accuracy", "macro_f1", "auroc")
"""Metrics in [0, 1] where higher is better."""
METRICS = (*RATES, "log_loss")

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of every forecast, in this order."""
MEDIAN = QUANTILES.index(0.5)

TOLERANCE = 0.005
"""Half a point: a cheaper model this close to the best is good enough (question 5)."""


def to_loss(metric: str, values: np.ndarray) -> np.ndarray:
    """Losses of metric values."""
    return 1.0 - values if metric in RATES else values


def from_loss(metric: str, losses: np.ndarray) -> np.ndarray:
    """Metric values of losses; rates are clipped to [0, 1], log-losses to >= 0."""
    return np.clip(1.0 - losses, 0.0, 1.0) if metric in RATES else np.maximum(losses, 0.0)


def stabilised(rates: np.ndarray) -> np.ndarray:
    """arcsin √rate, the scale on which the noise of a rate of n rows has the variance 1/(4n)
    whatever the rate."""
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def from_stabilised(angles: np.ndarray) -> np.ndarray:
    """Rates of what `stabilised` returned; angles beyond those of 0 and 1 count as these."""
    return np.sin(np.clip(angles, 0.0, np.pi / 2)) ** 2


def check_request(metric: str, target: float | None, metamodel_metric: str | None = None) -> None:
    """Raises UserError for an unknown metric, a target that the metric cannot have, or a metamodel
    of another metric."""
    if metric not in METRICS:
        raise UserError(f"--metric {metric}: unknown; choose {', '.join(METRICS)}")
    if target is not None:
        if isinstance(target, bool) or not isinstance(target, Real):
            raise UserError(f"target {target!r}: must be a number")
        if metric in RATES and not 0 < target <= 1:
            hint = f"; did you mean {target / 100:g}?" if 1.5 < target <= 100 else ""
            raise UserError(
                f"--target {target:g}: {metric} is a fraction, above 0 and at most 1{hint}"
            )
        if not 0 < target < float("inf"):
            raise UserError(f"--target {target:g}: must be a number above 0")
    if metamodel_metric is not None and metamodel_metric != metric:
        raise UserError(
            f"--metric {metric}: this metamodel forecasts {metamodel_metric}; give --metric"
            f" {metamodel_metric} or fit another"
        )
