"""The metamodel: from what is known of a sample to calibrated quantiles of the metric at any horizon.

A linear stage (`meta.stacking`) says what the anchor forecast gets wrong, quantile trees (XGBoost) what is left, in units of
the noise the sample must have. How far both are believed (`trust`, per octave ahead), and how far their intervals must be
stretched, is learnt on tasks that they have not seen; with too few tasks trust falls to 0 and the forecast is the anchor with
an empirical spread. Stored as XGBoost UBJSON beside card.json; nothing is pickled.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xgboost

from cluster.storage import CorruptArtefactError, Storage, UserError
from meta.conformal import MEDIAN, QUANTILES, group_folds, group_weights, stretch, weighted_quantile
from meta.curves import METRICS
from meta.design import MIN_GROUPS_TO_STACK, anchor, chosen_inputs, log2_ratio, noise_terms, stack_inputs, tree_inputs
from meta.near_horizon import SIZE_KNOTS, at_octaves, choose_trust, factors_at, local_factors, nearness
from meta.observations import FEATURES_VERSION, forecasts
from meta.quantile_curves import bounded, monotone, sorted_quantiles
from meta.stacking import OCTAVE_KNOTS, Stack
from meta.view_prior import ViewPrior

SCHEMA = 2
"""Version of the stored form; raised when older cards cannot be read."""
TREES_FILE, CARD_FILE, VIEW_PRIOR_FILE = "trees.ubj", "card.json", "view_prior.json"
MAX_FOLDS = 5
N_STACK_FOLDS = 4
"""Parts of the families for the linear stage that the trees learn beside: they must see its errors on tasks it has not seen."""
WIDER_PER_OCTAVE_OUTSIDE = 0.25
"""An interval outside the range of the training samples is this much wider per octave (of n, classes or horizon) outside."""
RANGE_FEATURES = {"n_train": "labelled rows", "n_classes": "classes", "log2_n_columns": "dimensions of the space"}
"""What has a range that was learnt from, and what it counts."""


@dataclass(frozen=True)
class TreeSettings:
    """Hyperparameters of the quantile trees."""

    n_rounds: int = 60
    eta: float = 0.1
    max_depth: int = 3
    leaf_tasks: float = 0.4
    """Least weight of a leaf, in tasks: a leaf made of one task's rows has learnt that task's name."""
    seed: int = 0
    n_threads: int = 1


@dataclass(frozen=True)
class Metamodel:
    """A fitted metamodel of one metric; made by `Metamodel.fit` or `Metamodel.load`."""

    metric: str
    feature_names: tuple[str, ...]
    stack: Stack
    booster: xgboost.Booster
    noise: tuple[float, float, float]
    """Factors of `meta.design.noise_terms`."""
    spread: tuple[tuple[float, ...], ...]
    """Quantiles (at QUANTILES) of the standardised error of the anchor over all tasks, near each of OCTAVE_KNOTS."""
    trust: tuple[float, ...]
    """Share of the trees' word against `spread`, at OCTAVE_KNOTS."""
    factors: np.ndarray
    """(len(OCTAVE_KNOTS), len(SIZE_KNOTS), 5) conformal stretch at QUANTILES."""
    card: dict[str, Any] = field(default_factory=dict)
    """Where it comes from: tasks, encoders, ranges, guaranteed levels, honest scores."""
    view_prior: ViewPrior | None = None
    """What the same tasks say of how spaces compare; None where too few tasks have the same spaces."""

    @classmethod
    def fit(
        cls,
        frame: pd.DataFrame,
        *,
        metric: str = "accuracy",
        groups: str = "task_family",
        settings: TreeSettings | None = None,
    ) -> "Metamodel":
        """Learn from observations with their truth (`meta.observations.observation_table`).

        `groups` names the column whose values are never split between learning and calibration. Raises UserError for fewer
        than 3 groups, ValueError for an unknown metric.
        """
        if metric not in METRICS:
            raise ValueError(f"metric {metric!r}: one of {', '.join(METRICS)}")
        names = frame[groups].to_numpy(dtype=str) if len(frame) else np.array([], dtype=str)
        if len(np.unique(names)) < 3:
            raise UserError(
                f"a metamodel needs observations of at least 3 task families, got {len(np.unique(names))}: sweep more tasks"
            )
        settings = settings or TreeSettings()
        data = _Prepared.of(frame, metric)
        n_groups = len(np.unique(names))
        stacked = data.stack_inputs if n_groups >= MIN_GROUPS_TO_STACK else data.stack_inputs.iloc[:, :0]
        data = replace(data, inputs=data.inputs[chosen_inputs(data.inputs, n_groups)], stack_inputs=stacked)
        truth = frame["truth"].to_numpy(dtype=np.float64)
        held_out = np.empty((len(frame), len(QUANTILES)))  # the trees' standardised quantiles, family left out
        held_out_spread, held_out_scale = np.empty_like(held_out), np.empty(len(frame))
        for fold in _folds(names, settings.seed):
            noise, spread, stack, booster = _learn(data.rows(~fold), truth[~fold], names[~fold], settings)
            held_out_scale[fold] = np.sqrt(data.noise[fold] @ noise)
            held_out_spread[fold] = at_octaves(spread, data.octaves[fold])
            held_out[fold] = _standardised_quantiles(stack, booster, data.rows(fold), held_out_scale[fold])
        error_trees, error_spread = (
            truth - data.anchor - held_out_scale * standardised[:, MEDIAN] for standardised in (held_out, held_out_spread)
        )
        trust = choose_trust(error_trees, error_spread, data.octaves, names)
        share = np.interp(data.octaves, OCTAVE_KNOTS, trust)[:, None]
        standardised = share * held_out + (1 - share) * held_out_spread
        raw = sorted_quantiles(data.anchor, held_out_scale, standardised, metric)
        raw = monotone(raw, data.sample, data.octaves, metric)
        factors, guaranteed = local_factors(raw, truth, names, data.octaves, data.log2_n)
        noise, spread, stack, booster = _learn(data, truth, names, settings)
        card = _card(frame, names, metric, guaranteed)
        return cls(
            metric,
            tuple(data.inputs.columns),
            stack,
            booster,
            tuple(noise.tolist()),
            tuple(map(tuple, spread.tolist())),
            tuple(trust.tolist()),
            factors,
            card,
        )

    def predict(self, features: pd.DataFrame) -> np.ndarray:
        """(R, 5) float64 quantiles (QUANTILES) of the metric for rows of sample features with the column `horizon`.

        Sorted in each row; for rows that differ only in `horizon`, each quantile is monotone in it (rates never fall).
        Rows outside the range learnt from are answered with wider intervals (`outside` says which).
        """
        data = _Prepared.of(features, self.metric)
        missing = [name for name in self.feature_names if name not in data.inputs.columns]
        if missing:
            raise ValueError(f"features lack {', '.join(missing[:5])}")
        data = replace(data, inputs=data.inputs[list(self.feature_names)])
        share = np.interp(data.octaves, OCTAVE_KNOTS, self.trust)[:, None]
        scale = np.sqrt(data.noise @ np.asarray(self.noise))
        learnt = _standardised_quantiles(self.stack, self.booster, data, scale)
        standardised = share * learnt + (1 - share) * at_octaves(np.asarray(self.spread), data.octaves)
        quantiles = sorted_quantiles(data.anchor, scale, standardised, self.metric)
        quantiles = monotone(quantiles, data.sample, data.octaves, self.metric)
        wider = 1 + WIDER_PER_OCTAVE_OUTSIDE * self._octaves_outside(features)
        quantiles = stretch(quantiles, factors_at(self.factors, data.octaves, data.log2_n) * wider[:, None])
        return monotone(bounded(quantiles, self.metric), data.sample, data.octaves, self.metric)

    def curve(self, features: Mapping[str, float], horizons: Sequence[int] | np.ndarray) -> np.ndarray:
        """(len(horizons), 5) quantiles of one sample's curve: `features` from `meta.observations.sample_features`, horizons in
        rows, in any order."""
        frame = pd.DataFrame([dict(features)] * len(horizons))
        return self.predict(frame.assign(horizon=np.asarray(horizons, dtype=np.float64)))

    def outside(self, features: Mapping[str, float]) -> list[str]:
        """What of a sample lies outside the range this metamodel has learnt from, one plain phrase each; empty if nothing."""
        phrases = []
        for name, (low, high) in self.card["ranges"].items():
            value = features.get(name)
            if value is not None and not low <= value <= high:
                low_shown, high_shown, shown = (2**v if name.startswith("log2_") else v for v in (low, high, value))
                phrases.append(f"{shown:.0f} {RANGE_FEATURES[name]}, learnt from {low_shown:.0f} to {high_shown:.0f}")
        return phrases

    def with_evaluation(self, tables: Mapping[str, Any]) -> "Metamodel":
        """The same metamodel with the tables of `meta.evaluation` in its card, under `evaluation`."""
        return replace(self, card={**self.card, "evaluation": dict(tables)})

    def with_view_prior(self, view_prior: ViewPrior | None) -> "Metamodel":
        """The same metamodel with another prior of spaces."""
        return replace(self, view_prior=view_prior)

    def save(self, storage: Storage, key: str) -> str:
        """Publish under `metamodels/<key>/`; returns that artefact key."""
        artefact = f"metamodels/{key}"
        with storage.writing_folder(artefact) as folder:
            self.booster.save_model(folder / TREES_FILE)
            (folder / CARD_FILE).write_text(json.dumps(self._to_json(), indent=1, allow_nan=False))
            if self.view_prior is not None:
                self.view_prior.save(folder / VIEW_PRIOR_FILE)
        return artefact

    @classmethod
    def load(cls, folder: str | Path) -> "Metamodel":
        """The metamodel in a folder. Raises UserError where there is none or it is of another version, CorruptArtefactError."""
        folder = Path(folder)
        if not (folder / CARD_FILE).is_file():
            raise UserError(f"{folder}: no metamodel there ({CARD_FILE} is missing); give the folder that `neoberta fit` wrote")
        try:
            stored = json.loads((folder / CARD_FILE).read_text())
            version = (stored["schema"], stored["features_version"])
            if version == (SCHEMA, FEATURES_VERSION):
                booster = xgboost.Booster()
                booster.load_model(folder / TREES_FILE)
                _check_stored(stored, booster.num_features())
                fitted = {name: tuple(stored[name]) for name in ("feature_names", "noise", "trust")}
                fitted["factors"] = np.array(stored["factors"], dtype=np.float64)
                fitted["spread"] = tuple(tuple(row) for row in stored["spread"])
                fitted["stack"] = Stack.from_json(stored["stack"])
                prior = folder / VIEW_PRIOR_FILE
                fitted["view_prior"] = ViewPrior.load(prior) if prior.is_file() else None
                return cls(metric=stored["metric"], booster=booster, card=stored["card"], **fitted)
        except (ValueError, KeyError, TypeError, AttributeError, xgboost.core.XGBoostError) as error:
            raise CorruptArtefactError(f"{folder}: cannot be read ({str(error).splitlines()[0]})") from error
        wanted = (SCHEMA, FEATURES_VERSION)
        raise UserError(f"{folder}: metamodel of version {version}, this program reads {wanted}; run `neoberta fit` again")

    def _to_json(self) -> dict[str, Any]:
        names = ("metric", "feature_names", "noise", "spread", "trust", "card")
        fitted = {name: getattr(self, name) for name in names}
        fitted |= {"stack": self.stack.to_json(), "factors": self.factors.tolist()}
        return {"schema": SCHEMA, "features_version": FEATURES_VERSION, **fitted}

    def _octaves_outside(self, features: pd.DataFrame) -> np.ndarray:
        """(R,) octaves outside the learnt range, summed over n, classes, embedding width and the horizon."""
        total = np.maximum(log2_ratio(features) - self.card["max_octaves"], 0.0)
        for name, (low, high) in self.card["ranges"].items():
            logs = (lambda v: v) if name.startswith("log2_") else (lambda v: np.log2(np.maximum(v, 1.0)))
            values = logs(features[name].to_numpy(dtype=np.float64))
            total += np.maximum(logs(low) - values, 0.0) + np.maximum(values - logs(high), 0.0)
        return total


