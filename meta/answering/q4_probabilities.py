"""Question 4's probabilities: how likely each space is the best one, now and far ahead, or near
enough to it."""

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
from meta.metric import MEDIAN, TOLERANCE, Metric


@dataclass(frozen=True)
class SpaceProbabilities:
    """Per space (V,): probability of being the best now and with 16 times the labels, and of being
    within half a point now."""

    best: np.ndarray
    best_16x: np.ndarray
    within_tolerance: np.ndarray


def space_probabilities(
    spaces: Sequence[Space],
    curves: Mapping[int, np.ndarray],
    posterior: SpacePosterior | None,
    metric: Metric,
    seed: int,
) -> SpaceProbabilities:
    """From joint draws over all `spaces`; `curves` (H, 5) are forecasts by position of their space.

    A screened space's margin is that of the forecast space nearest by leave-one-out (of its own
    encoder where there is one), moved by the difference of their leave-one-outs. Where there is a
    posterior of the spaces, it gives the spread at the present n."""
    correlation = hit_correlation(np.stack([space.hits for space in spaces]).astype(np.float64))

    def by_margins(horizon: int) -> np.ndarray:
        margins = np.stack([_margin(i, spaces, curves, horizon) for i in range(len(spaces))])
        return joint_draws(margins, correlation, seed=seed)

    now = (
        by_margins(0)
        if posterior is None
        else posterior.draws(_medians(posterior, curves), seed=seed)
    )
    return SpaceProbabilities(
        probability_best(now, metric),
        probability_best(by_margins(-1), metric),
        probability_within(now, metric, TOLERANCE),
    )


def _medians(posterior: SpacePosterior, curves: Mapping[int, np.ndarray]) -> np.ndarray:
    """(V,) present medians: the forecasts', the posterior's at their level for spaces that were
    screened."""
    now = {i: curve[0, MEDIAN] for i, curve in curves.items()}
    medians = posterior.accuracy + np.mean(
        [value - posterior.accuracy[i] for i, value in now.items()]
    )
    medians[list(now)] = list(now.values())
    return medians


def _margin(
    i: int, spaces: Sequence[Space], curves: Mapping[int, np.ndarray], horizon: int
) -> np.ndarray:
    if i in curves:
        return curves[i][horizon]
    near = min(
        curves,
        key=lambda j: (
            spaces[j].info.fingerprint != spaces[i].info.fingerprint,
            abs(spaces[j].loo_metric - spaces[i].loo_metric),
        ),
    )
    return curves[near][horizon] + spaces[i].loo_metric - spaces[near].loo_metric
