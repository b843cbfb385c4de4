"""The sweep of linear probes: plan blocks (task x encoder x view), run one, read the results.

`plan_blocks` and `predict_cost` are pure; `run_block` reads its task and embeddings from storage and publishes one Parquet file
under the block's key, or does nothing where that file lies. `probe_block` between them is arrays in, table out.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field, field_validator

from cluster.storage import CorruptArtefactError, Storage, digest
from probes.encoders.base import EncoderInfo, View
from probes.results import IDENTITY_COLUMNS, PROBE_RESULTS_SCHEMA
from probes.subsets import parse_kind
from probes.tasks.task import Task

SWEEP_VERSION = 2
"""Part of every block's key: raised when a probe changes its meaning."""
RIDGE_CS = tuple(float(f"{10.0**power:.6g}") for power in np.arange(-5, 1.01, 0.5))
"""Inverse penalties of the ridge probe (probes.solvers.ridge), strong to weak."""
PAIR_FACTOR = 4
"""Columns of a pair task's matrix over the encoder's: u, v, |u − v| and u·v."""


class SweepSpec(BaseModel):
    """Which probes are fitted in every block."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: tuple[int, ...] = Field((16, 32, 64, 128, 256, 512, 1024), min_length=1)
    """Training rows of a probe; sizes above a task's training rows are left out."""
    n_seeds: int = Field(5, ge=1)
    """Subsets drawn at each size."""
    subsets: tuple[str, ...] = Field(("stratified",), min_length=1)
    """Kinds of subset (probes.subsets): `stratified`, `noisy:0.2`, ..."""
    probes: tuple[Literal["ridge", "logistic", "centroid", "knn", "lda"], ...] = Field(("ridge", "logistic"), min_length=1)
    """Kinds of probe. All but logistic are fitted at every size and seed."""
    ridge_Cs: tuple[float, ...] = Field(RIDGE_CS, min_length=1)
    logistic_Cs: tuple[float, ...] = Field((0.01, 0.1, 1.0, 10.0, 100.0), min_length=1)
    logistic_sizes: tuple[int, ...] = (32, 128, 512)
    """Sizes at which the logistic probe is fitted too (the second fidelity); those outside `sizes` are left out."""
    logistic_n_seeds: int = Field(2, ge=0)
    """Subsets of each such size that get it: seeds 0, 1, ..."""
    logistic_folds: int = Field(3, ge=2)
    """Folds of the cross-validation inside the subset that chooses the logistic probe's C."""
    max_test_rows: int = Field(1000, ge=10)
    """Test rows that probes are scored on: the same ones for every probe of a task."""

    @field_validator("sizes", "logistic_sizes")
    @classmethod
    def _sizes_ascend(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 2 for size in sizes):
            raise ValueError("sizes are numbers of rows from 2 up")
        return tuple(sorted(set(sizes)))

    @field_validator("subsets")
    @classmethod
    def _kinds_are_known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            parse_kind(kind)
        return kinds

    @field_validator("ridge_Cs", "logistic_Cs")
    @classmethod
    def _cs_ascend(cls, Cs: tuple[float, ...]) -> tuple[float, ...]:
        if any(C <= 0 for C in Cs):
            raise ValueError("C is an inverse regularisation strength above 0")
        return tuple(sorted(set(Cs)))

    @property
    def n_ridge(self) -> int:
        """Subsets of each size that get the ridge probe."""
        return self.n_seeds if "ridge" in self.probes else 0

    @property
    def n_cheap(self) -> int:
        """Kinds of probe that have no regularisation to choose."""
        return len({*self.probes} - {"ridge", "logistic"})

    def n_logistic_at(self, size: int) -> int:
        """Subsets of `size` rows that get the logistic probe."""
        is_wanted = "logistic" in self.probes and size in self.logistic_sizes
        return min(self.n_seeds, self.logistic_n_seeds) if is_wanted else 0


class PlannedTask(Protocol):
    """What planning needs to know of a task saved on the storage."""

    name: str
    fingerprint: str
    family: str
    n_train: int
    n_test: int
    n_classes: int
    is_pair: bool


class PlannedEncoder(Protocol):
    """What planning needs to know of an encoder whose embeddings are in the cache."""

    name: str
    """How tables call it."""
    info: EncoderInfo
    views: Sequence[View]


