"""Forecasts of learning curves with calibrated intervals, learnt from other curves.

Two stages. Trees foretell the median of what an anchor forecast gets wrong. What those trees get
wrong on groups that they have not seen is what the intervals are learnt from: quantile trees of the
cross-fitted residuals, stretched until they hold with the group as the conformal unit
(`meta.metamodel.conformal`). Deep trees may thus be used for the median without their
over-confidence reaching the intervals.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from meta.groups import group_weights
from meta.metamodel.conformal import calibration_factors, stretch
from meta.metric import MEDIAN, QUANTILES


@dataclass(frozen=True)
class ForecastSettings:
    """Hyperparameters of both stages."""

    n_rounds: int = 150
    eta: float = 0.12
    max_depth: int = 8
    leaf_rows: float = 20.0
    spread_rounds: int = 40
    spread_eta: float = 0.1
    spread_depth: int = 4
    n_folds: int = 3
    """Parts of the groups for cross-fitting."""
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True)
class CurveForecaster:
    """Quantiles of a loss in [0, 1] from features of a curve; made by `CurveForecaster.fit`."""

    median_trees: xgboost.Booster
    spread_trees: xgboost.Booster
    columns: tuple[str, ...]
    factors: tuple[float, ...]
    """Conformal stretch at QUANTILES."""
    guaranteed: tuple[float, ...]
    """One-sided levels that exchangeable groups alone guarantee, at QUANTILES."""

    @classmethod
    def fit(
        cls,
        inputs: pd.DataFrame,
        anchor: np.ndarray,
        truth: np.ndarray,
        groups: np.ndarray,
        settings: ForecastSettings | None = None,
    ) -> "CurveForecaster":
        """Learn from `inputs` (R, features), the anchor's forecasts (R,) and what came, `truth`
        (R,), both in [0, 1]; rows of one value of `groups` (R,) are never split. Raises ValueError
        for fewer groups than folds."""
        settings = settings or ForecastSettings()
        names = np.unique(groups)
        if len(names) < 2 * settings.n_folds:
            raise ValueError(
                f"{2 * settings.n_folds} groups are needed for cross-fitting, got {len(names)}"
            )
        parts = np.random.default_rng(settings.seed).permutation(
            np.arange(len(names)) % settings.n_folds
        )
        part = parts[np.searchsorted(names, groups)]
        X = inputs.to_numpy(dtype=np.float32)
        residual = truth - anchor
        median = np.empty(len(X))
        for fold in range(settings.n_folds):
            out = part == fold
            median[out] = _predict(_fit_median(X[~out], residual[~out], settings), X[out])[:, 0]
        left = residual - median
        spread = np.empty((len(X), len(QUANTILES)))
        for fold in range(settings.n_folds):
            out = part == fold
            trees = _fit_spread(X[~out], left[~out], groups[~out], settings)
            spread[out] = _predict(trees, X[out])
        factors, guaranteed = calibration_factors(
            _quantiles(anchor + median, spread), truth, groups
        )
        return cls(
            median_trees=_fit_median(X, residual, settings),
            spread_trees=_fit_spread(X, left, groups, settings),
            columns=tuple(inputs.columns),
            factors=tuple(factors.tolist()),
            guaranteed=tuple(guaranteed.tolist()),
        )

    def predict(self, inputs: pd.DataFrame, anchor: np.ndarray) -> np.ndarray:
        """(R, 5) quantiles (QUANTILES) of the loss, sorted, within [0, 1]. Raises KeyError for a
        missing column."""
        X = inputs[list(self.columns)].to_numpy(dtype=np.float32)
        median = anchor + _predict(self.median_trees, X)[:, 0]
        quantiles = _quantiles(median, _predict(self.spread_trees, X))
        return np.clip(stretch(quantiles, np.asarray(self.factors)), 0.0, 1.0)


def _quantiles(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(R, 5) sorted, with `median` (R,) in the middle whatever the spread's own says: the sides are
    what it is for."""
    sides = np.sort(spread - spread[:, [MEDIAN]], axis=1)
    sides = np.where(np.array(QUANTILES) < 0.5, np.minimum(sides, 0.0), np.maximum(sides, 0.0))
    sides[:, MEDIAN] = 0.0
    return median[:, None] + sides


def _fit_median(X: np.ndarray, residual: np.ndarray, settings: ForecastSettings) -> xgboost.Booster:
    parameters = {
        "objective": "reg:quantileerror",
        "quantile_alpha": 0.5,
        "max_depth": settings.max_depth,
        "eta": settings.eta,
        "min_child_weight": settings.leaf_rows,
        "lambda": 10.0,
        **_shared(settings),
    }
    return xgboost.train(parameters, xgboost.DMatrix(X, residual), settings.n_rounds)


def _fit_spread(
    X: np.ndarray, left: np.ndarray, groups: np.ndarray, settings: ForecastSettings
) -> xgboost.Booster:
    """Quantile trees of what the median left, groups counting equally: they are the unit the
    interval has to hold for."""
    weights = group_weights(groups) * len(groups)
    parameters = {
        "objective": "reg:quantileerror",
        "quantile_alpha": np.array(QUANTILES),
        "max_depth": settings.spread_depth,
        "eta": settings.spread_eta,
        "min_child_weight": len(groups)
        / len(np.unique(groups)),  # a leaf is never one group's alone
        **_shared(settings),
    }
    return xgboost.train(
        parameters, xgboost.DMatrix(X, left, weight=weights), settings.spread_rounds
    )


def _shared(settings: ForecastSettings) -> dict[str, Any]:
    return {
        "tree_method": "hist",
        "max_bin": 64,
        "subsample": 0.5,
        "colsample_bynode": 0.3,
        "seed": settings.seed,
        "nthread": settings.n_threads,
    }


def _predict(trees: xgboost.Booster, X: np.ndarray) -> np.ndarray:
    return np.asarray(trees.predict(xgboost.DMatrix(X)), dtype=np.float64).reshape(len(X), -1)
