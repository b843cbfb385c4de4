"""Observations: what could be known from a sample of n rows, beside what came out at n and beyond.

One observation is (labelled sample S of n rows, unlabelled evaluation sample, encoder view): its
features are computed from those alone, never from a test label. The truth at a horizon T >= n is
the mean over the sweep's seeds of the metric of the probe trained on T rows, its regularisation
chosen without test rows.
"""

import time
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from cluster.storage import Storage, digest
from meta.metamodel.power_laws import forecast
from meta.metric import Metric
from probes.encoders.base import EncoderFacts, EncoderInfo, View
from probes.features import embedding_features
from probes.features.battery import check_sample, sample_rows
from probes.features.crossfit import CurvePoint, RidgeFit, curve_so_far, fit_ridge
from probes.metrics import score
from probes.sweep.planned_block import PlannedBlock, TaskSpace

FEATURES_VERSION = 4
"""Part of every observation's key: raised when a feature changes its meaning."""
FRACTIONS = (8, 4, 2, 1)
"""Points of the curve seen so far, as n / fraction; 1 is leave-one-out at n."""
POOLINGS = ("cls", "mean", "max")
FAMILIES = ("neoberta", "hf", "lsa", "random", "static")
HORIZON_FACTORS = (1, 2, 4, 8, 16)
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
"""Columns that name an observation; every other number of an observation is a feature."""

VIEW = ["encoder_fingerprint", "layer", "pooling"]
SAMPLE = ["task_fingerprint", *VIEW, "subset", "n_train", "seed"]


class ObservationSpec(BaseModel):
    """Which samples are described for every (task, encoder view)."""

    model_config = ConfigDict(extra="forbid")

    sizes: tuple[int, ...] = Field((64, 128, 256), min_length=1)
    """Rows of the labelled samples; sizes above a task's training rows are left out."""
    n_seeds: int = Field(2, ge=1)
    """Samples drawn at each size: the sweep's subsets of seeds 0, 1, ..."""
    subset: str = "stratified"
    """Kind of subset (probes.sweep.subsets), the sweep's own."""
    max_eval_rows: int = Field(2048, ge=20)
    """Unlabelled rows of the test split that the sample is set beside."""


def sample_features(
    X: np.ndarray,
    y: np.ndarray,
    X_eval: np.ndarray,
    n_classes: int,
    info: EncoderInfo | EncoderFacts,
    view: View,
    *,
    seed: int,
    fit: RidgeFit | None = None,
) -> dict[str, float]:
    """Every feature of one sample: X (n, d), y (n,) int64 in 0..n_classes-1, X_eval (m, d), all
    from the embedding space `view` of the encoder `info`; `fit` is `fit_ridge(X, y, n_classes)`
    where the caller has it. Raises ValueError for fewer than 4 rows or one class."""
    check_sample(X, y)
    fit = fit or fit_ridge(X, y, n_classes)
    return {
        **_size_features(y, len(X_eval), n_classes),
        **_encoder_features(info, view, X.shape[1]),
        **embedding_features(X, y, X_eval, n_classes, seed=seed, fit=fit),
        **_curve_features(X, y, n_classes, fit, seed=seed),
    }


def _size_features(y: np.ndarray, n_eval: int, n_classes: int) -> dict[str, float]:
    counts = np.bincount(y, minlength=n_classes)
    shares = counts[counts > 0] / len(y)
    return {
        "n_train": float(len(y)),
        "log2_n_train": float(np.log2(len(y))),
        "log2_n_eval": float(np.log2(max(n_eval, 1))),
        "n_classes": float(n_classes),
        "log2_n_classes": float(np.log2(n_classes)),
        "share_classes_seen": float(len(shares) / n_classes),
        "share_single_rows": float(np.sum(counts == 1) / len(y)),
        "log2_rows_per_class": float(np.log2(len(y) / n_classes)),
        "class_entropy": float(-np.sum(shares * np.log(shares)) / np.log(n_classes))
        if n_classes > 1
        else 0.0,
        "majority_share": float(shares.max()),
        "minority_share": float(shares.min()),
    }


