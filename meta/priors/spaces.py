"""What other tasks say of how embedding spaces compare, for question 4.

Leave-one-out accuracies of dozens of spaces on one small sample are dozens of noisy numbers, and
their maximum flatters whoever is lucky. The spaces' true accuracies on a task are therefore given a
prior learnt on other tasks: a mean per space and a covariance between spaces (neighbouring layers
do well or badly together), on the scale arcsin √a, on which the noise of an accuracy of n rows is
1/(4n) whatever the accuracy. The sample's own accuracies, with the correlation of their hits as
noise, then give the posterior (a best linear unbiased predictor; Robinson 1991, "That BLUP is a
good thing"). The task's own level is left free: only contrasts between spaces are learnt. How far
apart a task's spaces are differs from task to task, so a factor on the covariance is integrated
out.

Spaces that the study has not seen are compared through variance components: of the encoder, of the
pooling, of the depth within the encoder.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from meta.metric import stabilised

SCALES = tuple(2.0**power for power in np.arange(-2.0, 2.01, 0.5))
"""Factors on the standard deviation of contrasts that are averaged over."""
SCALE_SD_OCTAVES = 1.0
"""Standard deviation of the prior on log2 of that factor."""
MEASURED_SHARE = 0.7
"""Weight of the covariance of the spaces as measured; the rest is that of the variance
components."""
LEVEL_VARIANCE = 10.0
"""Prior variance of what all spaces of a task share: none of it is known."""
DEPTH_LENGTH = 0.35
"""Correlation length along relative depth."""
CORRELATION_ROWS = 64
"""Correlations of hits on n rows are believed n / (n + CORRELATION_ROWS), else none. Those of
dozens of spaces on few rows have directions in which all noise seems to cancel, and a gap along
such a one, which is luck, would overrule the prior."""
COMPONENTS = ("encoder", "depth", "pooling", "depth and pooling", "own")


@dataclass(frozen=True)
class SpaceKey:
    """What the prior knows of a space."""

    encoder: str
    layer: int
    n_layers: int
    pooling: str

    @property
    def name(self) -> str:
        return f"{short_reference(self.encoder)}#{self.layer}/{self.pooling}"

    @property
    def relative_depth(self) -> float:
        return self.layer / max(self.n_layers, 1)


@dataclass(frozen=True)
class ViewPrior:
    """Prior of the contrasts between spaces, on the scale arcsin √accuracy."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    """Sample sizes of `means`."""
    means: np.ndarray
    """(sizes, V) mean contrast of each space."""
    covariance: np.ndarray
    """(V, V) as measured over tasks."""
    components: tuple[float, ...]
    """Variances of COMPONENTS."""

    def posterior(
        self,
        spaces: Sequence[SpaceKey],
        accuracies: np.ndarray,
        hit_correlation: np.ndarray,
        n_train: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean (V,) and covariance (V, V) of the spaces' values on the scale arcsin √accuracy,
        given leave-one-out `accuracies` (V,) on `n_train` rows whose hits correlate as
        `hit_correlation` (V, V)."""
        prior_mean, prior_covariance = self._prior(spaces, n_train)
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
        """Write JSON."""
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
        """Read what `save` wrote. Raises ValueError, KeyError or OSError for a file that is not
        that."""
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

    def _prior(self, spaces: Sequence[SpaceKey], n_train: int) -> tuple[np.ndarray, np.ndarray]:
        place = {name: index for index, name in enumerate(self.names)}
        known = np.array([place.get(key.name, -1) for key in spaces])
        at = np.log2(np.clip(n_train, self.sizes[0], self.sizes[-1]))
        table = np.array([np.interp(at, np.log2(self.sizes), column) for column in self.means.T])
        mean = np.where(known >= 0, table[known], _mean_alike(spaces, self.names, table))
        by_parts = sum(
            v * kernel
            for v, kernel in zip(self.components, component_correlations(spaces), strict=True)
        )
        both = (known[:, None] >= 0) & (known[None, :] >= 0)
        measured = self.covariance[np.ix_(known, known)]
        return mean, np.where(
            both, MEASURED_SHARE * measured + (1 - MEASURED_SHARE) * by_parts, by_parts
        )


def short_reference(encoder: str) -> str:
    """An encoder's reference without the folders of files on somebody's disk."""
    family, colon, name = encoder.partition(":")
    return (
        f"{family}{colon}{name.rpartition('/')[2]}"
        if name.startswith(("/", "./", "../"))
        else encoder
    )


def smoothed(accuracy: np.ndarray, n_rows: int) -> np.ndarray:
    """Accuracies of `n_rows` rows kept off 0 and 1 by Anscombe's 3/8."""
    return (accuracy * n_rows + 0.375) / (n_rows + 0.75)


def component_correlations(spaces: Sequence[SpaceKey]) -> list[np.ndarray]:
    """(V, V) correlations of each of COMPONENTS."""
    encoder = np.array([key.encoder for key in spaces])
    pooling = np.array([key.pooling for key in spaces])
    depth = np.array([key.relative_depth for key in spaces])
    same_encoder = (encoder[:, None] == encoder[None, :]) * 1.0
    same_pooling = (pooling[:, None] == pooling[None, :]) * 1.0
    near = np.exp(-np.abs(depth[:, None] - depth[None, :]) / DEPTH_LENGTH)
    return [
        same_encoder,
        same_encoder * near,
        same_encoder * same_pooling,
        same_encoder * same_pooling * near,
        np.eye(len(spaces)),
    ]


def _mean_alike(spaces: Sequence[SpaceKey], names: Sequence[str], table: np.ndarray) -> np.ndarray:
    """(V,) prior mean of spaces that were not measured: the mean of the measured ones of the same
    pooling, of all if none."""
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
