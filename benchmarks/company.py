"""Whether a forecast gets worse in company: the same space alone, and compared with all others.

    python -m benchmarks.company --study FOLDER [--workers 2]

`--study` is the folder of `benchmarks.metamodel_study` with the sweeps `choice`, `pairs` and
`ahead`. The tasks are of families that neither the shipped metamodel nor its prior of spaces has
seen. A space with a forecast in company is forecast once more as the only space. The table shows
the mean absolute error of the median, in points of accuracy, with tasks counting equally, and the
share of truths within the 90 % interval. The last line is one JSON object.
"""

import json
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
from meta.answering.forecasts import CURVE_FACTORS, SpaceForecast, forecast_spaces
from meta.metric import MEDIAN, Metric


def errors(sample: UnseenSample) -> list[dict[str, Any]]:
    """One row for each (space with a forecast, factor) whose truth is known: errors in points, and
    whether the intervals hold the truth."""
    metamodel = shipped_accuracy()
    together = forecast_spaces(sample.prepared, sample.encoders, metamodel, Metric.ACCURACY)
    found = []
    for forecast in together.in_order:
        alone = forecast_spaces(
            sample.prepared,
            [_only(forecast)],
            metamodel,
            Metric.ACCURACY,
        ).best
        info, view = forecast.space.info, forecast.space.view
        for factor in FACTORS:
            truth = sample.truth_at((info.ref, view.layer, view.pooling), factor)
            if np.isnan(truth):
                continue
            at = CURVE_FACTORS.index(factor)
            row: dict[str, Any] = {
                "task": sample.task,
                "family": sample.family,
                "is_pair": sample.is_pair,
                "n_train": sample.n_train,
                "factor": factor,
            }
            for name, curve in (("alone", alone.curve), ("company", forecast.curve)):
                low, middle, high = curve[at, [0, MEDIAN, -1]]
                row[name] = 100 * abs(middle - truth)
                row[f"{name}_held"] = low <= truth <= high
            found.append(row)
    return found


def _only(forecast: SpaceForecast) -> Any:
    """The encoder of a forecast with the space of the forecast alone."""
    view = forecast.space.view
    return replace(forecast.encoder, views={view: forecast.encoder.views[view]})


def errors_of_task(uri: str, fingerprint: str) -> list[dict[str, Any]]:
    """`errors` of all samples of one task."""
    samples = (each for each in unseen_samples(uri, fingerprint) if not each.is_official)
    return [row for sample in samples for row in errors(sample)]


def by_task(rows: pd.DataFrame) -> pd.Series:
    """The means of the numbers, with tasks counting equally."""
    names = ["alone", "company", "alone_held", "company_held"]
    return rows.astype(dict.fromkeys(names, float)).groupby("task")[names].mean().mean()


def main() -> None:
    options = study_options(__doc__)
    rows = rows_of_unseen_tasks(options, errors_of_task)
    table = Table(title=f"{rows['task'].nunique()} tasks of unseen families, points of accuracy")
    for name in ("n", "times", "tasks", "alone", "in company", "held alone", "held in company"):
        table.add_column(name, justify="right")
    costs = {}
    for (n_train, factor), own in rows.groupby(["n_train", "factor"]):
        mean = by_task(own)
        table.add_row(
            str(n_train),
            f"{factor}x",
            str(own["task"].nunique()),
            f"{mean['alone']:.2f}",
            f"{mean['company']:.2f}",
            f"{mean['alone_held']:.2f}",
            f"{mean['company_held']:.2f}",
        )
    for factor, own in rows.groupby("factor"):
        mean = by_task(own)
        costs[f"company_cost_points_{factor}x"] = round(mean["company"] - mean["alone"], 3)
    Console(width=120).print(table)
    mean = by_task(rows)
    print(
        json.dumps(
            {
                "data": f"{rows['task'].nunique()} tasks of {options.study}",
                "company_cost_points": max(costs.values()),
                **costs,
                "coverage_90": round(float(mean["company_held"]), 3),
                "coverage_90_alone": round(float(mean["alone_held"]), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
