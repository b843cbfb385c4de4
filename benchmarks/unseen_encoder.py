"""What it costs the forecast that an encoder is not among those learnt from.

    python -m benchmarks.unseen_encoder [--metric accuracy] [--workers 2] [--ship]

The data are the shipped observations. Task families are left out in folds. Each encoder with a
space of single layers is left out besides. The same rows are forecast by a metamodel that has seen
the encoder on the other families, and by one that has not. The table shows the mean absolute error
of the median in hundredths of the metric. `--ship` writes what MiniLM costs, the only one that was
pretrained elsewhere, into the card of the shipped metamodel. The last line is one JSON object.
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from cluster.storage import Storage
from meta.groups import group_folds
from meta.metamodel.fitting import FitSettings
from meta.metamodel.model import Metamodel
from meta.metamodel.shipped_observations import shipped_observations
from meta.metamodel.stored import shipped_folder
from meta.metric import MEDIAN, Metric

N_FOLDS = 6
LEFT_OUT = ("hf:all-MiniLM-L6-v2", "neoberta-6x128", "lsa:256", "static:glove_twitter_25d.txt")


def errors_of_fold(metric: Metric, families: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each forecast of the `families` that are left out: its errors by a metamodel that
    has seen the encoder, and by one that has not."""
    frame = shipped_observations(metric)
    frame = frame[frame["subset"] == "stratified"]
    card = Metamodel.load(shipped_folder() / str(metric)).card
    settings = FitSettings(**card["settings"])
    out = frame["task_family"].isin(families)
    seen = Metamodel.fit(frame[~out], metric=metric, settings=settings)
    found = []
    for encoder in LEFT_OUT:
        rows = frame[out & (frame["encoder"] == encoder)]
        if rows.empty:
            continue
        others = frame[~out & (frame["encoder"] != encoder)]
        unseen = Metamodel.fit(others, metric=metric, settings=settings)
        truth = rows["truth"].to_numpy()
        errors, held = {}, {}
        for name, metamodel in (("seen", seen), ("unseen", unseen)):
            quantiles = metamodel.predict(rows)
            errors[name] = 100 * abs(quantiles[:, MEDIAN] - truth)
            held[name] = (quantiles[:, 0] <= truth) & (truth <= quantiles[:, -1])
        found += [
            {
                "task": row.task,
                "encoder": encoder,
                "factor": round(row.horizon / row.n_train),
                **{name: float(values[i]) for name, values in errors.items()},
                **{f"{name}_held": float(values[i]) for name, values in held.items()},
            }
            for i, row in enumerate(rows.itertuples())
        ]
    return found


def cost(rows: pd.DataFrame, encoder: str) -> dict[str, dict[str, float]]:
    """Horizon -> the errors and coverages of `seen` and `unseen` for one encoder, rounded."""
    found = {}
    for factor, own in rows[rows["encoder"] == encoder].groupby("factor"):
        mean = own.groupby("task")[["seen", "unseen", "seen_held", "unseen_held"]].mean().mean()
        found[f"{factor}x"] = {str(name): round(float(value), 2) for name, value in mean.items()}
    return found


def ship(metric: Metric, costs: dict[str, dict[str, float]]) -> None:
    """Write `costs` into the card of the shipped metamodel."""
    folder = shipped_folder() / str(metric)
    metamodel = Metamodel.load(folder)
    tables = {**metamodel.card["evaluation"], "unseen_encoder": costs}
    with tempfile.TemporaryDirectory() as scratch:
        key = metamodel.with_evaluation(tables).save(Storage(scratch), str(metric))
        shutil.copytree(Path(scratch) / key, folder, dirs_exist_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--metric", type=Metric, default=Metric.ACCURACY)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ship", action="store_true")
    options = parser.parse_args()
    folds = group_folds(
        shipped_observations(options.metric)["task_family"].to_numpy(dtype=str), N_FOLDS
    )
    with ProcessPoolExecutor(options.workers) as pool:
        rows = pd.DataFrame(
            [
                row
                for of_fold in pool.map(partial(errors_of_fold, options.metric), folds)
                for row in of_fold
            ]
        )
    table = Table(title=f"{options.metric}, {rows['task'].nunique()} tasks left out")
    for name in ("encoder", "times", "seen", "not seen", "held: seen", "held: not seen"):
        table.add_column(name, justify="right")
    names = ["seen", "unseen", "seen_held", "unseen_held"]
    for (encoder, factor), own in rows.groupby(["encoder", "factor"]):
        mean = own.groupby("task")[names].mean().mean()
        table.add_row(encoder, f"{factor}x", *(f"{mean[name]:.2f}" for name in names))
    Console(width=120).print(table)
    costs = cost(rows, LEFT_OUT[0])
    if options.ship:
        ship(options.metric, costs)
    result: dict[str, Any] = {}
    for factor, own in rows.groupby("factor"):
        mean = own.groupby(["encoder", "task"])[names].mean().groupby("encoder").mean().mean()
        for name in names:
            result[f"{name}_{factor}x"] = round(float(mean[name]), 3)
    result |= {f"{LEFT_OUT[0]} {name}": value for name, value in costs.items()}
    print(json.dumps({"data": "shipped observations", "metric": options.metric, **result}))


if __name__ == "__main__":
    main()
