"""Question 4: how the spaces compare on one sample, once the prior of spaces is taken into account.

The metamodel forecasts each space from its own statistics, and so passes on the luck that each of
them had on the sample. The prior (`meta.priors.spaces`) knows how spaces compare on other tasks.
Where there is one, the forecasts are moved towards the differences of the posterior
(`in_company`). Their common level stays that of the metamodel. How far they are moved falls with
the number of labelled rows: the metamodel's own forecast of a space gets better with it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from meta.answering.q4_ranking import N_DRAWS, hit_correlation
from meta.answering.spaces import Space
from meta.metric import MEDIAN, Metric, from_stabilised, stabilised
from meta.priors.spaces import SpaceKey, ViewPrior, short_reference
from probes.encoders.reference import SENTENCE

TWIN_AGREEMENT = 0.95
"""The authors' own vector (`sentence`) of a folder is taken by the prior for the pooling of the
last layer whose leave-one-out hits are the same on at least this share of the rows: more often than
not it is that vector, normalised."""
COMPANY_ROWS = 128
"""On n labelled rows, forecasts are moved by the share COMPANY_ROWS / (COMPANY_ROWS + n) towards
the posterior. On tasks that neither the metamodel nor the prior had seen, 64 to 512 made little
difference. Without a move, and with a whole one, the forecasts were worse (docs/benchmarks.md)."""
VARIANCE_NOW, VARIANCE_PER_OCTAVE = 1.5, 1.25
"""The variance of the differences between forecasts is that of the posterior times this factor at
the present n, and more by the second one for every octave ahead. So the probabilities come true as
often as they say on tasks that were not learnt from."""


@dataclass(frozen=True)
class SpacePosterior:
    """The joint posterior of the accuracies of V spaces at the present n, on the scale arcsin
    √a."""

    mean: np.ndarray
    """(V,) posterior means."""
    covariance: np.ndarray
    """(V, V) posterior covariances."""
    n_train: int
    """The present n."""

    @property
    def accuracy(self) -> np.ndarray:
        """(V,) accuracies at the posterior mean."""
        return from_stabilised(self.mean)

    @property
    def share(self) -> float:
        """How far forecasts are moved towards the posterior, in [0, 1]."""
        return COMPANY_ROWS / (COMPANY_ROWS + self.n_train)

    def medians(self, curves: Mapping[int, np.ndarray], horizon: int) -> np.ndarray:
        """(V,) medians at the position `horizon` of the `curves` (position of a space -> (H, 5)). A
        space with a forecast has its own median. A screened one has that of the posterior, at the
        common level of the forecasts."""
        angles = {i: stabilised(curve[horizon, MEDIAN]) for i, curve in curves.items()}
        level = np.mean([angle - self.mean[i] for i, angle in angles.items()])
        found = self.mean + level
        found[list(angles)] = list(angles.values())
        return from_stabilised(found)

    def draws(
        self,
        medians: np.ndarray,
        *,
        octaves: float,
        interval_factor: float,
        seed: int,
        n_draws: int = N_DRAWS,
    ) -> np.ndarray:
        """(n_draws, V) joint draws of accuracies, centred on `medians` (V,), which are forecasts
        `octaves` ahead. They have the spread of the posterior's differences; it is stretched by
        `interval_factor`, as all intervals are. Deterministic given `seed`."""
        # an error that all spaces share does not decide which one is best
        centring = np.eye(len(self.mean)) - 1 / len(self.mean)
        values, vectors = np.linalg.eigh(centring @ self.covariance @ centring)
        sd = interval_factor * np.sqrt(VARIANCE_NOW + VARIANCE_PER_OCTAVE * octaves)
        noise = np.random.default_rng(seed).standard_normal((n_draws, len(values)))
        return from_stabilised(
            stabilised(medians) + sd * noise @ (vectors * np.sqrt(np.maximum(values, 0.0))).T
        )


def space_posterior(
    spaces: Sequence[Space], prior: ViewPrior | None, metric: Metric, *, is_pair: bool
) -> SpacePosterior | None:
    """The posterior of `spaces`, which are all measured on the same rows. `is_pair` says that the
    task is on pairs of texts. None without a prior, for a metric other than accuracy, and for a
    single space."""
    if prior is None or metric != Metric.ACCURACY or len(spaces) < 2:
        return None
    hits = np.stack([space.hits for space in spaces]).astype(np.float64)
    refs = list(dict.fromkeys(space.info.ref for space in spaces))
    n_called = Counter(map(short_reference, refs))
    # folders of one name (a/final, b/final) are not one encoder, and none of them is a measured one
    names = {ref: ref if n_called[short_reference(ref)] == 1 else f"folder:{ref}" for ref in refs}
    keys = [
        SpaceKey(
            names[space.info.ref],
            space.view.layer,
            space.info.n_layers,
            _pooling_of_prior(space, spaces),
        )
        for space in spaces
    ]
    n_train = hits.shape[1]
    return SpacePosterior(
        *prior.posterior(keys, hits.mean(axis=1), hit_correlation(hits), n_train, is_pair=is_pair),
        n_train,
    )


def _pooling_of_prior(space: Space, spaces: Sequence[Space]) -> str:
    """The pooling by which the prior knows `space`: for a `sentence` view that of its twin among
    `spaces`, where it has one (`TWIN_AGREEMENT`)."""
    if space.view.pooling != SENTENCE:
        return space.view.pooling
    agreement = {
        other.view.pooling: float(np.mean(other.hits == space.hits))
        for other in spaces
        if other.info.ref == space.info.ref
        and other.view.layer == space.view.layer
        and other.view.pooling != SENTENCE
        and not other.view.is_cross
    }
    twin = max(agreement, key=lambda pooling: agreement[pooling], default=SENTENCE)
    return twin if agreement.get(twin, 0.0) >= TWIN_AGREEMENT else SENTENCE


def in_company(
    curves: Mapping[int, np.ndarray], posterior: SpacePosterior, encoders: Mapping[int, str]
) -> dict[int, np.ndarray]:
    """`curves`, changed by what is known of the other spaces. A curve is (H, 5); its key is the
    position of its space, for which `encoders` has the encoder.

    The differences between the medians at the present n are moved towards those of the posterior;
    the mean of the medians stays. With more labels the spaces of one encoder grow alike, by the
    mean of their growth: which layer gains more than another is not foretold, and to follow such
    forecasts made the choice at 4 and 16 times the labels worse (docs/benchmarks.md).
    """
    angles = {i: stabilised(curve) for i, curve in curves.items()}
    now = {i: angle[0, MEDIAN] for i, angle in angles.items()}
    level = np.mean([angle - posterior.mean[i] for i, angle in now.items()])
    found = {}
    for i, angle in angles.items():
        relatives = [j for j in curves if encoders[j] == encoders[i]]
        growth = np.mean([angles[j][:, MEDIAN] - now[j] for j in relatives], axis=0)
        shift = posterior.share * (posterior.mean[i] + level - now[i])
        moved = growth - (angle[:, MEDIAN] - now[i]) + shift  # (H,)
        # on this scale a quantile of 1 hardly leaves 1 when it is moved
        found[i] = np.maximum.accumulate(from_stabilised(angle + moved[:, None]), axis=0)
    return found
