"""Spaces set beside each other on one sample, with what other tasks say of such spaces
(`meta.priors.spaces`).

The metamodel forecasts each space from its own sample statistics, and so passes on the luck of
every single one. Where there is a prior of spaces, the differences between forecasts are replaced
by those of the posterior; their common level stays the metamodel's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meta.answering.q4_ranking import N_DRAWS, hit_correlation
from meta.answering.spaces import Space
from meta.metric import MEDIAN, Metric, from_stabilised, stabilised
from meta.priors.spaces import SpaceKey, ViewPrior


@dataclass(frozen=True)
class SpacePosterior:
    """Posterior of the spaces' accuracies at the present n, on the scale arcsin √a."""

    mean: np.ndarray
    """(V,)"""
    covariance: np.ndarray
    """(V, V)"""

    @property
    def accuracy(self) -> np.ndarray:
        """(V,) at the posterior mean."""
        return from_stabilised(self.mean)

    def draws(self, medians: np.ndarray, *, seed: int, n_draws: int = N_DRAWS) -> np.ndarray:
        """(n_draws, V) accuracies with the posterior's spread about `medians` (V,)."""
        values, vectors = np.linalg.eigh(
            self.covariance - self.covariance.mean()
        )  # a level shared by all decides nothing
        noise = np.random.default_rng(seed).standard_normal((n_draws, len(values)))
        angles = self.mean + noise @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        return from_stabilised(angles) - self.accuracy + medians


def space_posterior(
    spaces: Sequence[Space], prior: ViewPrior | None, metric: Metric
) -> SpacePosterior | None:
    """The posterior of `spaces`, all measured on the same rows; None without a prior, and for
    metrics that it does not know."""
    if prior is None or metric != Metric.ACCURACY or len(spaces) < 2:
        return None
    hits = np.stack([space.hits for space in spaces]).astype(np.float64)
    keys = [
        SpaceKey(space.info.ref, space.view.layer, space.info.n_layers, space.view.pooling)
        for space in spaces
    ]
    return SpacePosterior(
        *prior.posterior(keys, hits.mean(axis=1), hit_correlation(hits), hits.shape[1])
    )


def align_medians(
    curves: Mapping[int, np.ndarray], posterior: SpacePosterior
) -> dict[int, np.ndarray]:
    """`curves` (H, 5) by position of their space, moved so that their present medians differ as the
    posterior says."""
    level = np.mean([curve[0, MEDIAN] - posterior.accuracy[i] for i, curve in curves.items()])
    found = {}
    for i, curve in curves.items():
        angles = stabilised(
            curve
        )  # on this scale a quantile of 1 that is moved stays at 1, but for a hair
        moved = stabilised(posterior.accuracy[i] + level) - angles[0, MEDIAN]
        found[i] = from_stabilised(angles + moved)
    return found
