"""From the study's tables (probe results, held-out forecasts, ledger) to the values that the report
shows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from meta.metric import Metric
from meta.report.study_data import (
    DepthCurve,
    ForecastPoint,
    Horizon,
    LearningCurve,
    MeasuredPoint,
    MeasuredSpace,
    RegularisationCurve,
    StageTime,
)
from meta.schema import ViewName

SPACE = ["task", "encoder", "layer", "pooling"]
MAX_POINTS = 400
"""Forecasts drawn per horizon: more hide each other."""


def chosen_probes(results: pd.DataFrame, metric: Metric = Metric.ACCURACY) -> pd.DataFrame:
    """The ridge probes whose C was chosen by leave-one-out, on uniform subsets where the kind of
    subset says so."""
    chosen = results[
        (results["probe"] == "ridge") & results["C_selected"] & results[metric].notna()
    ]
    uniform = chosen[chosen["subset"] == "uniform"]
    return uniform if len(uniform) else chosen


def learning_curves(
    results: pd.DataFrame,
    *,
    metric: Metric = Metric.ACCURACY,
    names: Mapping[str, str] | None = None,
) -> tuple[LearningCurve, ...]:
    """One curve for each (task, encoder), at the encoder's space with the best leave-one-out
    accuracy at the task's largest size: chosen without test rows. `results` has the columns of
    `probes.sweep.results`."""
    probes = chosen_probes(results, metric)
    curves = []
    for (task, encoder), rows in probes.groupby(["task", "encoder"], sort=True):
        largest = rows[rows["n_train"] == rows["n_train"].max()]
        score = "loo_accuracy" if largest["loo_accuracy"].notna().any() else metric
        layer, pooling = largest.groupby(["layer", "pooling"])[score].mean().idxmax()
        space = rows[(rows["layer"] == layer) & (rows["pooling"] == pooling)]
        curves.append(
            LearningCurve(
                task=str(task),
                encoder=_named(encoder, names),
                view=f"layer {layer}, {pooling}",
                points=_points(space, metric),
            )
        )
    return tuple(curves)


def measured_spaces(
    results: pd.DataFrame, task: str, *, metric: Metric = Metric.ACCURACY
) -> tuple[MeasuredSpace, ...]:
    """The measured curve of every space on one task, named as in the answers."""
    probes = chosen_probes(results, metric)
    probes = probes[probes["task"] == task]
    spaces = []
    for _, rows in probes.groupby(["encoder", "layer", "pooling"], sort=True):
        encoder, layer, pooling = rows[["encoder", "layer", "pooling"]].iloc[0]
        spaces.append(
            MeasuredSpace(
                encoder=str(encoder),
                view=ViewName(layer=int(layer), pooling=str(pooling)),
                points=_points(rows, metric),
            )
        )
    return tuple(spaces)


def depth_curves(
    results: pd.DataFrame,
    *,
    metric: Metric = Metric.ACCURACY,
    names: Mapping[str, str] | None = None,
    n_train: int | None = None,
) -> tuple[DepthCurve, ...]:
    """Quality by layer of every encoder at `n_train` rows (default: the largest size that every
    task has)."""
    probes = chosen_probes(results, metric)
    if probes.empty:
        return ()
    size = n_train or _common_size(probes)
    probes = probes[probes["n_train"] == size]
    score = "loo_accuracy" if probes["loo_accuracy"].notna().any() else metric
    spaces = probes.groupby(SPACE)[list({score, metric})].mean().reset_index()
    best = spaces.loc[spaces.groupby(["task", "encoder", "layer"])[score].idxmax()]
    means = best.groupby(["encoder", "layer"])[metric].mean().reset_index()
    return tuple(
        DepthCurve(
            encoder=_named(encoder, names),
            n_train=size,
            layers=tuple(rows["layer"].astype(int)),
            values=tuple(rows[metric].astype(float)),
        )
        for encoder, rows in means.groupby("encoder", sort=True)
    )


def regularisation_curves(
    results: pd.DataFrame, *, metric: Metric = Metric.ACCURACY, max_sizes: int = 3
) -> tuple[RegularisationCurve, ...]:
    """Quality by C at (at most) `max_sizes` sizes spread from the smallest to the largest, tasks
    weighted equally."""
    ridge = results[(results["probe"] == "ridge") & results[metric].notna()]
    counts = ridge.groupby("n_train")["task"].nunique()
    sizes = sorted(counts.index[counts == counts.max()]) if len(counts) else []
    picked = (
        sorted(
            {sizes[round(i * (len(sizes) - 1) / max(max_sizes - 1, 1))] for i in range(max_sizes)}
        )
        if sizes
        else []
    )
    curves = []
    for size in picked:
        rows = ridge[ridge["n_train"] == size]
        by_c = rows.groupby(["C", "task"])[metric].mean().groupby("C").mean()
        chosen = rows[rows["C_selected"]].groupby("task")[metric].mean()
        if len(by_c) > 1:
            value = float(chosen.mean()) if len(chosen) else None
            curves.append(
                RegularisationCurve(
                    n_train=int(size), C=tuple(by_c.index), values=tuple(by_c), chosen=value
                )
            )
    return tuple(curves)


def horizons(
    held_out: pd.DataFrame, *, factors: Sequence[int] = (1, 4, 16), seed: int = 0
) -> tuple[Horizon, ...]:
    """Predicted and actual at some factors of `meta.metamodel.held_out.held_out_predictions`; at
    most `MAX_POINTS` forecasts of each, drawn equally from the tasks."""
    shown = []
    for factor in factors:
        rows = held_out[(held_out["factor"] == factor) & held_out["truth"].notna()]
        if rows.empty:
            continue
        shuffled = rows.sample(frac=1.0, random_state=np.random.default_rng([seed, factor]))
        turn = shuffled.groupby("task_fingerprint").cumcount()
        picked = shuffled.iloc[np.argsort(turn.to_numpy(), kind="stable")[:MAX_POINTS]]
        points = tuple(
            ForecastPoint(
                task=str(row.task), predicted=row.q50, actual=row.truth, low=row.q05, high=row.q95
            )
            for row in picked.itertuples()
        )
        shown.append(Horizon(factor=factor, points=points, n_total=len(rows)))
    return tuple(shown)


def stage_times(
    ledger: Sequence[Mapping[str, Any]], notes: Mapping[str, str] | None = None
) -> tuple[StageTime, ...]:
    """Seconds of every stage summed over all runs, stages in the order of their first run."""
    seconds: dict[str, float] = {}
    for entry in ledger:
        seconds[entry["stage"]] = seconds.get(entry["stage"], 0.0) + entry["seconds"]
    return tuple(
        StageTime(stage=stage, seconds=value, note=(notes or {}).get(stage, ""))
        for stage, value in seconds.items()
    )


def _points(rows: pd.DataFrame, metric: Metric) -> tuple[MeasuredPoint, ...]:
    """Mean and standard deviation over seeds at every size."""
    stats = rows.groupby("n_train")[metric].agg(["mean", "std", "size"]).fillna({"std": 0.0})
    return tuple(
        MeasuredPoint(n_train=int(size), mean=float(mean), sd=float(sd), n_seeds=int(n_seeds))
        for size, mean, sd, n_seeds in stats.itertuples()
    )


def _named(encoder: object, names: Mapping[str, str] | None) -> str:
    return (names or {}).get(str(encoder), str(encoder))


def _common_size(probes: pd.DataFrame) -> int:
    """The largest n_train that all tasks have, or else the one that most have."""
    counts = probes.groupby("n_train")["task"].nunique()
    return int(counts.index[counts == counts.max()].max())
