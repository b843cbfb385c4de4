"""The sweep of linear probes: plan blocks (task x encoder x view), run a block, read the results.

`plan_blocks` is pure. `run_block` reads its task and embeddings from storage, and publishes one
Parquet file under the block's key; it does nothing where that file lies already. It calls
`probe_block`, which takes arrays and returns a table.
"""

import time
from collections.abc import Collection, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa

from cluster.storage import CorruptArtefactError, Storage, digest
from probes.encoders.base import EncoderInfo, View
from probes.encoders.reference import applicable_views
from probes.sweep.cost import block_seconds
from probes.sweep.partial import PartialBlock
from probes.sweep.planned_block import (
    BatchResult,
    BlockBatch,
    BlockContent,
    BlockResult,
    PlannedBlock,
)
from probes.sweep.results import IDENTITY_COLUMNS, PROBE_RESULTS_SCHEMA
from probes.sweep.spec import SweepSpec
from probes.sweep.subsets import parse_kind
from probes.tasks.task import Task

SWEEP_VERSION = 2
"""Part of every block's key. It is raised when a probe changes its meaning."""
PAIR_FACTOR = 4
"""How many times as many columns as the encoder's vectors a pair task's matrix has: u, v, |u − v|
and u·v."""


class PlannedTask(Protocol):
    """What planning needs to know of a task on the storage."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def family(self) -> str: ...

    @property
    def n_train(self) -> int: ...

    @property
    def n_test(self) -> int: ...

    @property
    def n_classes(self) -> int: ...

    @property
    def is_pair(self) -> bool: ...


class PlannedEncoder(Protocol):
    """What planning needs to know of an encoder whose embeddings are in the cache."""

    @property
    def name(self) -> str:
        """The name of the encoder in tables."""

    @property
    def info(self) -> EncoderInfo: ...

    @property
    def views(self) -> Sequence[View]: ...


def plan_blocks(
    spec: SweepSpec,
    tasks: Sequence[PlannedTask],
    encoders: Sequence[PlannedEncoder],
    done: Collection[str] = (),
    *,
    storage_uri: str,
) -> list[PlannedBlock]:
    """One block for each task x encoder x view whose key is not in `done`. The most expensive
    blocks come first, so that the last to finish are short."""
    blocks: list[PlannedBlock] = []
    for task in tasks:
        for encoder in encoders:
            for view in applicable_views(encoder.views, is_pair=task.is_pair):
                identity = [
                    SWEEP_VERSION,
                    spec,
                    task.fingerprint,
                    encoder.info.fingerprint,
                    view.layer,
                    view.pooling,
                ]
                key = f"probes/{digest(identity)}.parquet"
                if key not in done:
                    blocks.append(
                        {"key": key, "storage": storage_uri, **_block_of(spec, task, encoder, view)}
                    )
    return sorted(blocks, key=lambda block: (-block_seconds(block), block["key"]))


def _block_of(
    spec: SweepSpec, task: PlannedTask, encoder: PlannedEncoder, view: View
) -> BlockContent:
    info = encoder.info
    return {
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "task_family": task.family or task.name,
        "n_train": task.n_train,
        "n_test": task.n_test,
        "n_classes": task.n_classes,
        "n_columns": info.hidden_size * (PAIR_FACTOR if task.is_pair and not view.is_cross else 1),
        "encoder_name": encoder.name,
        "encoder": info.facts,
        "layer": view.layer,
        "pooling": view.pooling,
        "spec": spec.model_dump(mode="json"),
    }


def run_blocks(batch: BlockBatch) -> BatchResult:
    """Run the planned blocks of a batch one after the other."""
    results = [run_block(block) for block in batch["blocks"]]
    return {
        "keys": [result["key"] for result in results],
        "n_probes": sum(result["n_probes"] for result in results),
        "solver_seconds": sum(result["solver_seconds"] for result in results),
        "wall_seconds": sum(result["wall_seconds"] for result in results),
        "bytes": sum(result["bytes"] for result in results),
    }


def run_block(block: PlannedBlock) -> BlockResult:
    """Fit the probes of a planned block and publish them. Where they lie already nothing is fitted.
    Where an earlier run of the block was killed, its parts are taken over
    (`probes.sweep.partial`)."""
    from probes.embeddings.cache import EmbeddingCache
    from probes.embeddings.encode import task_matrix
    from probes.tasks.store import load_saved_task

    started = time.perf_counter()
    storage, key = Storage(block["storage"]), block["key"]
    partial = PartialBlock(storage, key)
    if is_done(storage, key):
        partial.clear()
        return {
            "key": key,
            "n_probes": 0,
            "solver_seconds": 0.0,
            "wall_seconds": time.perf_counter() - started,
            "bytes": 0,
        }
    task = load_saved_task(storage, block["task_fingerprint"])
    cache = EmbeddingCache(storage, block["encoder"]["fingerprint"])
    view = View(int(block["layer"]), block["pooling"])
    matrices = {split: task_matrix(task, split, cache, view) for split in ("train", "test")}
    solver_started = time.perf_counter()
    labels = {split: task.splits[split].labels for split in ("train", "test")}
    needs_clusters = any(parse_kind(kind)[0] == "shifted" for kind in block["spec"]["subsets"])
    clusters = task_clusters(task, storage) if needs_clusters else None
    table = probe_block(
        matrices["train"],
        labels["train"],
        matrices["test"],
        labels["test"],
        block,
        clusters,
        partial=partial,
    )
    solver_seconds = time.perf_counter() - solver_started
    storage.write_table(key, table)
    n_kept = partial.n_found
    partial.clear()
    return {
        "key": key,
        "n_probes": len(table) - n_kept,
        "solver_seconds": solver_seconds,
        "wall_seconds": time.perf_counter() - started,
        "bytes": len(storage.read_bytes(key)),
    }


def task_clusters(task: Task, storage: Storage) -> np.ndarray:
    """(N,) int64 clusters of the task's training texts. The first block that needs them computes
    them."""
    key = f"clusters/{task.fingerprint}.parquet"
    if not is_done(storage, key):
        from probes.sweep.clusters import text_clusters

        train = task.splits["train"]
        pairs = train.text_pair or [""] * len(train)
        found = text_clusters(
            [f"{text} {pair}" for text, pair in zip(train.text, pairs, strict=True)]
        )
        storage.write_table(key, pa.table({"cluster": found}))
    return storage.read_table(key)["cluster"].to_numpy()


def probe_block(
    X_pool: np.ndarray,
    y_pool: np.ndarray,
    X_test: np.ndarray,
    y_test: np.ndarray,
    block: BlockContent,
    clusters: np.ndarray | None = None,
    *,
    partial: PartialBlock | None = None,
) -> pa.Table:
    """The probe results of one block (schema of `probes.sweep.results`).

    X_pool is (N, d), X_test (m, d) float. Labels are int64, -1 for a row without one. Shifted
    subsets need `clusters` (N,) int64. `partial` holds groups of probes that are there already, and
    takes the new ones. Apart from it the result is a pure function of the arguments, but for the
    columns `fit_seconds` and `created_at`. Raises ValueError where a split has no labelled row.
    """
    from probes.sweep.block import BlockRunner

    spec = SweepSpec.model_validate(block["spec"])
    runner = BlockRunner(X_pool, y_pool, X_test, y_test, spec, block, clusters)
    tables = partial.tables() if partial is not None else {}
    for group in runner.groups:
        if group not in tables:
            tables[group] = pa.Table.from_pylist(
                list(runner.rows_of(*group)), schema=PROBE_RESULTS_SCHEMA
            )
            if partial is not None and group != runner.groups[-1]:
                partial.add(tables[group])
    parts = [tables[group] for group in runner.groups]
    return pa.concat_tables(parts).combine_chunks() if parts else PROBE_RESULTS_SCHEMA.empty_table()


def is_done(storage: Storage, key: str) -> bool:
    """Whether a Parquet file lies complete on the storage. One that fails its checksums is removed,
    so that it is made again."""
    if not storage.exists(key):
        return False
    try:
        storage.read_table(key)  # all columns, because each has checksums of its own
    except CorruptArtefactError:
        storage.delete(key)
        return False
    return True


def load_results(storage: Storage, keys: Sequence[str] | None = None) -> pa.Table:
    """The rows of the blocks `keys` (default: all blocks on the storage), in the order of the keys.
    Of rows with the same identity the first is kept.

    Columns that an older file lacks are null. Raises FileNotFoundError, CorruptArtefactError.
    """
    wanted = list(dict.fromkeys(keys)) if keys is not None else storage.keys("probes")
    tables = [_with_schema(storage.read_table(key)) for key in wanted]
    if not tables:
        return PROBE_RESULTS_SCHEMA.empty_table()
    table = pa.concat_tables(tables)
    first = ~table.select(IDENTITY_COLUMNS).to_pandas().duplicated().to_numpy()
    return table if first.all() else table.filter(pa.array(first))


def _with_schema(table: pa.Table) -> pa.Table:
    columns = [
        table[field.name].cast(field.type)
        if field.name in table.column_names
        else pa.nulls(len(table), field.type)
        for field in PROBE_RESULTS_SCHEMA
    ]
    return pa.table(columns, schema=PROBE_RESULTS_SCHEMA)
