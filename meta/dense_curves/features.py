"""What a learning curve seen up to n says of a larger n: averaged laws, slopes, noise, and how
earlier forecasts came out.

Each family of laws is linear in its level and slope once its shape is fixed, so thousands of curves
are fitted over a whole grid of shapes with a few matrix products. The shapes are then averaged by
how well they fit instead of the best one taken: few points cannot tell an exponent from an
asymptote, and the average errs less far ahead (docs/benchmarks.md); how much the shapes disagree is
a feature. All values are losses in [0, 1]; nothing here knows where a curve comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MIN_RESIDUAL = 0.003
"""Root mean square that a fit is never believed below: a curve averaged over tens of draws still
wobbles so."""
MAX_INDEPENDENT_POINTS = 12
"""Neighbouring points share training rows; more of them than this say nothing more about the
shape."""
POWER = [("power", c, 0.0) for c in np.geomspace(0.05, 2.0, 24)]
SHIFTED_POWER = [
    ("power", c, d) for c in np.geomspace(0.1, 2.0, 12) for d in (1 / 64, 1 / 16, 1 / 4, 1.0)
]
SIGMOID = [
    ("sigmoid", c, x) for c in np.geomspace(0.3, 4.0, 8) for x in np.geomspace(1 / 64, 4.0, 9)
]
"""Morgan-Mercer-Flodin: flat, then a fall around x, then flat."""
EXPONENTIAL = [("exponential", 1.0, x) for x in np.geomspace(1 / 32, 8.0, 12)]
WEIBULL = [("exponential", c, x) for c in (0.25, 0.5) for x in np.geomspace(1 / 256, 8.0, 12)]
FAMILIES = {
    "power": POWER,
    "shifted_power": SHIFTED_POWER,
    "sigmoid": SIGMOID,
    "exponential": EXPONENTIAL,
    "weibull": WEIBULL,
}
ANCHOR = "recent_sigmoid_mean"
"""The forecast that errs least of all of them, alone."""
BACKTEST_RATIOS = (4, 16)
DROP_RATIOS = (2, 4, 8, 16)
MIN_POINTS = 8


@dataclass(frozen=True)
class LawFit:
    """Least-squares fits level + slope * shape(size / n) of R curves by C shapes, level and slope
    >= 0."""

    level: np.ndarray
    slope: np.ndarray
    error: np.ndarray
    """(R, C) weighted mean squares; as `level` and `slope`."""
    ahead: np.ndarray
    """(C, H) the shapes at the horizons."""

    def best(self) -> np.ndarray:
        """(R, H) forecasts of the shape that fits best."""
        rows, chosen = np.arange(len(self.level)), self.error.argmin(axis=1)
        return (
            self.level[rows, chosen][:, None]
            + self.slope[rows, chosen][:, None] * self.ahead[chosen]
        )

    def shares(self, n_points: int) -> np.ndarray:
        """(R, C) weights of the shapes: the likelihood of `n_points` residuals with their variance
        estimated."""
        log_share = (
            -0.5 * min(n_points, MAX_INDEPENDENT_POINTS) * np.log(self.error + MIN_RESIDUAL**2)
        )
        share = np.exp(log_share - log_share.max(axis=1, keepdims=True))
        return share / share.sum(axis=1, keepdims=True)

    def average(self, n_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (R, H) and standard deviation (R, H) of the shapes' forecasts, and their mean level
        (R,), by `shares`."""
        share = self.shares(n_points)
        level, slope = share * self.level, share * self.slope
        mean = level.sum(axis=1)[:, None] + slope @ self.ahead
        square = (level * self.level).sum(axis=1)[:, None] + 2 * (level * self.slope) @ self.ahead
        square = square + (slope * self.slope) @ self.ahead**2
        return mean, np.sqrt(np.maximum(square - mean**2, 0.0)), level.sum(axis=1)


