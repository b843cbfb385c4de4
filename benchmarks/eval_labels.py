"""What labels of evaluation rows are worth: forecasts before and after they correct them.

    python -m benchmarks.eval_labels --study FOLDER [--workers 2]

`--study` is the folder of `benchmarks.metamodel_study` with the sweeps `choice`, `pairs` and
`ahead`, and with `official` for the official test splits. The tasks are of families that the
shipped metamodel has not seen. 20 to 200 random rows of the evaluation sample get their label. The
table shows the mean absolute error of the median in points of accuracy, over all spaces and for the
one that is chosen, and the share of truths within the 90 % interval; tasks count equally. The last
line is one JSON object.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.unseen_samples import (
    FACTORS,
    UnseenSample,
    rows_of_unseen_tasks,
    shipped_accuracy,
    study_options,
    unseen_samples,
)
from meta.answering.forecasts import CURVE_FACTORS, Forecasts, forecast_spaces
from meta.given.sample import NOT_LABELLED
from meta.metric import MEDIAN, Metric

N_LABELS = (20, 50, 100, 200)
SPACES = {(6, "mean"), (4, "mean"), (0, "mean"), (6, "cross_mean")}
"""Layer and pooling of the spaces that are forecast: a few, so that the run ends in minutes."""


def errors(sample: UnseenSample) -> list[dict[str, Any]]:
    """One row for each (number of labels, factor, space) whose truth is known."""
    metamodel = shipped_accuracy()
    encoders = [
        replace(
            encoder,
            views={
                view: vectors
                for view, vectors in encoder.views.items()
                if (view.layer, view.pooling) in SPACES
            },
        )
        for encoder in sample.encoders
        if any((view.layer, view.pooling) in SPACES for view in encoder.views)
    ]
    known = np.flatnonzero(sample.eval_labels != NOT_LABELLED)
    order = np.random.default_rng(sample.seed).permutation(known)

    def forecasts(n_labels: int) -> Forecasts:
        labels = np.full(len(sample.eval_labels), NOT_LABELLED)
        labels[order[:n_labels]] = sample.eval_labels[order[:n_labels]]
        evaluation = replace(sample.prepared.evaluation, labels=labels if n_labels else None)
        prepared = replace(sample.prepared, evaluation=evaluation)
        return forecast_spaces(prepared, encoders, metamodel, Metric.ACCURACY)

    before = forecasts(0)
    found = []
    for n_labels in N_LABELS:
        if n_labels > len(order):
            continue
        after = forecasts(n_labels)
        for factor in FACTORS:
            own, corrected = (_by_space(sample, each, factor) for each in (before, after))
            found += [
                {
                    "task": sample.task,
                    "is_official": sample.is_official,
                    "n_labels": n_labels,
                    "factor": factor,
                    "is_chosen": i == after.ranked[0],
                    **{f"before_{name}": value for name, value in own[i].items()},
                    **{f"after_{name}": value for name, value in corrected[i].items()},
                }
                for i in own
            ]
    return found


def _by_space(
    sample: UnseenSample, forecasts: Forecasts, factor: int
) -> Mapping[int, Mapping[str, float]]:
    """Position of a space -> error in points, and whether the interval holds the truth."""
    at = CURVE_FACTORS.index(factor)
    found = {}
    for i, forecast in forecasts.by_space.items():
        view = forecast.space.view
        truth = sample.truth_at((forecast.space.info.ref, view.layer, view.pooling), factor)
        if not np.isnan(truth):
            low, middle, high = forecast.curve[at, [0, MEDIAN, -1]]
            found[i] = {
                "error": 100 * abs(float(middle) - truth),
                "held": float(low <= truth <= high),
                "width": 100 * float(high - low),
            }
    return found


def errors_of_task(uri: str, fingerprint: str) -> list[dict[str, Any]]:
    """`errors` of all samples of one task."""
    return [row for sample in unseen_samples(uri, fingerprint) for row in errors(sample)]


def by_task(rows: pd.DataFrame) -> pd.Series:
    """The means of the numbers, with tasks counting equally."""
    return rows.groupby("task").mean(numeric_only=True).mean()


def main() -> None:
    options = study_options(__doc__)
    rows = rows_of_unseen_tasks(options, errors_of_task)
    console, result = Console(width=120), {}
    for is_official, of_split in rows.groupby("is_official"):
        split = "official test split" if is_official else "test rows of the same pool"
        table = Table(title=f"{split}: {of_split['task'].nunique()} tasks of unseen families")
        for name in ("labels", "times", "error before", "after", "chosen: before", "after",
                     "held before", "after", "width before", "after"):  # fmt: skip
            table.add_column(name, justify="right")
        for (n_labels, factor), own in of_split.groupby(["n_labels", "factor"]):
            mean, chosen = by_task(own), by_task(own[own["is_chosen"]])
            table.add_row(
                str(n_labels),
                f"{factor}x",
                *(f"{mean[f'{when}_error']:.2f}" for when in ("before", "after")),
                *(f"{chosen[f'{when}_error']:.2f}" for when in ("before", "after")),
                *(f"{mean[f'{when}_held']:.2f}" for when in ("before", "after")),
                *(f"{mean[f'{when}_width']:.1f}" for when in ("before", "after")),
            )
        console.print(table)
    for n_labels, own in rows.groupby("n_labels"):
        mean = by_task(own)
        gain = mean["before_error"] - mean["after_error"]
        result[f"gain_points_at_{n_labels}"] = round(float(gain), 3)
        result[f"coverage_90_at_{n_labels}"] = round(float(mean["after_held"]), 3)
    coverage = round(float(by_task(rows)["after_held"]), 3)
    data = f"{rows['task'].nunique()} tasks of {options.study}"
    print(json.dumps({"data": data, **result, "coverage_90": coverage}))


if __name__ == "__main__":
    main()
