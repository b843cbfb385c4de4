"""Planned blocks of observations: each describes the samples of one task in one embedding space.

A block is one piece of work. It publishes one table, under a key that follows from what it does.
"""

import time
from collections.abc import Sequence
from typing import Any, TypedDict

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field

from cluster.storage import Storage, digest
from meta.metamodel.sample_features import FEATURES_VERSION, sample_features
from probes.encoders.base import View
from probes.features.battery import sample_rows
from probes.sweep.planned_block import PlannedBlock, TaskSpace


class ObservationSpec(BaseModel):
    """Which samples are described in every (task, encoder view)."""

    model_config = ConfigDict(extra="forbid")

    sizes: tuple[int, ...] = Field((64, 128, 256), min_length=1)
    """Numbers of rows of the labelled samples. Sizes above a task's training rows are left out."""
    n_seeds: int = Field(2, ge=1)
    """Number of samples at each size. They are the subsets of the sweep with the seeds 0, 1, ..."""
    subset: str = "stratified"
    """Kind of the subsets (`probes.sweep.subsets`); the sweep must have it too."""
    max_eval_rows: int = Field(2048, ge=20)
    """Number of rows of the test split that serve as the evaluation sample, without their
    labels."""


class ObservationBlock(TaskSpace):
    """The samples of one task in one embedding space to describe: one piece of work for
    `run_observations`."""

    storage: str
    """URI of the storage."""
    spec: dict[str, Any]
    """The ObservationSpec as JSON."""
    key: str
    """The table of the block is `observations/<key>.parquet`."""


class ObservationResult(TypedDict):
    """The result of running a block."""

    key: str
    n_observations: int
    """Number of samples described; 0 where the table was there already."""
    wall_seconds: float


def plan_observations(
    spec: ObservationSpec, blocks: Sequence[PlannedBlock], done: set[str]
) -> list[ObservationBlock]:
    """The blocks to run: one for each of the sweep's `blocks` (task x encoder x view) whose key is
    not in `done`."""
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
    """Describe the samples of one block, and publish them as its table. Does nothing where the
    table is there already."""
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
                # `characterize` refuses samples of a single class, and samples in which each row
                # has a class of its own
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
    """The columns that name the task and the space of a row."""
    return {
        "task": block["task"],
        "task_fingerprint": block["task_fingerprint"],
        "task_family": block["task_family"],
        "encoder": block["encoder_name"],
        "encoder_fingerprint": block["encoder"]["fingerprint"],
        "pooling": block["pooling"],
    }