def fit_law(
    sizes: np.ndarray,
    losses: np.ndarray,
    weights: np.ndarray,
    family: Sequence[tuple[str, float, float]],
    ratios: np.ndarray,
    *,
    asymptote: bool = True,
) -> LawFit:
    """Fit every shape of `family` to the curves `losses` (R, P) at `sizes` (P,), ascending, the
    last one n.

    `weights` (P,) say how much a point counts, `ratios` (H,) are the horizons in multiples of n.
    Without `asymptote` the level is 0.
    """
    relative = np.asarray(sizes, dtype=np.float64) / sizes[-1]
    shapes = np.stack([_shape(*shape, relative) for shape in family])
    ahead = np.stack([_shape(*shape, np.asarray(ratios, dtype=np.float64)) for shape in family])
    largest = shapes.max(axis=1, keepdims=True)
    shapes, ahead = shapes / largest, ahead / largest
    weights = np.asarray(weights, dtype=np.float64) / np.sum(weights)
    mean_loss, mean_square = (losses @ weights)[:, None], (losses**2 @ weights)[:, None]
    mean_shape, shape_square = shapes @ weights, shapes**2 @ weights
    product = (losses * weights) @ shapes.T
    through_zero = np.maximum(product / shape_square, 0.0)
    level, slope = np.zeros_like(product), through_zero
    if asymptote:
        variance = shape_square - mean_shape**2
        bends = variance > 1e-10 * shape_square
        slope = np.where(
            bends, (product - mean_shape * mean_loss) / np.where(bends, variance, 1.0), 0.0
        )
        level = mean_loss - slope * mean_shape
        flat, rooted = slope <= 0, level < 0  # on the border of level, slope >= 0
        level = np.where(flat, mean_loss, np.where(rooted, 0.0, level))
        slope = np.where(flat, 0.0, np.where(rooted, through_zero, slope))
    error = (
        mean_square
        - 2 * level * mean_loss
        - 2 * slope * product
        + level**2
        + 2 * level * slope * mean_shape
    )
    return LawFit(level, slope, np.maximum(error + slope**2 * shape_square, 0.0), ahead)


def curve_features(sizes: np.ndarray, losses: np.ndarray, ratios: Sequence[float]) -> pd.DataFrame:
    """Features of R curves at H horizons: R * H rows, the horizons of a curve together.

    `sizes` (P,) ascending training sizes, the last one n, shared by all curves; `losses` (R, P);
    `ratios` the horizons in multiples of n. Forecasts end in `_best` and `_mean`, in losses;
    `ANCHOR` is one of them. NaN where too few points lie far enough below n. Raises ValueError for
    fewer than `MIN_POINTS` points, a missing or negative loss, or sizes that do not ascend.
    """
    sizes, losses = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if sizes.ndim != 1 or losses.ndim != 2 or losses.shape[1] != len(sizes):
        raise ValueError(f"losses (R, P) at sizes (P,), got {losses.shape} at {sizes.shape}")
    if len(sizes) < MIN_POINTS or not (np.diff(sizes) > 0).all():
        raise ValueError(
            f"a curve needs {MIN_POINTS} points of ascending sizes, got {sizes.tolist()}"
        )
    if not (np.isfinite(losses) & (losses >= 0)).all():
        raise ValueError(
            "losses must be finite and not negative: leave curves with missing points out"
        )
    ahead = np.asarray(ratios, dtype=np.float64)
    at_horizon = _forecasts(sizes, losses, ahead)
    of_curve = {**_shape_features(sizes, losses), **_backtests(sizes, losses)}
    of_curve["log2_n"] = np.full(len(losses), np.log2(sizes[-1]))
    columns = {name: np.repeat(values, len(ahead)) for name, values in of_curve.items()}
    columns |= {name: values.ravel() for name, values in at_horizon.items()}
    columns["octaves"] = np.tile(np.log2(ahead), len(losses))
    columns["log2_horizon"] = columns["octaves"] + np.log2(sizes[-1])
    return pd.DataFrame(columns)


def tree_columns(features: pd.DataFrame) -> pd.DataFrame:
    """`features` of `curve_features` as the inputs of trees that predict what `ANCHOR` gets wrong:
    forecasts as their distance from it, and the spread of the averaged ones."""
    forecasts = [name for name in map(str, features) if name.endswith(("_best", "_mean"))]
    averaged = features[[name for name in forecasts if name.endswith("_mean")]]
    gaps = features[forecasts].sub(features[ANCHOR], axis=0)
    spread = {
        "anchor": features[ANCHOR],
        "spread": averaged.std(axis=1),
        "highest": averaged.max(axis=1),
        "lowest": averaged.min(axis=1),
    }
    kept = features.drop(columns=forecasts)
    return pd.concat([kept, gaps.drop(columns=ANCHOR), pd.DataFrame(spread)], axis=1)


