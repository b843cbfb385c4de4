"""Features of a learning curve that is known up to n rows, from which its value at more rows is
forecast.

The features are forecasts by averaged laws, slopes, noise, and the errors of earlier forecasts.
Once the shape of a law is fixed, the law is linear in its level and slope. So thousands of curves
are fitted over a grid of shapes with a few matrix products. The shapes are averaged by how well
they fit, rather than the best one taken: few points cannot tell an exponent from an asymptote, and
the average errs less far ahead (docs/benchmarks.md). How much the shapes disagree is a feature too.
All values are losses in [0, 1]. A curve may come from anywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

MIN_RESIDUAL = 0.003
"""A fit never counts as better than this root mean square residual: even a curve that is averaged
over tens of draws has this much noise."""
MAX_INDEPENDENT_POINTS = 12
"""More points than this do not tell more about the shape, because neighbouring points share
training rows."""
# A shape is (kind, exponent, scale); `_shape` says what they mean.
POWER = [("power", c, 0.0) for c in np.geomspace(0.05, 2.0, 24)]
SHIFTED_POWER = [
    ("power", c, d) for c in np.geomspace(0.1, 2.0, 12) for d in (1 / 64, 1 / 16, 1 / 4, 1.0)
]
SIGMOID = [
    ("sigmoid", c, x) for c in np.geomspace(0.3, 4.0, 8) for x in np.geomspace(1 / 64, 4.0, 9)
]
"""The law of Morgan, Mercer and Flodin: flat, then a fall around x, then flat again."""
EXPONENTIAL = [("exponential", 1.0, x) for x in np.geomspace(1 / 32, 8.0, 12)]
WEIBULL = [("exponential", c, x) for c in (0.25, 0.5) for x in np.geomspace(1 / 256, 8.0, 12)]
LAW_FAMILIES = {
    "power": POWER,
    "shifted_power": SHIFTED_POWER,
    "sigmoid": SIGMOID,
    "exponential": EXPONENTIAL,
    "weibull": WEIBULL,
}
ANCHOR = "recent_sigmoid_mean"
"""Name of the single forecast that errs least."""
BACKTEST_RATIOS = (4, 16)
"""Forecasts of n from the curve up to n / ratio are compared with the value at n."""
DROP_RATIOS = (2, 4, 8, 16)
"""The fall of the curve from n / ratio to n is a feature."""
MIN_POINTS = 8
"""A curve with fewer points is refused."""


@dataclass(frozen=True)
class LawFit:
    """Least-squares fits of R curves by C shapes: level + slope * shape(size / n), with level and
    slope >= 0."""

    level: np.ndarray
    """(R, C)"""
    slope: np.ndarray
    """(R, C)"""
    error: np.ndarray
    """(R, C) weighted mean squares of the residuals."""
    ahead: np.ndarray
    """(C, H) values of the shapes at the horizons."""

    def best(self) -> np.ndarray:
        """(R, H) forecasts by the shape that fits best."""
        rows, chosen = np.arange(len(self.level)), self.error.argmin(axis=1)
        return (
            self.level[rows, chosen][:, None]
            + self.slope[rows, chosen][:, None] * self.ahead[chosen]
        )

    def shape_weights(self, n_points: int) -> np.ndarray:
        """(R, C) weights of the shapes, each row summing to 1. A weight is the likelihood of
        `n_points` normal residuals whose variance is estimated."""
        n_independent = min(n_points, MAX_INDEPENDENT_POINTS)
        log_weight = -0.5 * n_independent * np.log(self.error + MIN_RESIDUAL**2)
        weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
        return weight / weight.sum(axis=1, keepdims=True)

    def average(self, n_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Mean (R, H) and standard deviation (R, H) of the forecasts by all shapes, and their mean
        level (R,); weighted by `shape_weights`."""
        weight = self.shape_weights(n_points)
        level, slope = weight * self.level, weight * self.slope
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
    """Fit every shape of `family` to R curves, `losses` (R, P) at the ascending `sizes` (P,), the
    last of which is n.

    `weights` (P,) are those of the points. `ratios` (H,) are the horizons in multiples of n.
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
        # where a bound is violated, the least-squares solution lies on it
        is_flat, is_below_zero = slope <= 0, level < 0
        level = np.where(is_flat, mean_loss, np.where(is_below_zero, 0.0, level))
        slope = np.where(is_flat, 0.0, np.where(is_below_zero, through_zero, slope))
    error = (
        mean_square
        - 2 * level * mean_loss
        - 2 * slope * product
        + level**2
        + 2 * level * slope * mean_shape
    )
    return LawFit(level, slope, np.maximum(error + slope**2 * shape_square, 0.0), ahead)


def curve_features(sizes: np.ndarray, losses: np.ndarray, ratios: Sequence[float]) -> pd.DataFrame:
    """Features of R curves at H horizons, R * H rows. The rows of a curve come together.

    All curves have the same training sizes, the ascending `sizes` (P,), the last of which is n.
    `losses` is (R, P). `ratios` (H,) are the horizons in multiples of n. Columns that end in
    `_best` and `_mean` are forecasts of the loss; `ANCHOR` is one of them. A feature is NaN where
    too few points lie far enough below n. Raises ValueError for fewer than `MIN_POINTS` points, a
    missing or negative loss, and sizes that do not ascend.
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
    """Inputs of trees that predict the error of `ANCHOR`, from the `features` of `curve_features`.
    A forecast becomes its distance from `ANCHOR`. The spread of the averaged forecasts is added."""
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
    """One shape at the sizes `relative`, in multiples of n. It falls towards 0 with the size."""
    if kind == "power":
        return (relative + scale) ** -exponent
    if kind == "sigmoid":
        return 1 / (1 + (relative / scale) ** exponent)
    return np.exp(-((relative / scale) ** exponent))


