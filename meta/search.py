"""The meta-search: which NeoBERTas to try, how to judge those that were tried, which one to train.

A candidate is pretrained with a small token budget. The metamodel then *predicts* what it would
reach as an encoder, from a small labelled sample, at a training size for which there are no labels.
The choice follows the rule of question 5: the smallest model whose predicted metric is within
`HALF_A_POINT` of the best one. Of two equally small models the one with the lower validation loss
is chosen. Other modules decide where and in which order candidates run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

from meta.metric import HALF_A_POINT


class SearchSpace(BaseModel):
    """What may differ between candidates. Each entry is a list of values to choose from, or a (low,
    high) range that is searched on a logarithmic or linear scale."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_layers: tuple[PositiveInt, ...] = Field((1, 2, 3, 4), min_length=1)
    """Depths to choose from."""
    hidden_size: tuple[PositiveInt, ...] = Field((64, 128, 192), min_length=1)
    """Widths to choose from; multiples of 64 (the size of a head)."""
    lr: tuple[float, float] = (3e-4, 6e-3)
    """Range of the peak learning rate, searched on a logarithmic scale."""
    mask_rate: tuple[float, float] = (0.15, 0.45)
    """Range of the share of tokens to predict, searched on a linear scale."""

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
        """The space in the plain form that a searcher reads: name -> (kind, *arguments)."""
        return {
            "n_layers": ("choice", list(self.n_layers)),
            "hidden_size": ("choice", list(self.hidden_size)),
            "lr": ("loguniform", *self.lr),
            "mask_rate": ("uniform", *self.mask_rate),
        }


class Candidate(BaseModel):
    """One configuration that was tried, and what is known of it."""

    n_layers: int
    hidden_size: int
    lr: float
    mask_rate: float
    n_parameters: int
    n_tokens: int
    validation_loss: float
    """Mean cross-entropy (nats) of masked tokens on held-out files. 15 % of the tokens are masked,
    with a fixed seed."""
    predicted: float
    """The median forecast of the metric at `predicted_n_train` labelled rows, at the best view,
    averaged over the tasks of the search."""
    predicted_low: float
    predicted_high: float
    """As `predicted`, for the 5 % and the 95 % quantile."""
    predicted_n_train: int
    measured: float
    """The metric of a probe that was trained on the labelled sample itself, averaged over the
    tasks. It is measured, not predicted."""
    seconds: float
    chosen: bool = False


def choose(candidates: Sequence[Candidate], tolerance: float = HALF_A_POINT) -> int:
    """Position of the candidate to train: the smallest one whose prediction is within `tolerance`
    of the best. Of two equally small ones it is the one with the lower validation loss. Raises
    ValueError where there is no candidate."""
    if not candidates:
        raise ValueError("no candidate finished: nothing to choose from")
    best = max(candidate.predicted for candidate in candidates)
    good = [i for i, candidate in enumerate(candidates) if candidate.predicted >= best - tolerance]
    return min(good, key=lambda i: (candidates[i].n_parameters, candidates[i].validation_loss))


def mean_prediction(curves: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Quantiles (`q05`, `q50`, `q95`), averaged over tasks. An average of quantiles is not a
    quantile of the average: it makes the interval too wide. For a choice that is the safe side."""
    return {
        name: sum(curve[name] for curve in curves) / len(curves) for name in ("q05", "q50", "q95")
    }