def _shape(kind: str, exponent: float, scale: float, relative: np.ndarray) -> np.ndarray:
    """One shape at sizes in multiples of n; falls from near its largest value towards 0."""
    if kind == "power":
        return (relative + scale) ** -exponent
    if kind == "sigmoid":
        return 1 / (1 + (relative / scale) ** exponent)
    return np.exp(-((relative / scale) ** exponent))


def _forecasts(sizes: np.ndarray, losses: np.ndarray, ratios: np.ndarray) -> dict[str, np.ndarray]:
    """(R, H) each: best, mean and spread of the laws; what does not depend on the horizon is
    repeated."""
    relative = sizes / sizes[-1]
    octaves = (relative >= 0.2499).astype(np.float64)
    schemes = [("even", np.ones(len(sizes)), name, True) for name in FAMILIES]
    schemes += [("recent", np.sqrt(relative), name, True) for name in FAMILIES]
    schemes += [("octaves", octaves, "power", True), ("rooted", octaves, "power", False)]
    found: dict[str, np.ndarray] = {}
    for scheme, weights, family, asymptote in schemes:
        fit = fit_law(sizes, losses, weights, FAMILIES[family], ratios, asymptote=asymptote)
        mean, spread, level = fit.average(int((weights > 0).sum()))
        name = f"{scheme}_{family}"
        found |= {f"{name}_best": fit.best(), f"{name}_mean": mean, f"{name}_spread": spread}
        found[f"{name}_level"] = np.repeat(level[:, None], len(ratios), axis=1)
        found[f"{name}_misfit"] = np.repeat(
            np.sqrt(fit.error.min(axis=1))[:, None], len(ratios), axis=1
        )
    return found


def _shape_features(sizes: np.ndarray, losses: np.ndarray) -> dict[str, np.ndarray]:
    """(R,) each: levels, falls per octaves seen, bends, roughness, where the extremes lie."""
    relative = np.log2(sizes / sizes[-1])
    now = losses[:, -3:].mean(axis=1)
    found = {
        "last": losses[:, -1],
        "now": now,
        "log_now": np.log(now + MIN_RESIDUAL),
        "first": losses[:, 0],
    }
    for ratio in DROP_RATIOS:
        near = np.abs(relative + np.log2(ratio)) < 0.19
        before = losses[:, near].mean(axis=1) if near.any() else np.full(len(losses), np.nan)
        found[f"drop_{ratio}"] = before - now
        found[f"log_drop_{ratio}"] = np.log((before + MIN_RESIDUAL) / (now + MIN_RESIDUAL))
    found["bend"] = found["log_drop_4"] - 2 * found["log_drop_2"]
    found |= {"highest_seen": losses.max(axis=1), "lowest_seen": losses.min(axis=1)}
    found["above_lowest"] = losses[:, -1] - found["lowest_seen"]
    found["octaves_since_lowest"] = relative[losses.argmin(axis=1)]
    found["octaves_since_highest"] = relative[losses.argmax(axis=1)]
    bends = losses[:, 2:] - 2 * losses[:, 1:-1] + losses[:, :-2]
    found["roughness"] = np.sqrt((bends**2).mean(axis=1) / 6)  # of white noise of variance 1: 1
    found["roughness_late"] = np.sqrt((bends[:, -14:] ** 2).mean(axis=1) / 6)
    found["share_rising"] = (np.diff(losses[:, -16:], axis=1) > 0).mean(axis=1)
    return found


def _backtests(sizes: np.ndarray, losses: np.ndarray) -> dict[str, np.ndarray]:
    """(R,) each: what the power law seen at n / ratio foretold of n, less what came."""
    found: dict[str, np.ndarray] = {}
    for ratio in BACKTEST_RATIOS:
        seen = sizes <= sizes[-1] / ratio * 1.001
        error = np.full((2, len(losses)), np.nan)
        if seen.sum() >= MIN_POINTS:
            weights = np.sqrt(sizes[seen])
            fit = fit_law(
                sizes[seen],
                losses[:, seen],
                weights,
                POWER,
                np.array([sizes[-1] / sizes[seen][-1]]),
            )
            error = (
                np.stack([fit.best()[:, 0], fit.average(int(seen.sum()))[0][:, 0]]) - losses[:, -1]
            )
        found |= {f"missed_{ratio}": error[0], f"missed_{ratio}_averaged": error[1]}
    return found
