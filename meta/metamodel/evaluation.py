"""How good the metamodel is: the tables of its evaluation, from predictions of tasks left out.

Every mean weights tasks equally. A point is a hundredth of the metric.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from meta.metamodel.conformal import interval
from meta.metamodel.held_out import (
    BASELINES,
    FACTORS,
    QUANTILE_COLUMNS,
)
from meta.metamodel.observations import SAMPLE_COLUMNS, VIEW_COLUMNS
from meta.metamodel.quantile_curves import n_if_reached, probability_reached
from meta.metric import Metric

LEVELS = (0.5, 0.8, 0.9)
REQUIRED_AT = (4, 16)


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
        "n_views": len(measured.drop_duplicates(VIEW_COLUMNS)),
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
        name: held_out.pivot(index=SAMPLE_COLUMNS, columns="factor", values=name) * sign
        for name in ("truth", "q50", "pow2", "pow3")
    }
    by_level = [
        held_out.pivot(index=SAMPLE_COLUMNS, columns="factor", values=name).to_numpy()
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
