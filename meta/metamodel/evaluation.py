"""Honest evaluation of the metamodel: whole task families (or encoders) left out, everything fitted
inside the fold, cheap baselines beside it on the same rows.

Every mean weights tasks equally. Points are hundredths of the metric. Baselines that need other
tasks' results (encoder means, the static choice of a view) take them from the fold's training part
only.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from meta.groups import group_folds
from meta.metamodel.conformal import interval
from meta.metamodel.fitting import FitSettings
from meta.metamodel.inputs import TRUTH_COLUMNS, anchor
from meta.metamodel.model import Metamodel
from meta.metamodel.observations import SAMPLE, VIEW, forecasts, with_horizons
from meta.metamodel.power_laws import FORECASTS
from meta.metamodel.quantile_curves import n_if_reached, probability_reached
from meta.metric import Metric

FACTORS = (1, 2, 4, 8, 16, 32)
"""Octaves predicted for every sample; 32x so that a required n of 16x can be missed upwards by 2x
and still count."""
QUANTILE_COLUMNS = ["q05", "q25", "q50", "q75", "q95"]
BASELINES = (*FORECASTS, "anchor", "encoder_mean")
LEVELS = (0.5, 0.8, 0.9)
REQUIRED_AT = (4, 16)
MAX_FOLDS = 12
"""With more families than this, several are left out together: each fold learns from nearly all
tasks all the same."""

Settings = FitSettings | Mapping[tuple[str, ...], FitSettings] | None


def leave_task_out(
    frame: pd.DataFrame,
    *,
    metric: Metric = Metric.ACCURACY,
    by: str = "task_family",
    settings: Settings = None,
    fold_map: Callable[..., Iterable[Any]] = map,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """The tables of `evaluation_tables` for predictions with every value of the column `by` left
    out in turn."""
    held_out = held_out_predictions(
        frame, metric=metric, by=by, settings=settings, fold_map=fold_map, progress=progress
    )
    return evaluation_tables(held_out, metric=metric)


def held_out_predictions(
    frame: pd.DataFrame,
    *,
    metric: Metric = Metric.ACCURACY,
    by: str = "task_family",
    settings: Settings = None,
    also: pd.DataFrame | None = None,
    fold_map: Callable[..., Iterable[Any]] = map,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Every sample of `frame` at every factor of `FACTORS`, predicted by a metamodel that has not
    seen its value of `by`.

    `frame` is `meta.metamodel.observations.observation_table`'s. Returns the sample's columns and
    `horizon`, `factor`, `q05` .. `q95`, each baseline, `static` (mean truth of the view at n on the
    other tasks) and `truth` (NaN where not measured). `settings` are those of every fit, or of each
    fold's, by the names left out, sorted (`meta.metamodel.tuning.chosen_settings`). `also` are
    observations that every fold learns from beside `frame`'s, where they are not of what it leaves
    out. `fold_map` maps `predict_fold` over folds in any order (`map`, or a pool's), so folds can
    run in parallel.
    """
    folds = evaluation_folds(frame, by)
    parts = []
    fold_part = partial(
        predict_fold, frame=frame, metric=metric, by=by, settings=settings, also=also
    )
    for part in fold_map(fold_part, folds):
        parts.append(part)
        if progress is not None:
            progress(len(parts), len(folds))
    return pd.concat(parts, ignore_index=True).sort_values([*SAMPLE, "factor"], ignore_index=True)


def evaluation_folds(frame: pd.DataFrame, by: str = "task_family") -> list[tuple[str, ...]]:
    """The values of `by` that are left out together, sorted: each alone up to `MAX_FOLDS` of them,
    more in so many groups."""
    return [
        tuple(sorted(map(str, names)))
        for names in group_folds(frame[by].to_numpy(dtype=str), MAX_FOLDS)
    ]


