"""How a metamodel is fitted: its two stages (linear, then trees), and the cross-fitting that judges
them.

Families of tasks are never split between folds. With few families most inputs are left out, and the
linear stage predicts 0.
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

MAX_CROSS_FIT_FOLDS = 5
"""Cross-fitting deals the families into at most this many parts."""
N_LINEAR_FOLDS = 4
"""The linear stage is cross-fitted in this many parts before the trees are fitted. So the trees
learn from the errors that it makes on tasks that it has not seen."""


@dataclass(frozen=True)
class FitSettings:
    """Hyperparameters of the linear stage and of the quantile trees; `meta.metamodel.tuning`
    chooses them."""

    n_rounds: int = 60
    eta: float = 0.1
    max_depth: int = 3
    leaf_tasks: float = 0.4
    """Least weight of a leaf, in tasks. A smaller leaf could hold the rows of one task only, and
    the trees would learn that task by heart."""
    stack_penalty_tasks: float = 4.0
    """The weight of "no correction" in the linear stage (the stack), in task families. So few
    families change the anchor only a little."""
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True)
class FitInputs:
    """R observations as the arrays that fitting and predicting need. The metric is on the scale of
    `meta.metric.Metric.to_scale`."""

    inputs: pd.DataFrame
    """(R, features) inputs of the trees."""
    linear_inputs: pd.DataFrame
    """(R, F) inputs of the linear stage."""
    anchor: np.ndarray
    """(R,) the anchor forecast."""
    noise: np.ndarray
    """(R, N_NOISE_TERMS) the terms of `meta.metamodel.inputs.noise_terms`."""
    octaves: np.ndarray
    """(R,) octaves from n to the horizon."""
    log2_n: np.ndarray
    """(R,)"""
    shift: np.ndarray
    """(R,) how well a classifier tells labelled from evaluation rows: the area under the curve, 0.5
    where it was not measured."""
    sample: np.ndarray
    """(R,) int64: the rows of one sample, which differ in the horizon, have the same number."""

    @classmethod
    def of(cls, frame: pd.DataFrame, metric: Metric) -> "FitInputs":
        """The arrays of a frame of observations; columns of the truth are not read."""
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
        """The rows for which the mask `kept` (R,) is True."""
        return FitInputs(**{name: values[kept] for name, values in vars(self).items()})


def training_arrays(
    frame: pd.DataFrame, metric: Metric, groups: str
) -> tuple[FitInputs, np.ndarray, np.ndarray]:
    """What a fit reads from `frame`: the inputs, the truth (R,) on the scale that is learnt on, and
    the groups (R,), which are the values of the column `groups`. The fewer groups there are, the
    fewer inputs. Raises UserError for fewer than 3 groups."""
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
    """(R, 5) quantiles (QUANTILES) for the rows of `frame`, before calibration. Each row is
    predicted by a fit that has not seen its group. Arguments and errors are those of
    `Metamodel.fit`."""
    data, truth, names = training_arrays(frame, metric, groups)
    return metric.from_scale(
        cross_fitted_quantiles(data, truth, names, metric, settings or FitSettings())[0]
    )


def cross_fitted_quantiles(
    data: FitInputs, truth: np.ndarray, names: np.ndarray, metric: Metric, settings: FitSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles (R, 5) on the scale that is learnt on, each row by a fit that has not seen its
    group in `names` (R,); and the trust (len(OCTAVE_KNOTS),) that these quantiles justify."""
    held_out = np.empty((len(truth), len(QUANTILES)))  # standardised, by the learnt stages
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
    """(R, 5) quantiles on the scale that is learnt on, before calibration.

    They are a blend of two kinds of standardised quantiles of the anchor's error: `learnt` (R, 5)
    by both stages, and `spread` (R, 5) over all tasks. The share of the former is `trust`
    (len(OCTAVE_KNOTS),). `scale` (R,) is the unit of both.
    """
    share = np.interp(data.octaves, OCTAVE_KNOTS, trust)[:, None]
    quantiles = sorted_quantiles(data.anchor, scale, share * learnt + (1 - share) * spread, metric)
    return monotone(quantiles, data.sample, data.octaves, metric)


