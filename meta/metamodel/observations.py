"""The table of observations: the features of samples, with the truth at each horizon.

The features of a sample (`meta.metamodel.sample_features`) are computed without test labels. The
truth at a horizon T >= n is the metric of the probe that was trained on T rows, averaged over the
seeds of the sweep. The regularisation of that probe was chosen without test rows.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from cluster.storage import Storage
from meta.metamodel.power_laws import forecast
from meta.metamodel.sample_features import FRACTIONS
from meta.metric import Metric

HORIZON_FACTORS = (1, 2, 4, 8, 16)
"""A sample has an observation at each of these multiples of n, if the sweep has measured it."""
ID_COLUMNS = (
    "task",
    "task_fingerprint",
    "task_family",
    "encoder",
    "encoder_fingerprint",
    "pooling",
    "subset",
    "seed",
)
"""Columns that say which sample it is. Every other number is a feature, or belongs to the truth."""
VIEW_COLUMNS = ["encoder_fingerprint", "layer", "pooling"]
"""Columns that identify an embedding space."""
SAMPLE_COLUMNS = ["task_fingerprint", *VIEW_COLUMNS, "subset", "n_train", "seed"]
"""Columns that identify a sample."""


def with_horizons(samples: pd.DataFrame, horizons: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """Every row of `samples` at every one of `horizons`: the rows are repeated and get the column
    `horizon`."""
    repeated = samples.loc[samples.index.repeat(len(horizons))].reset_index(drop=True)
    return repeated.assign(horizon=np.tile(np.asarray(horizons, dtype=np.float64), len(samples)))


def power_law_forecasts(frame: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """The forecasts of the loss of `metric` at each row's `horizon`, from the curve seen so far.
    Columns: `meta.metamodel.power_laws.FORECASTS`."""
    sizes = frame[[f"curve_n_{fraction}" for fraction in FRACTIONS]].to_numpy(dtype=np.float64)
    values = frame[[f"curve_{metric}_{fraction}" for fraction in FRACTIONS]].to_numpy(
        dtype=np.float64
    )
    known = forecast(sizes, metric.to_loss(values), frame["horizon"].to_numpy(dtype=np.float64))
    return pd.DataFrame(known, index=frame.index)


def observation_table(
    storage: Storage,
    results: pa.Table,
    *,
    metric: Metric = Metric.ACCURACY,
    keys: Sequence[str] | None = None,
) -> pd.DataFrame:
    """The observations on `storage` with their truth: one row for each (sample, horizon) that the
    sweep has measured.

    `results` are probe results (`probes.sweep.results`). `keys` are those of the observation blocks
    to read (default: all). Columns: `ID_COLUMNS`, the features, `horizon` (rows), `truth` (the
    metric), `truth_std` and `n_truth` (standard deviation and number over the seeds of the sweep).
    """
    wanted = (
        [f"observations/{key}.parquet" for key in keys]
        if keys is not None
        else storage.keys("observations")
    )
    tables = [storage.read_table(key).to_pandas() for key in wanted]
    tables = [table for table in tables if len(table)]
    if not tables:
        return pd.DataFrame()
    return join_truth(pd.concat(tables, ignore_index=True), results, metric=metric)


def join_truth(
    samples: pd.DataFrame, results: pa.Table, *, metric: Metric = Metric.ACCURACY
) -> pd.DataFrame:
    """`samples` at n times each of `HORIZON_FACTORS`, with the truth. Horizons are left out for
    which `results` have no ridge probe with the chosen C, on subsets of the same kind as the
    sample."""
    probes = results.to_pandas()
    probes = probes[(probes["probe"] == "ridge") & probes["C_selected"] & probes[metric].notna()]
    place = ["task_fingerprint", "encoder_fingerprint", "layer", "pooling", "subset"]
    truth = (
        probes.groupby([*place, "n_train"], observed=True)[metric]
        .agg(["mean", "std", "size"])
        .reset_index()
    )
    truth = truth.rename(
        columns={"n_train": "horizon", "mean": "truth", "std": "truth_std", "size": "n_truth"}
    )
    truth["horizon"] = truth["horizon"].astype(np.float64)
    truth["layer"] = truth["layer"].astype(np.float64)
    expanded = []
    for _, group in samples.groupby("n_train"):
        n_train = float(group["n_train"].iloc[0])
        expanded.append(with_horizons(group, [n_train * factor for factor in HORIZON_FACTORS]))
    frame = pd.concat(expanded, ignore_index=True).merge(truth, on=[*place, "horizon"], how="inner")
    return frame.sort_values([*place, "n_train", "seed", "horizon"], ignore_index=True)
