"""Question 4: how the spaces compare on one sample, once the prior of spaces is taken into account.

The metamodel forecasts each space from its own statistics, and so passes on the luck that each of
them had on the sample. The prior (`meta.priors.spaces`) knows how spaces compare on other tasks.
Where there is one, the posterior gives the differences between the forecasts. Their common level
stays that of the metamodel.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meta.answering.q4_ranking import N_DRAWS, hit_correlation
from meta.answering.spaces import Space
from meta.metric import MEDIAN, Metric, from_stabilised, stabilised
from meta.priors.spaces import SpaceKey, ViewPrior

PRIOR_POOLINGS = {"sentence": "mean"}
"""Poolings that no task of the prior has -> the one that the prior takes them for. The authors' own
vector of a sentence-transformers folder is, more often than not, the normalised mean of the last
layer."""


@dataclass(frozen=True)
class SpacePosterior:
    """The joint posterior of the accuracies of V spaces at the present n, on the scale arcsin
    √a."""

    mean: np.ndarray
    """(V,) posterior means."""
    covariance: np.ndarray
    """(V, V) posterior covariances."""

    @property
    def accuracy(self) -> np.ndarray:
        """(V,) accuracies at the posterior mean."""
        return from_stabilised(self.mean)

    def draws(self, medians: np.ndarray, *, seed: int, n_draws: int = N_DRAWS) -> np.ndarray:
        """(n_draws, V) joint draws of accuracies. They are centred on `medians` (V,) and have the
        spread of the posterior. Deterministic given `seed`."""
        # an error that all spaces share does not decide which one is best
        values, vectors = np.linalg.eigh(self.covariance - self.covariance.mean())
        noise = np.random.default_rng(seed).standard_normal((n_draws, len(values)))
        angles = self.mean + noise @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        return from_stabilised(angles) - self.accuracy + medians


def space_posterior(
    spaces: Sequence[Space], prior: ViewPrior | None, metric: Metric, *, is_pair: bool
) -> SpacePosterior | None:
    """The posterior of `spaces`, which are all measured on the same rows. `is_pair` says that the
    task is on pairs of texts. None without a prior, for a metric other than accuracy, and for a
    single space."""
    if prior is None or metric != Metric.ACCURACY or len(spaces) < 2:
        return None
    hits = np.stack([space.hits for space in spaces]).astype(np.float64)
    keys = [
        SpaceKey(
            space.info.ref,
            space.view.layer,
            space.info.n_layers,
            PRIOR_POOLINGS.get(space.view.pooling, space.view.pooling),
        )
        for space in spaces
    ]
    return SpacePosterior(
        *prior.posterior(
            keys, hits.mean(axis=1), hit_correlation(hits), hits.shape[1], is_pair=is_pair
        )
    )


def align_medians(
    curves: Mapping[int, np.ndarray], posterior: SpacePosterior
) -> dict[int, np.ndarray]:
    """`curves`, moved so that the differences between their medians at the present n are those of
    the posterior. A curve is (H, 5); its key is the position of its space."""
    level = np.mean([curve[0, MEDIAN] - posterior.accuracy[i] for i, curve in curves.items()])
    found = {}
    for i, curve in curves.items():
        # on this scale a quantile of 1 hardly leaves 1 when it is moved
        angles = stabilised(curve)
        moved = stabilised(posterior.accuracy[i] + level) - angles[0, MEDIAN]
        found[i] = from_stabilised(angles + moved)
    return found
