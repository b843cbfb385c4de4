"""The metrics that are forecast: their names, their direction, their scales, how they are written.

Also the levels of every quantile forecast, and the check of what a user asks for.
"""

from enum import StrEnum
from numbers import Real

import numpy as np

from cluster.storage import UserError

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""Levels of every forecast, in this order."""
MEDIAN = QUANTILES.index(0.5)
TOLERANCE = 0.005
"""Half a point: a cheaper model this close to the best is good enough (question 5)."""
LEAST_LOSS = 0.005
"""Nats: smaller log-losses count as this one: a logarithm exaggerates what lies near 0."""
NBSP = "\u00a0"
"""Keeps a number and its sign on one line."""


class Metric(StrEnum):
    """A metric that is forecast. Its value is its name: its column in the probe results, and what
    `--metric` and JSON files call it."""

    ACCURACY = "accuracy"
    MACRO_F1 = "macro_f1"
    AUROC = "auroc"
    LOG_LOSS = "log_loss"

    @classmethod
    def _missing_(cls, value: object) -> "Metric":
        raise ValueError(f"metric {value!r}: one of {', '.join(cls)}")

    @property
    def is_rate(self) -> bool:
        """In [0, 1], higher is better. The log-loss (nats) has no upper end, lower is better."""
        return self is not Metric.LOG_LOSS

    @property
    def sign(self) -> float:
        """1 or -1: `sign * value` grows as the value gets better."""
        return 1.0 if self.is_rate else -1.0

    @property
    def words(self) -> str:
        """Its name in a sentence."""
        return _WORDS[self]

    def best(self, draws: np.ndarray) -> np.ndarray:
        """(N, 1) the best value in each row of `draws` (N, V)."""
        return (np.max if self.is_rate else np.min)(draws, axis=1, keepdims=True)

    def to_loss(self, values: np.ndarray) -> np.ndarray:
        """Losses of values: 1 - rate; a log-loss is one."""
        return 1.0 - values if self.is_rate else values

    def from_loss(self, losses: np.ndarray) -> np.ndarray:
        """Values of losses. Rates are clipped to [0, 1], log-losses to >= 0."""
        return np.clip(1.0 - losses, 0.0, 1.0) if self.is_rate else np.maximum(losses, 0.0)

    def to_scale(self, values: np.ndarray) -> np.ndarray:
        """Values on the scale that is learnt on.

        Rates: arcsin √a, where the noise of n rows has the variance 1/(4n) whatever the rate
        (Anscombe 1948). Log-losses: the logarithm, since their errors are in proportion to them.
        """
        return stabilised(values) if self.is_rate else np.log(np.maximum(values, LEAST_LOSS))

    def from_scale(self, values: np.ndarray) -> np.ndarray:
        """Values from the scale that is learnt on."""
        return from_stabilised(values) if self.is_rate else np.exp(values)

    def show(self, value: float) -> str:
        """A value as people read it: `84.2 %`, or three decimals of a nat."""
        return f"{100 * value:.1f}{NBSP}%" if self.is_rate else f"{value:.3f}"


_WORDS = {
    Metric.ACCURACY: "accuracy",
    Metric.MACRO_F1: "macro F1",
    Metric.AUROC: "AUROC",
    Metric.LOG_LOSS: "log loss (nats)",
}


def stabilised(rates: np.ndarray) -> np.ndarray:
    """arcsin √rate, the scale on which the noise of a rate of n rows has the variance 1/(4n)
    whatever the rate."""
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def from_stabilised(angles: np.ndarray) -> np.ndarray:
    """Rates of what `stabilised` returned; angles beyond those of 0 and 1 count as these."""
    return np.sin(np.clip(angles, 0.0, np.pi / 2)) ** 2


def check_request(metric: str, target: float | None, metamodel_metric: str | None = None) -> Metric:
    """The metric of that name. Raises UserError for an unknown metric, a target that the metric
    cannot have, or a metamodel of another metric."""
    try:
        known = Metric(metric)
    except ValueError:
        raise UserError(f"--metric {metric}: unknown; choose {', '.join(Metric)}") from None
    if target is not None:
        if isinstance(target, bool) or not isinstance(target, Real):
            raise UserError(f"target {target!r}: must be a number")
        if known.is_rate and not 0 < target <= 1:
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
    return known
