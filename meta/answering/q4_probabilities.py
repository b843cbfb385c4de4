"""Question 4: the probability of each space to be the best one, now and with more labels, or to be
nearly as good."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meta.answering.q4_posterior import SpacePosterior
from meta.answering.q4_ranking import (
    hit_correlation,
    joint_draws,
    probability_best,
    probability_within,
)
from meta.answering.spaces import Space
from meta.metric import HALF_A_POINT, Metric

OCTAVES_AHEAD = 4.0
"""The last size of a curve is this many octaves ahead: 16 times the present n."""


@dataclass(frozen=True)
class SpaceProbabilities:
    """Probabilities of V spaces."""

    best: np.ndarray
    """(V,) to be the best at the present n."""
    best_16x: np.ndarray
    """(V,) to be the best with 16 times the labels."""
    within_tolerance: np.ndarray
    """(V,) to be within `HALF_A_POINT` of the best at the present n."""
    draws: np.ndarray
    """(N_DRAWS, V) the joint draws of the metric at the present n."""


def space_probabilities(
    spaces: Sequence[Space],
    curves: Mapping[int, np.ndarray],
    posterior: SpacePosterior | None,
    metric: Metric,
    *,
    interval_factor: float,
    seed: int,
) -> SpaceProbabilities:
    """The probabilities, from joint draws of the metrics of all `spaces`.

    `curves` are the forecasts: position of the space -> (H, 5), at sizes of which the last is 16
    times the present n. Where there is a `posterior`, the draws have its spread. Without one, a
    screened space, which has no forecast, borrows the quantiles of a space that has one, of the
    same encoder if possible and with the nearest leave-one-out metric; they are moved by the
    difference of the two leave-one-out metrics. `interval_factor` is that of all intervals.
    """

    def draws_at(horizon: int, octaves: float) -> np.ndarray:
        if posterior is not None:
            return posterior.draws(
                posterior.medians(curves, horizon),
                octaves=octaves,
                interval_factor=interval_factor,
                seed=seed,
            )
        marginals = np.stack([_quantiles(i, spaces, curves, horizon) for i in range(len(spaces))])
        correlation = hit_correlation(np.stack([space.hits for space in spaces]).astype(np.float64))
        return joint_draws(marginals, correlation, seed=seed)

    now = draws_at(0, 0.0)
    return SpaceProbabilities(
        probability_best(now, metric),
        probability_best(draws_at(-1, OCTAVES_AHEAD), metric),
        probability_within(now, metric, HALF_A_POINT),
        now,
    )


def _quantiles(
    i: int, spaces: Sequence[Space], curves: Mapping[int, np.ndarray], horizon: int
) -> np.ndarray:
    """(5,) quantiles of the metric of the space at position `i`, at position `horizon` of the
    curves; borrowed where the space was screened."""
    if i in curves:
        return curves[i][horizon]
    nearest = min(
        curves,
        key=lambda j: (
            spaces[j].info.fingerprint != spaces[i].info.fingerprint,
            abs(spaces[j].loo_metric - spaces[i].loo_metric),
        ),
    )
    return curves[nearest][horizon] + spaces[i].loo_metric - spaces[nearest].loo_metric
