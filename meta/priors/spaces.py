"""The prior of embedding spaces, for question 4: how spaces compare on other tasks.

Leave-one-out accuracies of dozens of spaces on one small sample are dozens of noisy numbers. The
space with the largest one is probably only lucky. So the true accuracies on a task have a prior,
which is learnt on other tasks (`meta.priors.fit_spaces`): a mean for each space, and a covariance
between spaces, because neighbouring layers do well or badly together. The scale is arcsin √a. On it
the noise of an accuracy of n rows has the variance 1/(4n), whatever the accuracy.

The accuracies on the sample then give the posterior; their noise is correlated as their hits are.
It is a best linear unbiased predictor (Robinson 1991, "That BLUP is a good thing"). Only contrasts
between spaces are learnt, so the level of the task is free. How much the spaces differ depends on
the task, so a factor on the covariance is averaged over.

Spaces that the prior has not seen are predicted from those that it has seen, by variance
components: of the encoder, of the pooling, and of the depth within the encoder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meta.metric import stabilised

SCALES = tuple(2.0**power for power in np.arange(-2.0, 2.01, 0.5))
"""The factors on the standard deviation of contrasts over which the posterior is averaged."""
SCALE_SD_OCTAVES = 1.0
"""Standard deviation of the prior of log2 of that factor."""
MEASURED_SHARE = 0.7
"""Weight of the measured covariance between spaces, on tasks of single texts. The covariance by
variance components has the remaining weight."""
LEVEL_VARIANCE = 10.0
"""Prior variance of the level that all spaces of a task share. It is so large that the level is
free."""
DEPTH_LENGTH = 0.35
"""Distance in relative depth over which the correlation of spaces falls by the factor e."""
CORRELATION_ROWS = 64
"""The correlations of hits on n rows are shrunk by the factor n / (n + CORRELATION_ROWS). For
dozens of spaces and few rows, the correlation matrix has directions in which all noise seems to
cancel. A difference in such a direction is luck, but would overrule the prior."""
COMPONENTS = ("encoder", "depth", "pooling", "depth and pooling", "own")
"""The variance components: parts of a space's accuracy that it shares with spaces of the same
encoder, of the same encoder and a near depth, and so on. `own` is shared with no other space."""


@dataclass(frozen=True)
class SpaceKey:
    """The names and numbers by which the prior knows a space."""

    encoder: str
    layer: int
    n_layers: int
    pooling: str

    @property
    def name(self) -> str:
        """The name of the space in `ViewPrior.names`."""
        return f"{short_reference(self.encoder)}#{self.layer}/{self.pooling}"

    @property
    def relative_depth(self) -> float:
        """In [0, 1]: the layer over the number of layers."""
        return self.layer / max(self.n_layers, 1)


@dataclass(frozen=True)
class ViewPrior:
    """The prior of the contrasts between spaces, on the scale arcsin √accuracy. It was measured on
    V spaces."""

    names: tuple[str, ...]
    """The V spaces (`SpaceKey.name`)."""
    sizes: tuple[int, ...]
    """The S sample sizes (rows) for which there are `means`, ascending."""
    means: np.ndarray
    """(S, V) mean contrast of each space."""
    covariance: np.ndarray
    """(V, V) covariance of contrasts over tasks."""
    components: tuple[float, ...]
    """The variances of COMPONENTS."""

    def posterior(
        self,
        spaces: Sequence[SpaceKey],
        accuracies: np.ndarray,
        hit_correlation: np.ndarray,
        n_train: int,
        *,
        is_pair: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (V,) and covariance (V, V) of the true values of V `spaces` on the scale arcsin
        √accuracy. The spaces need not be those of `names`.

        `accuracies` (V,) are measured by leave-one-out on `n_train` rows, and `hit_correlation` (V,
        V) are the correlations of their hits. `is_pair` says that the task is on pairs of texts.
        """
        prior_mean, prior_covariance = self._prior(spaces, n_train, is_pair=is_pair)
        observed = stabilised(smoothed(accuracies, n_train)) - prior_mean
        believed = n_train / (n_train + CORRELATION_ROWS)
        noise = (believed * hit_correlation + (1 - believed) * np.eye(len(accuracies))) / (
            4 * n_train
        )
        level = LEVEL_VARIANCE * np.ones_like(noise)
        logs, means, covariances = [], [], []
        for scale in SCALES:
            signal = scale**2 * prior_covariance + level
            total = signal + noise + 1e-9 * np.eye(len(noise))
            gain = np.linalg.solve(total, signal).T
            means.append(prior_mean + gain @ observed)
            covariances.append(signal - gain @ signal)
            _, logdet = np.linalg.slogdet(total)
            fit = -0.5 * (logdet + observed @ np.linalg.solve(total, observed))
            logs.append(fit - 0.5 * (np.log2(scale) / SCALE_SD_OCTAVES) ** 2)
        share = np.exp(np.array(logs) - max(logs))
        share /= share.sum()
        mean = share @ np.array(means)
        spread = np.array(means) - mean
        covariance = (
            np.einsum("s,sij->ij", share, np.array(covariances))
            + (spread * share[:, None]).T @ spread
        )
        return mean, (covariance + covariance.T) / 2

    def save(self, path: Path) -> None:
        """Write the prior as JSON."""
        stored = {
            "names": self.names,
            "sizes": self.sizes,
            "means": np.round(self.means, 6).tolist(),
            "covariance": np.round(self.covariance, 8).tolist(),
            "components": self.components,
        }
        path.write_text(json.dumps(stored, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "ViewPrior":
        """Read what `save` wrote. Raises ValueError, KeyError or OSError for any other file."""
        stored = json.loads(path.read_text(encoding="utf-8"))
        means, covariance = np.array(stored["means"]), np.array(stored["covariance"])
        n_spaces = len(stored["names"])
        if means.shape != (len(stored["sizes"]), n_spaces) or covariance.shape != (
            n_spaces,
            n_spaces,
        ):
            raise ValueError(
                f"{path}: means {means.shape} and covariance {covariance.shape} of {n_spaces}"
                " spaces"
            )
        return cls(
            tuple(stored["names"]),
            tuple(stored["sizes"]),
            means,
            covariance,
            tuple(stored["components"]),
        )

    def _prior(
        self, spaces: Sequence[SpaceKey], n_train: int, *, is_pair: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Prior mean (V,) and covariance (V, V) of the contrasts between `spaces` at `n_train`
        rows. On pairs of texts the covariance is that of the variance components alone: the
        measured one is of tasks of single texts, where other layers do well together.

        A space that was not measured is the best linear prediction from the measured ones plus an
        error of its own. Both follow from the variance components. Its covariance is W M Wᵀ plus
        that of the errors, a Schur complement, so it is a covariance for any set of spaces. Between
        measured spaces it is M, the measured one.
        """
        at = np.log2(np.clip(n_train, self.sizes[0], self.sizes[-1]))
        table = np.array([np.interp(at, np.log2(self.sizes), column) for column in self.means.T])
        measured = keys_of_names(self.names)
        by_components = self._by_components(spaces, spaces)
        across = self._by_components(spaces, measured)  # (V, number of measured spaces)
        weights = np.linalg.solve(self._by_components(measured, measured), across.T).T
        carried = weights @ self.covariance @ weights.T + by_components - weights @ across.T
        mean = _mean_of_same_pooling(spaces, self.names, table) + weights @ (
            table - _mean_of_same_pooling(measured, self.names, table)
        )
        share = 0.0 if is_pair else MEASURED_SHARE
        return mean, share * carried + (1 - share) * by_components

    def _by_components(self, one: Sequence[SpaceKey], other: Sequence[SpaceKey]) -> np.ndarray:
        """(len(one), len(other)) covariance by variance components."""
        return np.asarray(
            sum(
                variance * kernel
                for variance, kernel in zip(
                    self.components, component_correlations(one, other), strict=True
                )
            )
        )


def short_reference(encoder: str) -> str:
    """An encoder's reference; where it is a path, only the last part of the path."""
    family, colon, name = encoder.partition(":")
    return (
        f"{family}{colon}{name.rpartition('/')[2]}"
        if name.startswith(("/", "./", "../"))
        else encoder
    )


def smoothed(accuracy: np.ndarray, n_rows: int) -> np.ndarray:
    """`accuracy`, measured on `n_rows` rows, moved away from 0 and 1 by Anscombe's 3/8."""
    return (accuracy * n_rows + 0.375) / (n_rows + 0.75)


def component_correlations(
    one: Sequence[SpaceKey], other: Sequence[SpaceKey] | None = None
) -> list[np.ndarray]:
    """For each of COMPONENTS, the correlations (len(one), len(other)) that it makes between two
    lists of spaces; `other` is `one` by default. A space that is in both is correlated 1 with
    itself in every component."""
    other = one if other is None else other
    encoder, pooling, layer, depth = (
        [np.array([value(key) for key in keys]) for keys in (one, other)]
        for value in (
            lambda key: short_reference(key.encoder),
            lambda key: key.pooling,
            lambda key: key.layer,
            lambda key: key.relative_depth,
        )
    )

    def same(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.asarray(values[0][:, None] == values[1][None, :]) * 1.0

    near = np.exp(-np.abs(depth[0][:, None] - depth[1][None, :]) / DEPTH_LENGTH)
    return [
        same(encoder),
        same(encoder) * near,
        same(encoder) * same(pooling),
        same(encoder) * same(pooling) * near,
        same(encoder) * same(pooling) * same(layer),
    ]


def keys_of_names(names: Sequence[str]) -> list[SpaceKey]:
    """The spaces whose names (`SpaceKey.name`) are `names`. An encoder is as deep as its deepest
    space."""
    parts: list[tuple[str, int, str]] = []
    for name in names:
        reference, _, view = name.rpartition("#")
        number, _, pooling = view.partition("/")
        parts.append((reference, int(number), pooling))
    depths: dict[str, int] = {}
    for encoder, layer, _ in parts:
        depths[encoder] = max(depths.get(encoder, 0), layer)
    return [SpaceKey(encoder, layer, depths[encoder], pooling) for encoder, layer, pooling in parts]


def _mean_of_same_pooling(
    spaces: Sequence[SpaceKey], names: Sequence[str], table: np.ndarray
) -> np.ndarray:
    """(V,) for each of `spaces`, the mean of `table`, the means of the measured spaces `names`,
    over those of the same pooling, or over all where none has it."""
    poolings = np.array([name.rpartition("/")[2] for name in names])
    return np.array(
        [
            float(
                table[poolings == key.pooling].mean()
                if (poolings == key.pooling).any()
                else table.mean()
            )
            for key in spaces
        ]
    )
