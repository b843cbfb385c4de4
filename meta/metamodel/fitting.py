"""How a metamodel is learnt: what it takes in, its two stages (linear, then trees), and what
cross-fitting says of them.

Families of tasks are never split. With few of them most inputs are left out, and the linear stage
says nothing.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xgboost

from cluster.storage import UserError
from meta.groups import group_folds, group_weights, weighted_quantile
from meta.metamodel.inputs import (
    MIN_GROUPS_FOR_LINEAR_STAGE,
    TRUTH_COLUMNS,
    anchor,
    chosen_inputs,
    linear_inputs,
    log2_ratio,
    noise_terms,
    tree_inputs,
)
from meta.metamodel.linear_stage import OCTAVE_KNOTS, LinearStage
from meta.metamodel.observations import power_law_forecasts
from meta.metamodel.quantile_curves import monotone, sorted_quantiles
from meta.metamodel.trust import choose_trust, interpolate_octaves, nearness
from meta.metric import MEDIAN, QUANTILES, Metric

MAX_FOLDS = 5
N_LINEAR_FOLDS = 4
"""Parts of the families for the linear stage that the trees learn beside: they must see its errors
on tasks it has not seen."""


@dataclass(frozen=True)
class FitSettings:
    """Hyperparameters of the linear stage and of the quantile trees; `meta.metamodel.tuning`
    chooses them."""

    n_rounds: int = 60
    eta: float = 0.1
    max_depth: int = 3
    leaf_tasks: float = 0.4
    """Least weight of a leaf, in tasks: a leaf made of one task's rows has learnt that task's
    name."""
    stack_penalty_tasks: float = 4.0
    """Prior weight of "no correction" in the linear stage, in task families: few of them are
    believed little."""
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True)
class FitInputs:
    """A frame of observations as the arrays that fitting and predicting share; the metric on the
    scale of `meta.metric.Metric.to_scale`."""

    inputs: pd.DataFrame
    """of the trees"""
    linear_inputs: pd.DataFrame
    anchor: np.ndarray
    noise: np.ndarray
    octaves: np.ndarray
    log2_n: np.ndarray
    shift: np.ndarray
    """(R,) how well a classifier tells labelled from evaluation rows (area under the curve, 0.5
    where nobody asked)."""
    sample: np.ndarray
    """(R,) int64: rows of one sample (all horizons) share a number."""

    @classmethod
    def of(cls, frame: pd.DataFrame, metric: Metric) -> "FitInputs":
        known = power_law_forecasts(frame, metric)
        anchored = anchor(frame, known, metric)
        same = frame.drop(columns=[name for name in TRUTH_COLUMNS if name in frame])
        sample = np.unique(
            pd.util.hash_pandas_object(same, index=False).to_numpy(), return_inverse=True
        )[1]
        return cls(
            tree_inputs(frame, known, anchored, metric),
            linear_inputs(frame, known, metric),
            metric.to_scale(anchored),
            noise_terms(frame, known, anchored, metric),
            log2_ratio(frame),
            np.log2(frame["n_train"].to_numpy(dtype=np.float64)),
            frame["shift_domain_auc"].fillna(0.5).to_numpy(dtype=np.float64),
            sample,
        )

    def rows(self, kept: np.ndarray) -> "FitInputs":
        return FitInputs(**{name: values[kept] for name, values in vars(self).items()})


def training_arrays(
    frame: pd.DataFrame, metric: Metric, groups: str
) -> tuple[FitInputs, np.ndarray, np.ndarray]:
    """(inputs that so many families may use, truth (R,) on its scale, family names (R,)). Raises as
    `Metamodel.fit`."""
    names = frame[groups].to_numpy(dtype=str) if len(frame) else np.array([], dtype=str)
    n_groups = len(np.unique(names))
    if n_groups < 3:
        raise UserError(
            f"a metamodel needs observations of at least 3 task families, got {n_groups}: sweep"
            " more tasks"
        )
    data = FitInputs.of(frame, metric)
    linear = (
        data.linear_inputs
        if n_groups >= MIN_GROUPS_FOR_LINEAR_STAGE
        else data.linear_inputs.iloc[:, :0]
    )
    data = replace(
        data, inputs=data.inputs[chosen_inputs(data.inputs, n_groups)], linear_inputs=linear
    )
    return data, metric.to_scale(frame["truth"].to_numpy(dtype=np.float64)), names


def held_out_quantiles(
    frame: pd.DataFrame,
    *,
    metric: Metric,
    groups: str = "task_family",
    settings: FitSettings | None = None,
) -> np.ndarray:
    """(R, 5) quantiles at QUANTILES of the rows of `frame`, each by a fit that has not seen its
    family, not yet calibrated. Arguments and errors as those of `Metamodel.fit`."""
    data, truth, names = training_arrays(frame, metric, groups)
    return metric.from_scale(
        cross_fitted_quantiles(data, truth, names, metric, settings or FitSettings())[0]
    )


def cross_fitted_quantiles(
    data: FitInputs, truth: np.ndarray, names: np.ndarray, metric: Metric, settings: FitSettings
) -> tuple[np.ndarray, np.ndarray]:
    """((R, 5) quantiles, on the scale, of every row by a fit that has not seen its family,
    (len(OCTAVE_KNOTS),) trust that they show)."""
    held_out = np.empty((len(truth), len(QUANTILES)))  # the learnt stages' standardised quantiles
    held_out_spread, held_out_scale = np.empty_like(held_out), np.empty(len(truth))
    for fold in _folds(names, settings.seed):
        noise, spread, linear_stage, booster = learn(
            data.rows(~fold), truth[~fold], names[~fold], settings
        )
        held_out_scale[fold] = np.sqrt(data.noise[fold] @ noise)
        held_out_spread[fold] = interpolate_octaves(spread, data.octaves[fold])
        held_out[fold] = standardised_quantiles(
            linear_stage, booster, data.rows(fold), held_out_scale[fold]
        )
    error_trees, error_spread = (
        truth - data.anchor - held_out_scale * standardised[:, MEDIAN]
        for standardised in (held_out, held_out_spread)
    )
    trust = choose_trust(error_trees, error_spread, data.octaves, names)
    return blend_by_trust(data, held_out_scale, held_out, held_out_spread, trust, metric), trust


def blend_by_trust(
    data: FitInputs,
    scale: np.ndarray,
    learnt: np.ndarray,
    spread: np.ndarray,
    trust: np.ndarray,
    metric: Metric,
) -> np.ndarray:
    """(R, 5) quantiles on the scale, not yet calibrated: what both stages have `learnt` (R, 5) and
    the anchor's own `spread` (R, 5), in units of `scale` (R,), by the trust in the former at
    OCTAVE_KNOTS."""
    share = np.interp(data.octaves, OCTAVE_KNOTS, trust)[:, None]
    quantiles = sorted_quantiles(data.anchor, scale, share * learnt + (1 - share) * spread, metric)
    return monotone(quantiles, data.sample, data.octaves, metric)


def learn(
    data: FitInputs, truth: np.ndarray, names: np.ndarray, settings: FitSettings
) -> tuple[np.ndarray, np.ndarray, LinearStage, xgboost.Booster]:
    """(noise factors (N_NOISE_TERMS,), spread (len(OCTAVE_KNOTS), 5), linear stage, trees) from
    rows of groups `names`."""
    from scipy.optimize import nnls

    weights = group_weights(names)
    error = truth - data.anchor
    balance = np.sqrt(weights) / data.noise.sum(
        axis=1
    )  # relative errors of the variance, tasks equal
    noise = np.maximum(nnls(data.noise * balance[:, None], error**2 * balance)[0], 0.05)
    standardised = error / np.sqrt(data.noise @ noise)
    spread = np.empty((len(OCTAVE_KNOTS), len(QUANTILES)))
    for row, knot in enumerate(OCTAVE_KNOTS):
        near = weights * np.maximum(
            nearness(data.octaves, knot), 1e-3
        )  # all rows count a little where no row is near
        spread[row] = [weighted_quantile(standardised, near, level) for level in QUANTILES]
        spread[row] -= (1 - _certainty(standardised, near, names)) * spread[row, MEDIAN]
    corrected = np.empty(len(error))  # by linear stages that have not seen the row's family
    for fold in _folds(names, settings.seed, N_LINEAR_FOLDS):
        linear_stage = _fit_linear_stage(data.rows(~fold), error[~fold], names[~fold], settings)
        corrected[fold] = linear_stage.predict(*_linear_rows(data.rows(fold)))
    left = (error - corrected) / np.sqrt(data.noise @ noise)
    matrix = xgboost.DMatrix(data.inputs.to_numpy(), left, weight=weights * len(weights))
    parameters = {
        "objective": "reg:quantileerror",
        "quantile_alpha": np.array(QUANTILES),
        "tree_method": "hist",
        "max_bin": 64,
        "max_depth": settings.max_depth,
        "eta": settings.eta,
        "subsample": 0.5,
        "colsample_bynode": 0.3,
        "lambda": 10.0,
        "min_child_weight": (
            settings.leaf_tasks * len(weights) / len(np.unique(names)) * 0.5
        ),  # of the half drawn
        "seed": settings.seed,
        "nthread": settings.n_threads,
    }
    return (
        noise,
        spread,
        _fit_linear_stage(data, error, names, settings),
        xgboost.train(parameters, matrix, settings.n_rounds),
    )


def _linear_rows(data: FitInputs) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    return data.linear_inputs, data.octaves, data.log2_n


def _fit_linear_stage(
    data: FitInputs, error: np.ndarray, names: np.ndarray, settings: FitSettings
) -> LinearStage:
    return LinearStage.fit(
        *_linear_rows(data), error, names, penalty_tasks=settings.stack_penalty_tasks
    )


def _certainty(errors: np.ndarray, weights: np.ndarray, names: np.ndarray) -> float:
    """In [0, 1]: how much of the mean error is the anchor's own bias rather than the luck of which
    tasks were swept (positive-part James-Stein over the tasks' means)."""
    _, index = np.unique(names, return_inverse=True)
    means = np.bincount(index, weights * errors) / np.bincount(index, weights)
    return (
        float(max(0.0, 1 - means.var(ddof=1) / len(means) / max(means.mean() ** 2, 1e-12)))
        if len(means) > 1
        else 0.0
    )


def standardised_quantiles(
    linear_stage: LinearStage, booster: xgboost.Booster, data: FitInputs, scale: np.ndarray
) -> np.ndarray:
    """(R, 5) quantiles of the anchor's error in units of `scale` (R,), by both stages."""
    trees = np.asarray(booster.predict(xgboost.DMatrix(data.inputs.to_numpy())), dtype=np.float64)
    return (linear_stage.predict(*_linear_rows(data)) / scale)[:, None] + trees.reshape(
        len(scale), len(QUANTILES)
    )


def _folds(names: np.ndarray, seed: int, n_folds: int = MAX_FOLDS) -> list[np.ndarray]:
    """Masks (R,) of held-out rows: at most `n_folds`, whole groups each."""
    return [np.isin(names, groups) for groups in group_folds(names, n_folds, seed)]