def _check_stored(stored: Mapping[str, Any], n_features: int) -> None:
    """Raises ValueError, KeyError, TypeError or AttributeError for a stored form that `predict` would stumble over."""
    shapes = {
        "noise": (3,),
        "spread": (len(OCTAVE_KNOTS), len(QUANTILES)),
        "trust": (len(OCTAVE_KNOTS),),
        "factors": (len(OCTAVE_KNOTS), len(SIZE_KNOTS), len(QUANTILES)),
    }
    for name, shape in shapes.items():
        values = np.array(stored[name], dtype=np.float64)
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"{name}: must be finite numbers of shape {shape}, found shape {values.shape}")
    names, card = stored["feature_names"], stored["card"]
    if not isinstance(names, list) or len(names) != n_features or not all(isinstance(name, str) for name in names):
        raise ValueError(f"feature_names: must be the names of the trees' {n_features} inputs")
    if stored["metric"] not in METRICS:
        raise ValueError(f"metric: must be one of {', '.join(METRICS)}")
    if not np.isfinite(np.float64(card["max_octaves"])):
        raise ValueError("max_octaves: must be a number")
    for name, bounds in card["ranges"].items():
        if name not in RANGE_FEATURES or not np.isfinite(np.array(bounds, dtype=np.float64).reshape(2)).all():
            raise ValueError(f"ranges: {name}: must be the least and the greatest of one of {', '.join(RANGE_FEATURES)}")


