"""The meta-search's science: which NeoBERTas to try, how a tried one is judged, and which one to
train.

A candidate is pretrained under a small token budget; what it would reach as an encoder is then
*predicted* by the metamodel from a small labelled sample, at a training size that was never
labelled. The choice follows question 5's rule: the smallest model whose predicted metric is within
`TOLERANCE` of the best, ties going to the lower validation loss. Where and in which order
candidates run is not decided here.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

TOLERANCE = 0.005
"""Half a point of the metric: less than this is not worth a larger model."""


class SearchSpace(BaseModel):
    """What may vary. Each entry is a choice of values, or a (low, high) range searched on a
    logarithmic or linear scale."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_layers: tuple[PositiveInt, ...] = Field((1, 2, 3, 4), min_length=1)
    """Depths to choose from."""
    hidden_size: tuple[PositiveInt, ...] = Field((64, 128, 192), min_length=1)
    """Widths to choose from; multiples of 64 (the size of a head)."""
    lr: tuple[float, float] = (3e-4, 6e-3)
    """Peak learning rate, log-uniform."""
    mask_rate: tuple[float, float] = (0.15, 0.45)
    """Share of tokens to predict, uniform."""

    @model_validator(mode="after")
    def _can_be_searched(self) -> "SearchSpace":
        if any(width % 64 for width in self.hidden_size):
            raise ValueError("hidden_size: widths are multiples of 64")
        if not 0 < self.lr[0] < self.lr[1]:
            raise ValueError("lr: a range (low, high) with 0 < low < high")
        if not 0 < self.mask_rate[0] < self.mask_rate[1] < 1:
            raise ValueError("mask_rate: a range (low, high) with 0 < low < high < 1")
        return self

    def describe(self) -> dict[str, tuple[Any, ...]]:
        """The space in the plain form that a searcher takes: name -> (kind, *arguments)."""
        return {
            "n_layers": ("choice", list(self.n_layers)),
            "hidden_size": ("choice", list(self.hidden_size)),
            "lr": ("loguniform", *self.lr),
            "mask_rate": ("uniform", *self.mask_rate),
        }


class Candidate(BaseModel):
    """One tried configuration and what is known of it."""

    n_layers: int
    hidden_size: int
    lr: float
    mask_rate: float
    n_parameters: int
    n_tokens: int
    validation_loss: float
    """Mean masked-token cross-entropy (nats) on held-out files, masked at 15 % with a fixed
    seed."""
    predicted: float
    """The metamodel's median of the metric at `predicted_n_train`, averaged over the search's
    tasks, at the best view."""
    predicted_low: float
    predicted_high: float
    """The same for its 5 % and 95 % quantiles."""
    predicted_n_train: int
    measured: float
    """The metric of a probe trained on the labelled sample itself, averaged over the tasks: no
    prediction in it."""
    seconds: float
    chosen: bool = False


def choose(candidates: Sequence[Candidate], tolerance: float = TOLERANCE) -> int:
    """Position of the candidate to train: the smallest within `tolerance` of the best prediction;
    ties by validation loss. Raises ValueError when there is none."""
    if not candidates:
        raise ValueError("no candidate finished: nothing to choose from")
    best = max(candidate.predicted for candidate in candidates)
    good = [i for i, candidate in enumerate(candidates) if candidate.predicted >= best - tolerance]
    return min(good, key=lambda i: (candidates[i].n_parameters, candidates[i].validation_loss))


def mean_prediction(curves: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Quantiles (`q05`, `q50`, `q95`) averaged over tasks. An average of quantiles is not a
    quantile of the average: it overstates the interval, which is the safe side for a choice."""
    return {
        name: sum(curve[name] for curve in curves) / len(curves) for name in ("q05", "q50", "q95")
    }