def _forecasts(sizes: np.ndarray, losses: np.ndarray, ratios: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (R, H): for each law and each weighting of the points, the best and the mean
    forecast, the spread, the level and the misfit. A value that does not depend on the horizon is
    repeated."""
    relative = sizes / sizes[-1]
    octaves = (relative >= 0.2499).astype(np.float64)
    schemes = [("even", np.ones(len(sizes)), name, True) for name in LAW_FAMILIES]
    schemes += [("recent", np.sqrt(relative), name, True) for name in LAW_FAMILIES]
    schemes += [("octaves", octaves, "power", True), ("rooted", octaves, "power", False)]
    found: dict[str, np.ndarray] = {}
    for scheme, weights, family, asymptote in schemes:
        fit = fit_law(sizes, losses, weights, LAW_FAMILIES[family], ratios, asymptote=asymptote)
        mean, spread, level = fit.average(int((weights > 0).sum()))
        name = f"{scheme}_{family}"
        found |= {f"{name}_best": fit.best(), f"{name}_mean": mean, f"{name}_spread": spread}
        found[f"{name}_level"] = np.repeat(level[:, None], len(ratios), axis=1)
        found[f"{name}_misfit"] = np.repeat(
            np.sqrt(fit.error.min(axis=1))[:, None], len(ratios), axis=1
        )
    return found


def _shape_features(sizes: np.ndarray, losses: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (R,): levels, falls over the last octaves, bends, roughness, places of the
    extremes."""
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
    found["roughness"] = np.sqrt((bends**2).mean(axis=1) / 6)  # 1 for white noise of variance 1
    found["roughness_late"] = np.sqrt((bends[:, -14:] ** 2).mean(axis=1) / 6)
    found["share_rising"] = (np.diff(losses[:, -16:], axis=1) > 0).mean(axis=1)
    return found


def _backtests(sizes: np.ndarray, losses: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (R,): the power law's forecast of n from the curve up to n / ratio, less the loss at
    n."""
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