def learn(
    data: FitInputs, truth: np.ndarray, names: np.ndarray, settings: FitSettings
) -> tuple[np.ndarray, np.ndarray, LinearStage, xgboost.Booster]:
    """Fit all parts of a metamodel to `truth` (R,), which is on the scale that is learnt on.
    `names` (R,) are the groups of the rows.

    Returns the factors (N_NOISE_TERMS,) of the noise terms, the quantiles (len(OCTAVE_KNOTS), 5) of
    the standardised error of the anchor, the linear stage, and the trees.
    """
    from scipy.optimize import nnls

    weights = group_weights(names)
    error = truth - data.anchor
    # errors of the variance count relative to the variance, and tasks count equally
    balance = np.sqrt(weights) / data.noise.sum(axis=1)
    noise = np.maximum(nnls(data.noise * balance[:, None], error**2 * balance)[0], 0.05)
    standardised = error / np.sqrt(data.noise @ noise)
    spread = np.empty((len(OCTAVE_KNOTS), len(QUANTILES)))
    for row, knot in enumerate(OCTAVE_KNOTS):
        # every row has some weight, for the case that no row is near
        near = weights * np.maximum(nearness(data.octaves, knot), 1e-3)
        spread[row] = [weighted_quantile(standardised, near, level) for level in QUANTILES]
        spread[row] -= (1 - _bias_share(standardised, near, names)) * spread[row, MEDIAN]
    correction = np.empty(len(error))  # by linear stages that have not seen the row's group
    for fold in _folds(names, settings.seed, N_LINEAR_FOLDS):
        linear_stage = _fit_linear_stage(data.rows(~fold), error[~fold], names[~fold], settings)
        correction[fold] = linear_stage.predict(*_linear_rows(data.rows(fold)))
    remaining = (error - correction) / np.sqrt(data.noise @ noise)
    matrix = xgboost.DMatrix(data.inputs.to_numpy(), remaining, weight=weights * len(weights))
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
        # half, because each tree sees half of the rows
        "min_child_weight": settings.leaf_tasks * len(weights) / len(np.unique(names)) * 0.5,
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
    """The rows as `LinearStage` takes them: inputs, octaves, log2 n."""
    return data.linear_inputs, data.octaves, data.log2_n


def _fit_linear_stage(
    data: FitInputs, error: np.ndarray, names: np.ndarray, settings: FitSettings
) -> LinearStage:
    """A linear stage fitted to the errors `error` (R,) of the anchor."""
    return LinearStage.fit(
        *_linear_rows(data), error, names, penalty_tasks=settings.stack_penalty_tasks
    )


def _bias_share(errors: np.ndarray, weights: np.ndarray, names: np.ndarray) -> float:
    """In [0, 1]: which share of the mean error is bias of the anchor. The rest is luck: it depends
    on which tasks were swept. The share is estimated by the positive part of the James-Stein
    estimator over the groups' means. `errors`, `weights` and `names` are (R,)."""
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
    """(R, 5) quantiles of the anchor's error by both stages, in units of `scale` (R,)."""
    trees = np.asarray(booster.predict(xgboost.DMatrix(data.inputs.to_numpy())), dtype=np.float64)
    return (linear_stage.predict(*_linear_rows(data)) / scale)[:, None] + trees.reshape(
        len(scale), len(QUANTILES)
    )


def _folds(names: np.ndarray, seed: int, n_folds: int = MAX_CROSS_FIT_FOLDS) -> list[np.ndarray]:
    """At most `n_folds` masks (R,) of held-out rows. A group of `names` (R,) is never split."""
    return [np.isin(names, groups) for groups in group_folds(names, n_folds, seed)]