def predict_fold(
    fold: tuple[str, ...],
    *,
    frame: pd.DataFrame,
    metric: Metric,
    by: str,
    settings: Settings = None,
    also: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The rows of one fold of `held_out_predictions`: fit on the rows whose `by` is not in `fold`,
    predict the others."""
    inside = frame[by].astype(str).isin(fold).to_numpy()
    rest, ours = frame[~inside], frame[inside]
    if also is not None:
        rest = pd.concat([rest, also[~also[by].astype(str).isin(fold)]], ignore_index=True)
    model = Metamodel.fit(
        rest, metric=metric, settings=settings[fold] if isinstance(settings, Mapping) else settings
    )
    samples = ours.drop_duplicates(SAMPLE).drop(columns=list(TRUTH_COLUMNS))
    grid = with_horizons(samples, FACTORS)
    grid["factor"] = grid["horizon"]
    grid["horizon"] = grid["factor"] * grid["n_train"]
    features = grid.drop(columns="factor")
    predicted = pd.DataFrame(model.predict(features), columns=QUANTILE_COLUMNS, index=grid.index)
    known = forecasts(features, metric)
    for law in FORECASTS:
        predicted[law] = metric.from_loss(known[law].to_numpy())
    predicted["anchor"] = anchor(features, known, metric)
    at_horizon = rest.groupby("horizon")["truth"].mean()
    predicted["encoder_mean"] = (
        _mean_truth(rest, grid, "horizon").fillna(grid["horizon"].map(at_horizon)).to_numpy()
    )
    predicted["static"] = _mean_truth(rest, grid, "n_train").to_numpy()
    answers = pd.concat([grid, predicted], axis=1)
    return answers.merge(ours[[*SAMPLE, "horizon", "truth"]], on=[*SAMPLE, "horizon"], how="left")


def _mean_truth(rest: pd.DataFrame, grid: pd.DataFrame, size: str) -> pd.Series:
    """(R,) mean over tasks, then over the rest, of the measured metric of each row's view at its
    `size` rows."""
    of_task = rest.groupby([*VIEW, "horizon", "task_fingerprint"])["truth"].mean()
    mean = of_task.groupby([*VIEW, "horizon"]).mean().rename("mean").reset_index()
    wanted = grid[[*VIEW, size]].rename(columns={size: "horizon"})
    return wanted.merge(mean, on=[*VIEW, "horizon"], how="left")["mean"]


def evaluation_tables(
    held_out: pd.DataFrame, *, metric: Metric = Metric.ACCURACY
) -> dict[str, Any]:
    """The tables of an honest evaluation (docs/design.md) from `held_out_predictions`: JSON types,
    rates as fractions, errors and widths in points.

    `mae_points[horizon][forecaster]`, `coverage[level][horizon | all] = {coverage, width_points}`,
    `tasks_covered_80` (share of tasks whose 90 % intervals hold at least 80 % of their rows),
    `required_n_within_2x[horizon][forecaster]`, `regret_at_1_points[chooser] = {mean, p90,
    n_choices}`, `mae_points_by_task`.
    """
    measured = held_out[held_out["truth"].notna()]
    tables: dict[str, Any] = {
        "metric": metric,
        "n_tasks": int(measured["task_fingerprint"].nunique()),
        "n_views": len(measured.drop_duplicates(VIEW)),
        "n_rows": len(measured),
        "mae_points": mae_points(
            measured, {"metamodel": "q50", **{name: name for name in BASELINES}}
        ),
        "coverage": coverage(measured),
        "tasks_covered_80": tasks_covered(measured),
        "required_n_within_2x": _required_n(held_out, metric),
        "regret_at_1_points": _regret(measured, metric),
        "mae_points_by_task": _errors_by_task(measured),
    }
    return tables


def mae_points(
    measured: pd.DataFrame, forecasters: Mapping[str, str]
) -> dict[str, dict[str, float]]:
    """Per horizon and name in `forecasters`: mean absolute error of its column in points. All of
    `measured` have a truth."""
    table = {}
    for factor, rows in _by_factor(measured):
        errors = {
            name: _task_mean((rows[column] - rows["truth"]).abs(), rows)
            for name, column in forecasters.items()
        }
        table[factor] = {name: 100 * error for name, error in errors.items()}
    return table


def coverage(measured: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """Per level of `LEVELS` (50, 80, 90) and horizon, or `all`: `coverage` and `width_points` of
    the central intervals."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    for level in LEVELS:
        low, high = interval(measured[QUANTILE_COLUMNS].to_numpy(), level)
        scored = measured.assign(
            inside=((measured["truth"] >= low) & (measured["truth"] <= high)) * 1.0,
            width=high - low,
        )
        table[f"{level:.0%}".rstrip("%")] = {
            factor: {
                "coverage": _task_mean(rows["inside"], rows),
                "width_points": 100 * _task_mean(rows["width"], rows),
            }
            for factor, rows in [("all", scored), *_by_factor(scored)]
        }
    return table


def tasks_covered(measured: pd.DataFrame) -> float:
    """Share of tasks whose 90 % intervals hold at least 80 % of their rows."""
    inside = (measured["truth"] >= measured["q05"]) & (measured["truth"] <= measured["q95"])
    return float((inside.groupby(measured["task_fingerprint"]).mean() >= 0.8).mean())


def _required_n(held_out: pd.DataFrame, metric: Metric) -> dict[str, dict[str, float]]:
    """Share of samples whose required n for the metric truly reached at 4x (16x), not before, is
    found within a factor 2: by the curve's median, and by what it would be if the target is met at
    all (`meta.metamodel.quantile_curves.n_if_reached`)."""
    sign = metric.sign
    wide = {
        name: held_out.pivot(index=SAMPLE, columns="factor", values=name) * sign
        for name in ("truth", "q50", "pow2", "pow3")
    }
    by_level = [
        held_out.pivot(index=SAMPLE, columns="factor", values=name).to_numpy()
        for name in QUANTILE_COLUMNS
    ]
    quantiles, factors = (
        np.stack(by_level, axis=-1),
        wide["q50"].columns.to_numpy(),
    )  # (samples, factors, 5)
    table: dict[str, dict[str, float]] = {}
    for factor in REQUIRED_AT:
        earlier = wide["truth"].loc[:, wide["truth"].columns.to_numpy() < factor]
        target = wide["truth"].get(factor)
        if target is None:
            continue
        asked = (target > earlier.max(axis=1) + 0.002).to_numpy()  # 0.2 points: not reached before
        if not asked.any():
            continue
        tasks = wide["truth"].index.get_level_values("task_fingerprint")[asked]
        table[f"{factor}x"] = {"n_questions": float(asked.sum())}
        goals = target.to_numpy()[asked]
        found = {
            name: _first_reached(wide[column].to_numpy()[asked], goals)
            for name, column in (("metamodel", "q50"), ("pow2", "pow2"), ("pow3", "pow3"))
        }
        found["metamodel_if_reached"] = np.array(
            [
                _if_reached(factors, curve, sign * goal, metric)
                for curve, goal in zip(quantiles[asked], goals, strict=True)
            ]
        )
        for name, at in found.items():
            right = (at >= factor / 2 - 1e-9) & (at <= factor * 2 + 1e-9)
            table[f"{factor}x"][name] = float(
                pd.Series(right * 1.0).groupby(tasks.to_numpy()).mean().mean()
            )
    return table


def _if_reached(factors: np.ndarray, quantiles: np.ndarray, target: float, metric: Metric) -> float:
    """Factor by `n_if_reached` of the curve (F, 5) at `factors` (F,); inf where there is none."""
    reached = np.array([probability_reached(row, target, metric) for row in quantiles])
    found = n_if_reached(factors, reached)
    return float("inf") if found is None else found


def _first_reached(curves: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(S,) factor at which each rising curve (S, len(FACTORS)) first reaches its target,
    log-interpolated; inf if never."""
    octaves = np.log2(FACTORS)
    found = np.full(len(curves), np.inf)
    for row, (curve, target) in enumerate(
        zip(np.maximum.accumulate(curves, axis=1), targets, strict=True)
    ):
        reached = np.flatnonzero(curve >= target)
        if len(reached) == 0:
            continue
        right = reached[0]
        if right == 0:
            found[row] = 1.0
            continue
        share = (target - curve[right - 1]) / (curve[right] - curve[right - 1])
        found[row] = 2 ** (octaves[right - 1] + share * (octaves[right] - octaves[right - 1]))
    return found


def _regret(measured: pd.DataFrame, metric: Metric) -> dict[str, dict[str, float]]:
    """Loss of each way to choose one view for a (task, n, draw) against the best of the views, at
    the present n."""
    sign = metric.sign
    now = measured[measured["factor"] == 1]
    choosers = {
        "metamodel": sign * now["q50"],
        "loo": sign * now["loo"],
        "logme": now["logme"],
        "h_score": now["h_score"],
        "static": sign * now["static"],
    }
    table: dict[str, dict[str, float]] = {}
    for name, scores in choosers.items():
        scored = now.assign(score=scores.fillna(-np.inf), value=sign * now["truth"])
        regrets = []
        for _, views in scored.groupby(["task_fingerprint", "subset", "n_train", "seed"]):
            if len(views) > 1:
                best = views["value"].to_numpy()
                regrets.append(float(best.max() - best[views["score"].to_numpy().argmax()]))
        if regrets:
            points = 100 * np.array(regrets)
            table[name] = {
                "mean": float(points.mean()),
                "p90": float(np.quantile(points, 0.9)),
                "n_choices": float(len(points)),
            }
    return table


def _errors_by_task(measured: pd.DataFrame) -> dict[str, dict[str, float]]:
    errors = pd.DataFrame(
        {name: (measured[name] - measured["truth"]).abs() * 100 for name in ("q50", "loo", "pow3")}
    )
    inside = (measured["truth"] >= measured["q05"]) & (measured["truth"] <= measured["q95"])
    means = (
        errors.rename(columns={"q50": "metamodel"})
        .assign(coverage_90=inside * 1.0)
        .groupby(measured["task"])
        .mean()
    )
    return {
        str(task): {str(name): float(value) for name, value in row.items()}
        for task, row in means.iterrows()
    }


def _by_factor(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    return [(f"{factor:.0f}x", group) for factor, group in rows.groupby("factor")]


def _task_mean(values: pd.Series, rows: pd.DataFrame) -> float:
    """Mean of the tasks' means."""
    return float(values.groupby(rows["task_fingerprint"]).mean().mean())