@dataclass(frozen=True)
class _Prepared:
    """A frame of observations as the arrays that fitting and predicting share."""

    inputs: pd.DataFrame
    """of the trees"""
    stack_inputs: pd.DataFrame
    anchor: np.ndarray
    noise: np.ndarray
    octaves: np.ndarray
    log2_n: np.ndarray
    sample: np.ndarray
    """(R,) int64: rows of one sample (all horizons) share a number."""

    @classmethod
    def of(cls, frame: pd.DataFrame, metric: str) -> "_Prepared":
        known = forecasts(frame, metric)
        inputs, anchored = tree_inputs(frame, known, metric), anchor(frame, known, metric)
        same = frame.drop(columns=[name for name in ("horizon", "truth", "truth_std", "n_truth") if name in frame])
        sample = np.unique(pd.util.hash_pandas_object(same, index=False).to_numpy(), return_inverse=True)[1]
        return cls(
            inputs,
            stack_inputs(frame, known, metric),
            anchored,
            noise_terms(frame, anchored, metric),
            log2_ratio(frame),
            np.log2(frame["n_train"].to_numpy(dtype=np.float64)),
            sample,
        )

    def rows(self, kept: np.ndarray) -> "_Prepared":
        return _Prepared(**{name: values[kept] for name, values in vars(self).items()})


