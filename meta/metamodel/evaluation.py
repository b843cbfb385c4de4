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
"""Levels of the central intervals whose coverage is measured."""
REQUIRED_AT = (4, 16)
"""Horizons whose true metric serves as the target when the required n is judged."""


def evaluation_tables(
    held_out: pd.DataFrame, *, metric: Metric = Metric.ACCURACY
) -> dict[str, Any]:
    """The tables of an honest evaluation (docs/design.md), from the result of
    `meta.metamodel.held_out.held_out_predictions`. They are JSON types. Rates are fractions; errors
    and widths are in points.

    Keys: `mae_points[horizon][forecaster]`, `coverage[level][horizon or "all"]` with `coverage` and
    `width_points`, `tasks_covered_80` (the share of tasks whose 90 % intervals hold at least 80 %
    of their rows), `required_n_within_2x[horizon][forecaster]`, `regret_at_1_points[chooser]` with
    `mean`, `p90` and `n_choices`, `mae_points_by_task[task]`; and the numbers of tasks, views and
    rows.
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
    """Mean absolute errors in points, by horizon ("1x", ...) and forecaster. `forecasters` maps
    names to columns of `measured`. Every row of `measured` has a truth."""
    table = {}
    for factor, rows in _by_factor(measured):
        errors = {
            name: _task_mean((rows[column] - rows["truth"]).abs(), rows)
            for name, column in forecasters.items()
        }
        table[factor] = {name: 100 * error for name, error in errors.items()}
    return table


def coverage(measured: pd.DataFrame) -> dict[str, dict[str, dict[str, float]]]:
    """`coverage` and `width_points` of the central intervals, by level ("50", "80", "90") and
    horizon ("1x", ..., "all"). Every row of `measured` has a truth."""
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
    """The share of tasks whose 90 % intervals hold the truth in at least 80 % of their rows."""
    inside = (measured["truth"] >= measured["q05"]) & (measured["truth"] <= measured["q95"])
    return float((inside.groupby(measured["task_fingerprint"]).mean() >= 0.8).mean())


def _required_n(held_out: pd.DataFrame, metric: Metric) -> dict[str, dict[str, float]]:
    """The share of samples whose required n is found within a factor of 2, by horizon and
    forecaster.

    The target is the true metric at the horizon (4x, 16x), where it was not reached before. The
    forecasters are the curve of medians, the same on the condition that the target is met
    (`metamodel_if_reached`, by `meta.metamodel.quantile_curves.n_if_reached`), and two power laws.
    `n_questions` counts the samples.
    """
    sign = metric.sign
    wide = {
        name: held_out.pivot(index=SAMPLE_COLUMNS, columns="factor", values=name) * sign
        for name in ("truth", "q50", "pow2", "pow3")
    }
    by_level = [
        held_out.pivot(index=SAMPLE_COLUMNS, columns="factor", values=name).to_numpy()
        for name in QUANTILE_COLUMNS
    ]
    quantiles = np.stack(by_level, axis=-1)  # (samples, factors, 5)
    factors = wide["q50"].columns.to_numpy()
    table: dict[str, dict[str, float]] = {}
    for factor in REQUIRED_AT:
        earlier = wide["truth"].loc[:, wide["truth"].columns.to_numpy() < factor]
        target = wide["truth"].get(factor)
        if target is None:
            continue
        asked = (target > earlier.max(axis=1) + 0.002).to_numpy()  # by 0.2 points
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
    """The horizon, as a factor of n, that `n_if_reached` finds on the curve `quantiles` (F, 5) at
    `factors` (F,); inf where it finds none."""
    reached = np.array([probability_reached(row, target, metric) for row in quantiles])
    found = n_if_reached(factors, reached)
    return float("inf") if found is None else float(found[1])


def _first_reached(curves: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """(S,) the horizon, as a factor of n, at which each of the `curves` (S, len(FACTORS)) first
    reaches its target. It is interpolated in the logarithm; inf where the target is never
    reached."""
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
    """How many points each way to choose a view loses against the best view, at the present n.
    There is one choice for each (task, kind of subset, n, draw)."""
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
    """For each task, the mean absolute errors in points of three forecasters, and the coverage of
    the 90 % intervals."""
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
    """The rows of each horizon, with its name ("1x", ...)."""
    return [(f"{factor:.0f}x", group) for factor, group in rows.groupby("factor")]


def _task_mean(values: pd.Series, rows: pd.DataFrame) -> float:
    """The mean over tasks of the mean of `values` in each task."""
    return float(values.groupby(rows["task_fingerprint"]).mean().mean())
