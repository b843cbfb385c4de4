"""Predictions of tasks (or encoders) that the metamodel has not seen, beside simple baselines.

Whole families are left out in turn. Everything is fitted inside the fold: the metamodel, and the
baselines that need results of other tasks (encoder means, the static choice of a view).
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from meta.groups import group_folds
from meta.metamodel.fitting import FitSettings
from meta.metamodel.inputs import TRUTH_COLUMNS, anchor
from meta.metamodel.model import Metamodel
from meta.metamodel.observations import (
    SAMPLE_COLUMNS,
    VIEW_COLUMNS,
    power_law_forecasts,
    with_horizons,
)
from meta.metamodel.power_laws import FORECASTS
from meta.metric import Metric

FACTORS = (1, 2, 4, 8, 16, 32)
"""Every sample is predicted at these multiples of n. 32x is there because a required n of 16x may
be overestimated by a factor of 2 and still count as found."""
QUANTILE_COLUMNS = ["q05", "q25", "q50", "q75", "q95"]
"""Columns of the predicted quantiles."""
BASELINES = (*FORECASTS, "anchor", "encoder_mean")
"""Columns of simple forecasts. `encoder_mean` is the mean truth of the view at the horizon on the
other tasks."""
MAX_FOLDS = 12
"""With more families than this, several of them are left out together. Each fold still learns from
nearly all tasks."""

SettingsByFold = FitSettings | Mapping[tuple[str, ...], FitSettings] | None
"""The settings of every fit, or those of each fold by its names, or None for the default."""


def held_out_predictions(
    frame: pd.DataFrame,
    *,
    metric: Metric = Metric.ACCURACY,
    by: str = "task_family",
    settings: SettingsByFold = None,
    extra_observations: pd.DataFrame | None = None,
    fold_map: Callable[..., Iterable[Any]] = map,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Every sample of `frame` at every factor of `FACTORS`, predicted by a metamodel that has not
    seen its value in the column `by`.

    `frame` is the result of `meta.metamodel.observations.observation_table`. The result has the
    columns of a sample and `horizon` (rows), `factor`, `q05` to `q95`, the `BASELINES`, `static`
    (the mean truth of the view at n on the other tasks) and `truth` (NaN where it was not
    measured).

    `settings` of each fold are keyed by the names that it leaves out, sorted
    (`meta.metamodel.tuning.chosen_settings`). Every fold also learns from `extra_observations`,
    without those whose `by` it leaves out. `fold_map` maps `predict_fold` over the folds, in any
    order: it is `map`, or the `map` of a pool, so that folds run in parallel. `progress` is called
    with (folds done, folds to do).
    """
    folds = evaluation_folds(frame, by)
    parts = []
    fold_part = partial(
        predict_fold,
        frame=frame,
        metric=metric,
        by=by,
        settings=settings,
        extra_observations=extra_observations,
    )
    for part in fold_map(fold_part, folds):
        parts.append(part)
        if progress is not None:
            progress(len(parts), len(folds))
    return pd.concat(parts, ignore_index=True).sort_values(
        [*SAMPLE_COLUMNS, "factor"], ignore_index=True
    )


def evaluation_folds(frame: pd.DataFrame, by: str = "task_family") -> list[tuple[str, ...]]:
    """The folds: groups of values of the column `by` that are left out together, each sorted. Up to
    `MAX_FOLDS` values each value is a fold; more values are dealt into `MAX_FOLDS` groups."""
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
    settings: SettingsByFold = None,
    extra_observations: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """The rows of one fold of `held_out_predictions`. The metamodel is fitted on the rows whose
    `by` is not in `fold`, and predicts the others."""
    inside = frame[by].astype(str).isin(fold).to_numpy()
    rest, ours = frame[~inside], frame[inside]
    if extra_observations is not None:
        rest = pd.concat(
            [rest, extra_observations[~extra_observations[by].astype(str).isin(fold)]],
            ignore_index=True,
        )
    model = Metamodel.fit(
        rest, metric=metric, settings=settings[fold] if isinstance(settings, Mapping) else settings
    )
    samples = ours.drop_duplicates(SAMPLE_COLUMNS).drop(columns=list(TRUTH_COLUMNS))
    grid = with_horizons(samples, FACTORS)
    grid["factor"] = grid["horizon"]
    grid["horizon"] = grid["factor"] * grid["n_train"]
    features = grid.drop(columns="factor")
    predicted = pd.DataFrame(model.predict(features), columns=QUANTILE_COLUMNS, index=grid.index)
    known = power_law_forecasts(features, metric)
    for law in FORECASTS:
        predicted[law] = metric.from_loss(known[law].to_numpy())
    predicted["anchor"] = anchor(features, known, metric)
    at_horizon = rest.groupby("horizon")["truth"].mean()
    predicted["encoder_mean"] = (
        _mean_truth(rest, grid, "horizon").fillna(grid["horizon"].map(at_horizon)).to_numpy()
    )
    predicted["static"] = _mean_truth(rest, grid, "n_train").to_numpy()
    answers = pd.concat([grid, predicted], axis=1)
    return answers.merge(
        ours[[*SAMPLE_COLUMNS, "horizon", "truth"]], on=[*SAMPLE_COLUMNS, "horizon"], how="left"
    )


def _mean_truth(rest: pd.DataFrame, grid: pd.DataFrame, size: str) -> pd.Series:
    """(R,) for each row of `grid`, the mean truth in `rest` of the row's view at the number of rows
    in the column `size`. Tasks count equally. NaN where the view was not measured there."""
    of_task = rest.groupby([*VIEW_COLUMNS, "horizon", "task_fingerprint"])["truth"].mean()
    mean = of_task.groupby([*VIEW_COLUMNS, "horizon"]).mean().rename("mean").reset_index()
    wanted = grid[[*VIEW_COLUMNS, size]].rename(columns={size: "horizon"})
    return wanted.merge(mean, on=[*VIEW_COLUMNS, "horizon"], how="left")["mean"]
