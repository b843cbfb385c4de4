"""The metrics that are forecast: their names, which direction is better, their scales, how people
read them.

The levels of every quantile forecast, and the check of a user's metric and target, are here too.
"""

from enum import StrEnum
from numbers import Real

import numpy as np

from cluster.storage import UserError
from neoberta.near_miss import did_you_mean

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
"""The levels of the quantiles that every forecast has, in this order."""
MEDIAN = QUANTILES.index(0.5)
"""Column of the median among the quantiles."""
HALF_A_POINT = 0.005
"""Half a point. Question 5 takes a cheaper model that is this close to the best."""
MIN_LOSS = 0.005
"""Nats. Smaller log-losses count as this one, because a logarithm exaggerates what lies near 0."""
NBSP = "\u00a0"
"""A no-break space. It keeps a number and its sign on one line."""


class Metric(StrEnum):
    """A metric that is forecast. Its value is its name, which is also its column in the probe
    results, the word after `--metric`, and the word in JSON files."""

    ACCURACY = "accuracy"
    MACRO_F1 = "macro_f1"
    AUROC = "auroc"
    LOG_LOSS = "log_loss"

    @classmethod
    def _missing_(cls, value: object) -> "Metric":
        raise ValueError(f"metric {value!r}: one of {', '.join(cls)}")

    @property
    def is_rate(self) -> bool:
        """True for a metric in [0, 1] of which more is better. False for the log-loss (nats), which
        has no upper end and of which less is better."""
        return self is not Metric.LOG_LOSS

    @property
    def sign(self) -> float:
        """1.0 or -1.0, so that `sign * value` grows as the value gets better."""
        return 1.0 if self.is_rate else -1.0

    @property
    def words(self) -> str:
        """The name of the metric in a sentence."""
        return _WORDS[self]

    def best(self, draws: np.ndarray) -> np.ndarray:
        """(N, 1): the best value in each row of `draws` (N, V)."""
        return (np.max if self.is_rate else np.min)(draws, axis=1, keepdims=True)

    def to_loss(self, values: np.ndarray) -> np.ndarray:
        """`values` as losses: 1 - rate. A log-loss is returned as it is."""
        return 1.0 - values if self.is_rate else values

    def from_loss(self, losses: np.ndarray) -> np.ndarray:
        """The inverse of `to_loss`. Rates are clipped to [0, 1], log-losses to >= 0."""
        return np.clip(1.0 - losses, 0.0, 1.0) if self.is_rate else np.maximum(losses, 0.0)

    def to_scale(self, values: np.ndarray) -> np.ndarray:
        """`values` on the scale on which the metamodel learns.

        For rates this is arcsin √rate (`stabilised`). For log-losses it is the logarithm, because
        their errors are in proportion to them.
        """
        return stabilised(values) if self.is_rate else np.log(np.maximum(values, MIN_LOSS))

    def from_scale(self, values: np.ndarray) -> np.ndarray:
        """The inverse of `to_scale`."""
        return from_stabilised(values) if self.is_rate else np.exp(values)

    def show(self, value: float) -> str:
        """A value as people read it: `84.2 %` for a rate, three decimals for a log-loss (nats)."""
        return f"{100 * value:.1f}{NBSP}%" if self.is_rate else f"{value:.3f}"


_WORDS = {
    Metric.ACCURACY: "accuracy",
    Metric.MACRO_F1: "macro F1",
    Metric.AUROC: "AUROC",
    Metric.LOG_LOSS: "log loss (nats)",
}


def stabilised(rates: np.ndarray) -> np.ndarray:
    """arcsin √rate. On this scale the noise of a rate measured on n rows has the variance 1/(4n),
    whatever the rate (Anscombe 1948)."""
    return np.arcsin(np.sqrt(np.clip(rates, 0.0, 1.0)))


def from_stabilised(angles: np.ndarray) -> np.ndarray:
    """The inverse of `stabilised`. Angles outside [0, π/2] count as the nearer end."""
    return np.sin(np.clip(angles, 0.0, np.pi / 2)) ** 2


def check_request(metric: str, target: float | None, metamodel_metric: str | None = None) -> Metric:
    """The metric that is called `metric`.

    Raises UserError for an unknown metric, for a `target` that the metric cannot have, and where
    `metamodel_metric`, the metric that the metamodel forecasts, is another one.
    """
    try:
        known = Metric(metric)
    except ValueError:
        hint = did_you_mean(str(metric), Metric)
        raise UserError(f"--metric {metric}: unknown; choose {', '.join(Metric)}{hint}") from None
    if target is not None:
        if isinstance(target, bool) or not isinstance(target, Real):
            raise UserError(f"--target {target!r}: must be a number")
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