def _encoder_features(
    info: EncoderInfo | EncoderFacts, view: View, n_columns: int
) -> dict[str, float]:
    known = info.facts if isinstance(info, EncoderInfo) else info
    depth = max(int(known["n_layers"]), 1)
    return {
        "layer": float(view.layer),
        "relative_depth": view.layer / depth,
        "n_layers": float(known["n_layers"]),
        "log2_hidden_size": float(np.log2(max(int(known["hidden_size"]), 1))),
        "log2_n_columns": float(np.log2(n_columns)),
        "log10_n_parameters": float(np.log10(max(int(known["n_parameters"]), 1))),
        "log2_max_length": float(np.log2(max(int(known["max_length"]), 1))),
        **{f"pooling_is_{name}": float(view.pooling == name) for name in POOLINGS},
        **{f"family_is_{name}": float(known["family"] == name) for name in FAMILIES},
    }


def _curve_features(
    X: np.ndarray, y: np.ndarray, n_classes: int, fit: RidgeFit, *, seed: int
) -> dict[str, float]:
    """`curve_n_<fraction>`: mean rows trained on; `curve_<metric>_<fraction>`: held-out metric. NaN
    where none."""
    labels = np.arange(n_classes)
    points = {1: CurvePoint(float(len(y)), fit.probabilities(fit.loo_scores), y)}
    for point in curve_so_far(X, y, n_classes, seed=seed, fractions=FRACTIONS[:-1]):
        nearest = min(
            FRACTIONS[:-1], key=lambda fraction: abs(np.log(len(y) / point.n_rows / fraction))
        )
        points[nearest] = point
    features = {}
    for fraction in FRACTIONS:
        found = points.get(fraction)
        features[f"curve_n_{fraction}"] = found.n_rows if found is not None else float("nan")
        values = score(found.labels, found.probabilities, labels) if found is not None else {}
        for metric in Metric:
            features[f"curve_{metric}_{fraction}"] = float(values.get(metric, float("nan")))
    return features


def with_horizons(samples: pd.DataFrame, horizons: Sequence[float] | np.ndarray) -> pd.DataFrame:
    """Every sample at every horizon: `samples` (R rows of `sample_features`) repeated, with the
    column `horizon` (rows)."""
    repeated = samples.loc[samples.index.repeat(len(horizons))].reset_index(drop=True)
    return repeated.assign(horizon=np.tile(np.asarray(horizons, dtype=np.float64), len(samples)))