def plan_blocks(
    spec: SweepSpec,
    tasks: Sequence[PlannedTask],
    encoders: Sequence[PlannedEncoder],
    done: Collection[str] = (),
    *,
    storage_uri: str,
) -> list[dict[str, Any]]:
    """One block for each task x encoder x view whose key is not in `done`, the dearest first (so that the last to finish are
    short). A block is JSON; `key` is its artefact on the storage, `probes/<digest>.parquet`."""
    blocks = []
    for task in tasks:
        for encoder in encoders:
            for view in encoder.views:
                identity = [SWEEP_VERSION, spec, task.fingerprint, encoder.info.fingerprint, view.layer, view.pooling]
                key = f"probes/{digest(identity)}.parquet"
                if key not in done:
                    blocks.append({"key": key, "storage": storage_uri, **_block_of(spec, task, encoder, view)})
    return sorted(blocks, key=lambda block: (-_block_seconds(block), block["key"]))


def _block_of(spec: SweepSpec, task: PlannedTask, encoder: PlannedEncoder, view: View) -> dict[str, Any]:
    info = encoder.info
    return {
        "task": task.name,
        "task_fingerprint": task.fingerprint,
        "task_family": task.family or task.name,
        "n_train": task.n_train,
        "n_test": task.n_test,
        "n_classes": task.n_classes,
        "n_columns": info.hidden_size * (PAIR_FACTOR if task.is_pair else 1),
        "encoder_name": encoder.name,
        "encoder": {**vars(info), "views": [list(other) for other in info.views]},
        "layer": view.layer,
        "pooling": view.pooling,
        "spec": spec.model_dump(mode="json"),
    }


def run_block(block: dict[str, Any]) -> dict[str, Any]:
    """Fit the probes of a planned block and publish them; where they lie already, nothing is fitted.

    Returns key, n_probes (fitted now), solver_seconds, wall_seconds and bytes (written now).
    """
    from probes.cache import EmbeddingCache
    from probes.embed import task_matrix
    from probes.tasks.store import load_saved_task

    started = time.perf_counter()
    storage, key = Storage(block["storage"]), block["key"]
    if is_done(storage, key):
        return {"key": key, "n_probes": 0, "solver_seconds": 0.0, "wall_seconds": time.perf_counter() - started, "bytes": 0}
    task = load_saved_task(storage, block["task_fingerprint"])
    cache = EmbeddingCache(storage, block["encoder"]["fingerprint"])
    view = View(int(block["layer"]), block["pooling"])
    matrices = {split: task_matrix(task, split, cache, view) for split in ("train", "test")}
    solver_started = time.perf_counter()
    labels = {split: task.splits[split].labels for split in ("train", "test")}
    clusters = _clusters(task, storage) if _needs_clusters(block) else None
    table = probe_block(matrices["train"], labels["train"], matrices["test"], labels["test"], block, clusters)
    solver_seconds = time.perf_counter() - solver_started
    storage.write_table(key, table)
    return {
        "key": key,
        "n_probes": len(table),
        "solver_seconds": solver_seconds,
        "wall_seconds": time.perf_counter() - started,
        "bytes": len(storage.read_bytes(key)),
    }


def _needs_clusters(block: Mapping[str, Any]) -> bool:
    return any(parse_kind(kind)[0] == "shifted" for kind in block["spec"]["subsets"])


def _clusters(task: Task, storage: Storage) -> np.ndarray:
    """The clusters of the task's training texts, computed by the first block that needs them."""
    key = f"clusters/{task.fingerprint}.parquet"
    if not is_done(storage, key):
        from probes.clusters import text_clusters

        train = task.splits["train"]
        pairs = train.text_pair or [""] * len(train)
        found = text_clusters([f"{text} {pair}" for text, pair in zip(train.text, pairs, strict=True)])
        storage.write_table(key, pa.table({"cluster": found}))
    return storage.read_table(key)["cluster"].to_numpy()