def _learn(
    data: _Prepared, truth: np.ndarray, names: np.ndarray, settings: TreeSettings
) -> tuple[np.ndarray, np.ndarray, Stack, xgboost.Booster]:
    """(noise factors (3,), spread (len(OCTAVE_KNOTS), 5), linear stage, trees) from rows whose groups are `names`."""
    from scipy.optimize import nnls

    weights = group_weights(names)
    error = truth - data.anchor
    balance = np.sqrt(weights) / data.noise.sum(axis=1)  # relative errors of the variance, tasks equal
    noise = np.maximum(nnls(data.noise * balance[:, None], error**2 * balance)[0], 0.05)
    standardised = error / np.sqrt(data.noise @ noise)
    spread = np.empty((len(OCTAVE_KNOTS), len(QUANTILES)))
    for row, knot in enumerate(OCTAVE_KNOTS):
        near = weights * np.maximum(nearness(data.octaves, knot), 1e-3)  # all rows count a little where no row is near
        spread[row] = [weighted_quantile(standardised, near, level) for level in QUANTILES]
        spread[row] -= (1 - _certainty(standardised, near, names)) * spread[row, MEDIAN]
    corrected = np.empty(len(error))  # by linear stages that have not seen the row's family
    for fold in _folds(names, settings.seed, N_STACK_FOLDS):
        corrected[fold] = _fit_stack(data.rows(~fold), error[~fold], names[~fold]).predict(*_stack_rows(data.rows(fold)))
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
        "min_child_weight": settings.leaf_tasks * len(weights) / len(np.unique(names)) * 0.5,  # of the half drawn
        "seed": settings.seed,
        "nthread": settings.n_threads,
    }
    return noise, spread, _fit_stack(data, error, names), xgboost.train(parameters, matrix, settings.n_rounds)


def _stack_rows(data: _Prepared) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    return data.stack_inputs, data.octaves, data.log2_n


def _fit_stack(data: _Prepared, error: np.ndarray, names: np.ndarray) -> Stack:
    return Stack.fit(*_stack_rows(data), error, names)


def _certainty(errors: np.ndarray, weights: np.ndarray, names: np.ndarray) -> float:
    """In [0, 1]: how much of the mean error is the anchor's own bias rather than the luck of which tasks were swept
    (positive-part James-Stein over the tasks' means)."""
    _, index = np.unique(names, return_inverse=True)
    means = np.bincount(index, weights * errors) / np.bincount(index, weights)
    return float(max(0.0, 1 - means.var(ddof=1) / len(means) / max(means.mean() ** 2, 1e-12))) if len(means) > 1 else 0.0


def _standardised_quantiles(stack: Stack, booster: xgboost.Booster, data: _Prepared, scale: np.ndarray) -> np.ndarray:
    """(R, 5) quantiles of the anchor's error in units of `scale` (R,), by both stages."""
    trees = np.asarray(booster.predict(xgboost.DMatrix(data.inputs.to_numpy())), dtype=np.float64)
    return (stack.predict(*_stack_rows(data)) / scale)[:, None] + trees.reshape(len(scale), len(QUANTILES))


def _folds(names: np.ndarray, seed: int, n_folds: int = MAX_FOLDS) -> list[np.ndarray]:
    """Masks (R,) of held-out rows: at most `n_folds`, whole groups each."""
    return [np.isin(names, groups) for groups in group_folds(names, n_folds, seed)]


def _card(frame: pd.DataFrame, names: np.ndarray, metric: str, guaranteed: np.ndarray) -> dict[str, Any]:
    return {
        "metric": metric,
        "n_observations": len(frame),
        "tasks": sorted(set(frame["task"].astype(str))),
        "task_families": sorted(set(names.tolist())),
        "encoders": sorted(set(frame["encoder"].astype(str))),
        "ranges": {name: [float(frame[name].min()), float(frame[name].max())] for name in RANGE_FEATURES},
        "max_octaves": float(log2_ratio(frame).max()),
        "quantiles": list(QUANTILES),
        "guaranteed_levels": [float(level) for level in guaranteed],
    }