def forecasts(frame: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """The parametric forecasts of the loss of `metric` at each row's `horizon`, columns of
    `meta.metamodel.power_laws.FORECASTS`."""
    sizes = frame[[f"curve_n_{fraction}" for fraction in FRACTIONS]].to_numpy(dtype=np.float64)
    values = frame[[f"curve_{metric}_{fraction}" for fraction in FRACTIONS]].to_numpy(
        dtype=np.float64
    )
    known = forecast(sizes, metric.to_loss(values), frame["horizon"].to_numpy(dtype=np.float64))
    return pd.DataFrame(known, index=frame.index)


# --- running and storing --------------------------------------------------------------------------


class ObservationBlock(TaskSpace):
    """The samples of one task in one embedding space: one piece of work for `run_observations`."""

    storage: str
    """The storage's URI."""
    spec: dict[str, Any]
    """The ObservationSpec as JSON."""
    key: str
    """Of the table, `observations/<key>.parquet`."""


class ObservationResult(TypedDict):
    """What running a block did."""

    key: str
    n_observations: int
    """Described now."""
    wall_seconds: float


def plan_observations(
    spec: ObservationSpec, blocks: Sequence[PlannedBlock], done: set[str]
) -> list[ObservationBlock]:
    """Blocks to run: one for each probe block of the sweep (task x encoder x view) whose
    observations are not in `done`."""
    planned: list[ObservationBlock] = []
    for block in blocks:
        identity = [
            FEATURES_VERSION,
            spec,
            block["task_fingerprint"],
            block["encoder"]["fingerprint"],
            block["layer"],
            block["pooling"],
        ]
        key = digest(identity)
        if key not in done:
            planned.append(
                {
                    "storage": block["storage"],
                    "task": block["task"],
                    "task_fingerprint": block["task_fingerprint"],
                    "task_family": block["task_family"],
                    "encoder": block["encoder"],
                    "encoder_name": block["encoder_name"],
                    "layer": block["layer"],
                    "pooling": block["pooling"],
                    "spec": spec.model_dump(mode="json"),
                    "key": key,
                }
            )
    return planned


def run_observations(block: ObservationBlock) -> ObservationResult:
    """Describe the samples of one planned block and publish its table; does nothing where it lies
    there."""
    from probes.embeddings.cache import EmbeddingCache
    from probes.embeddings.encode import task_matrix
    from probes.sweep.subsets import parse_kind, subset_labels, subset_rows
    from probes.sweep.sweep import task_clusters
    from probes.tasks.store import load_saved_task

    started = time.perf_counter()
    storage, spec = Storage(block["storage"]), ObservationSpec.model_validate(block["spec"])
    artefact = f"observations/{block['key']}.parquet"
    if storage.exists(artefact):
        return {"key": block["key"], "n_observations": 0, "wall_seconds": 0.0}
    task = load_saved_task(storage, block["task_fingerprint"])
    view = View(int(block["layer"]), block["pooling"])
    cache = EmbeddingCache(storage, block["encoder"]["fingerprint"])
    X, pool_labels = task_matrix(task, "train", cache, view), task.splits["train"].labels
    clusters = task_clusters(task, storage) if parse_kind(spec.subset)[0] == "shifted" else None
    X_test = task_matrix(task, "test", cache, view)
    rows = []
    for size in spec.sizes:
        for seed in range(spec.n_seeds):
            if size > np.sum(pool_labels >= 0):
                continue
            subset = subset_rows(
                pool_labels,
                task_fingerprint=task.fingerprint,
                kind=spec.subset,
                n=size,
                seed=seed,
                clusters=clusters,
            )
            labels = subset_labels(
                pool_labels,
                task_fingerprint=task.fingerprint,
                kind=spec.subset,
                n_classes=task.n_classes,
                seed=seed,
            )
            if not 2 <= len(np.unique(labels[subset])) < len(subset):
                # `characterize` refuses rows of one class, and such that have each a class of its
                # own
                continue
            X_eval = sample_rows(X_test, spec.max_eval_rows, seed)
            features = sample_features(
                X[subset], labels[subset], X_eval, task.n_classes, block["encoder"], view, seed=seed
            )
            rows.append({**_identity(block), "subset": spec.subset, "seed": seed, **features})
    storage.write_table(artefact, pa.Table.from_pylist(rows))
    return {
        "key": block["key"],
        "n_observations": len(rows),
        "wall_seconds": time.perf_counter() - started,
    }


def _identity(block: TaskSpace) -> dict[str, str]:
    return {
        "task": block["task"],
        "task_fingerprint": block["task_fingerprint"],
        "task_family": block["task_family"],
        "encoder": block["encoder_name"],
        "encoder_fingerprint": block["encoder"]["fingerprint"],
        "pooling": block["pooling"],
    }


def observation_table(
    storage: Storage,
    results: pa.Table,
    *,
    metric: Metric = Metric.ACCURACY,
    keys: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Observations with their truth: one row for each (sample, horizon) whose horizon the sweep has
    measured.

    `results` are probe results (probes.sweep.results); `keys` restricts the observations to those.
    Columns: `ID_COLUMNS`, the features, `horizon` (rows), `truth` (metric), `truth_std` and
    `n_truth` (over the sweep's seeds).
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
    """`samples` at every horizon in `HORIZON_FACTORS` times n for which `results` have the chosen
    ridge probe, on subsets of the kind the sample was drawn as."""
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