def probe_block(
    X_pool: np.ndarray,
    y_pool: np.ndarray,
    X_test: np.ndarray,
    y_test: np.ndarray,
    block: Mapping[str, Any],
    clusters: np.ndarray | None = None,
) -> pa.Table:
    """The probe results of one block (probes.results schema) from X_pool (N, d), X_test (m, d) float and labels int64, -1
    where a row has none; `clusters` (N,) int64 for shifted subsets. Pure but for `fit_seconds` and `created_at`. Raises
    ValueError where a split has no labelled row."""
    from probes.block import BlockRunner

    spec = SweepSpec.model_validate(block["spec"])
    rows = BlockRunner(X_pool, y_pool, X_test, y_test, spec, block, clusters).rows()
    return pa.Table.from_pylist(rows, schema=PROBE_RESULTS_SCHEMA)


def is_done(storage: Storage, key: str) -> bool:
    """Whether a Parquet file lies whole on the storage; one that fails its checksums is removed, to be made again."""
    if not storage.exists(key):
        return False
    try:
        storage.read_table(key)  # every column: each has checksums of its own
    except CorruptArtefactError:
        storage.delete(key)
        return False
    return True


def load_results(storage: Storage, keys: Sequence[str] | None = None) -> pa.Table:
    """The rows of the blocks `keys` (default: all on the storage), in the order of the keys, one row per identity (the first).

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
        table[field.name].cast(field.type) if field.name in table.column_names else pa.nulls(len(table), field.type)
        for field in PROBE_RESULTS_SCHEMA
    ]
    return pa.table(columns, schema=PROBE_RESULTS_SCHEMA)


# --- the cost ledger ----------------------------------------------------------------------------------------------------

GEMM_FLOPS = 4e10
"""Floating-point operations a second of one core in large products."""
EIGEN_FLOPS = 8e9
"""The same in an eigendecomposition, which counts 9 k³."""
ELEMENT_SECONDS = 8e-9
"""One element-wise pass of the solvers and metrics over one logit, all its passes counted."""
CALL_SECONDS = 1.8e-3
"""Overhead of one fitted and scored probe."""
PRODUCT_SECONDS = 2e-4
"""Overhead of one product of the logistic solver, with the element-wise calls that go with it."""
BYTES_PER_ROW = 45
"""One row of the result table, compressed."""


def predict_cost(blocks: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    """Predicted (seconds on one core, bytes on storage) of running `blocks`."""
    n_bytes = sum(n_probes(block) * BYTES_PER_ROW + 12_000 for block in blocks)
    return sum(_block_seconds(block) for block in blocks), n_bytes


def n_probes(block: Mapping[str, Any]) -> int:
    """Rows that a block's table will have."""
    spec = SweepSpec.model_validate(block["spec"])
    total = 0
    for size in _usable_sizes(spec, block["n_train"]):
        total += spec.n_ridge * len(spec.ridge_Cs) + spec.n_seeds * spec.n_cheap
        total += spec.n_logistic_at(size) * len(spec.logistic_Cs)
    return total * len(spec.subsets)


def _usable_sizes(spec: SweepSpec, n_train: int) -> list[int]:
    return [size for size in spec.sizes if size <= n_train]


def _block_seconds(block: Mapping[str, Any]) -> float:
    spec = SweepSpec.model_validate(block["spec"])
    n_columns, n_classes = block["n_columns"], block["n_classes"]
    n_test = min(block["n_test"], spec.max_test_rows)
    seconds = n_probes(block) * (CALL_SECONDS + 3 * n_test * n_classes * ELEMENT_SECONDS)
    for size in _usable_sizes(spec, block["n_train"]):
        rank = min(size - 1, n_columns)
        n_ridge = spec.n_ridge
        n_logistic = spec.n_logistic_at(size)
        decompose = 9 * rank**3 / EIGEN_FLOPS + (4 * size + n_test) * n_columns * rank / GEMM_FLOPS
        ridge = len(spec.ridge_Cs) * size * n_classes * (2 * (rank + n_test) / GEMM_FLOPS + 10 * ELEMENT_SECONDS)
        n_logits = size * n_classes * (1 + spec.logistic_folds)
        n_products = len(spec.logistic_Cs) * 10 * size ** (1 / 3) * (n_classes / 6) ** 0.2
        logistic = n_products * (PRODUCT_SECONDS + n_logits * (2 * rank / GEMM_FLOPS + 2 * ELEMENT_SECONDS))
        each_kind = max(n_ridge, n_logistic) * decompose + n_ridge * ridge + n_logistic * logistic
        seconds += len(spec.subsets) * each_kind
    return seconds
