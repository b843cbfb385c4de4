"""Forecasts of learning curves with calibrated intervals, learnt from other curves.

There are two stages. The first one predicts the median error of an anchor forecast with trees. The
second one learns the intervals, with quantile trees, from the errors that the first stage makes on
groups that it has not seen. The intervals are then stretched until they hold; the conformal unit is
the group (`meta.metamodel.conformal`). So the first stage can use deep trees, and their
over-confidence does not reach the intervals.
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
    """Hyperparameters of both stages: those without a prefix are of the first one, those with the
    prefix `spread_` of the second one."""

    n_rounds: int = 150
    eta: float = 0.12
    max_depth: int = 8
    leaf_rows: float = 20.0
    """Least number of rows in a leaf."""
    spread_rounds: int = 40
    spread_eta: float = 0.1
    spread_depth: int = 4
    n_folds: int = 3
    """Cross-fitting deals the groups into this many parts."""
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True)
class CurveForecaster:
    """It forecasts quantiles of a loss in [0, 1] from features of a curve. `CurveForecaster.fit`
    makes it."""

    median_trees: xgboost.Booster
    spread_trees: xgboost.Booster
    columns: tuple[str, ...]
    factors: tuple[float, ...]
    """(5,) the factors by which conformal calibration stretches the quantiles at QUANTILES."""
    guaranteed: tuple[float, ...]
    """(5,) one-sided levels that are guaranteed at QUANTILES, if only the groups are
    exchangeable."""

    @classmethod
    def fit(
        cls,
        inputs: pd.DataFrame,
        anchor: np.ndarray,
        truth: np.ndarray,
        groups: np.ndarray,
        settings: ForecastSettings | None = None,
    ) -> "CurveForecaster":
        """Learn from `inputs` (R, features), the forecasts `anchor` (R,) and the true losses
        `truth` (R,), both in [0, 1]. Rows of one of the `groups` (R,) are never split. Raises
        ValueError for fewer than two groups for each fold."""
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
        remaining = residual - median
        spread = np.empty((len(X), len(QUANTILES)))
        for fold in range(settings.n_folds):
            out = part == fold
            trees = _fit_spread(X[~out], remaining[~out], groups[~out], settings)
            spread[out] = _predict(trees, X[out])
        factors, guaranteed = calibration_factors(
            _quantiles(anchor + median, spread), truth, groups
        )
        return cls(
            median_trees=_fit_median(X, residual, settings),
            spread_trees=_fit_spread(X, remaining, groups, settings),
            columns=tuple(inputs.columns),
            factors=tuple(factors.tolist()),
            guaranteed=tuple(guaranteed.tolist()),
        )

    def predict(self, inputs: pd.DataFrame, anchor: np.ndarray) -> np.ndarray:
        """(R, 5) quantiles (QUANTILES) of the loss, sorted and within [0, 1]. `inputs` has the
        columns that `fit` was given, `anchor` is (R,). Raises KeyError for a missing column."""
        X = inputs[list(self.columns)].to_numpy(dtype=np.float32)
        median = anchor + _predict(self.median_trees, X)[:, 0]
        quantiles = _quantiles(median, _predict(self.spread_trees, X))
        return np.clip(stretch(quantiles, np.asarray(self.factors)), 0.0, 1.0)


def _quantiles(median: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """(R, 5) sorted quantiles around `median` (R,). Of `spread` (R, 5) only the distances from its
    own median are used."""
    sides = np.sort(spread - spread[:, [MEDIAN]], axis=1)
    sides = np.where(np.array(QUANTILES) < 0.5, np.minimum(sides, 0.0), np.maximum(sides, 0.0))
    sides[:, MEDIAN] = 0.0
    return median[:, None] + sides


def _fit_median(X: np.ndarray, residual: np.ndarray, settings: ForecastSettings) -> xgboost.Booster:
    """Trees that predict the median of `residual` (R,) from X (R, features)."""
    parameters = {
        "objective": "reg:quantileerror",
        "quantile_alpha": 0.5,
        "max_depth": settings.max_depth,
        "eta": settings.eta,
        "min_child_weight": settings.leaf_rows,
        "lambda": 10.0,
        **_shared_parameters(settings),
    }
    return xgboost.train(parameters, xgboost.DMatrix(X, residual), settings.n_rounds)


def _fit_spread(
    X: np.ndarray, remaining: np.ndarray, groups: np.ndarray, settings: ForecastSettings
) -> xgboost.Booster:
    """Trees that predict the quantiles of `remaining` (R,), the residuals of the first stage. All
    `groups` (R,) have the same weight, because the group is the conformal unit."""
    weights = group_weights(groups) * len(groups)
    parameters = {
        "objective": "reg:quantileerror",
        "quantile_alpha": np.array(QUANTILES),
        "max_depth": settings.spread_depth,
        "eta": settings.spread_eta,
        # a leaf never holds the rows of one group only
        "min_child_weight": len(groups) / len(np.unique(groups)),
        **_shared_parameters(settings),
    }
    return xgboost.train(
        parameters, xgboost.DMatrix(X, remaining, weight=weights), settings.spread_rounds
    )


def _shared_parameters(settings: ForecastSettings) -> dict[str, Any]:
    """The parameters of XGBoost that both stages have."""
    return {
        "tree_method": "hist",
        "max_bin": 64,
        "subsample": 0.5,
        "colsample_bynode": 0.3,
        "seed": settings.seed,
        "nthread": settings.n_threads,
    }


def _predict(trees: xgboost.Booster, X: np.ndarray) -> np.ndarray:
    """(R, number of quantiles) float64 predictions for X (R, features)."""
    return np.asarray(trees.predict(xgboost.DMatrix(X)), dtype=np.float64).reshape(len(X), -1)
