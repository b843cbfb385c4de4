"""The cost ledger of a sweep: predicted seconds and bytes, before anything is run; and batches of
about equal cost.

A model of floating-point operations and of overhead per probe, with constants fitted to blocks of
many shapes and scaled to the benchmark sweep on one machine with all its cores busy;
`probes.sweep.machine.machine_factor` measures how much slower or faster another one is.
"""

from collections.abc import Sequence

from probes.sweep.planned_block import BlockBatch, BlockShape, PlannedBlock
from probes.sweep.spec import SweepSpec

PROBE_SECONDS = 7.1e-4
"""One probe: its part of calls, its row of the table."""
SCORE_SECONDS = 5e-8
"""One predicted probability in the metrics, and in the softmax before them."""
EIGEN_SECONDS = 6.3e-10
"""One of the rank³ units of an eigendecomposition."""
PRODUCT_SECONDS = 2.6e-10
"""One multiplication and addition in the products of samples and test rows."""
RIDGE_SECONDS = 1.5e-7
"""One leave-one-out score of the ridge probe, all passes counted."""
LOGISTIC_CALL_SECONDS = 3.3e-3
"""The calls of one round of the logistic solver, with a batch of samples."""
LOGISTIC_SECONDS = 1.4e-9
"""One multiplication and addition in a round of the logistic solver, its element-wise passes
counted."""
LOGISTIC_BATCH = 2**18
"""Logits that the logistic solver takes in one batch."""
BYTES_PER_ROW = 28
"""One row of the result table, compressed."""
BYTES_PER_BLOCK = 12_000
"""A file's schema, statistics and checksums."""
MAX_BATCH_SECONDS = 10.0
"""A batch is one piece of work for a worker: long enough to drown the tens of milliseconds that
handing it over takes."""
SHORTEST_SHARE = 1 / 8
"""The last batches are so much shorter than the first, that the workers end together."""
MAX_FULL_BATCHES = 450
"""A sweep of more work than so many batches of `MAX_BATCH_SECONDS` gets longer ones. With the
shorter ones at the end these are at most a thousand: one wave of `cluster.tune`, whose workers are
not started anew in the middle."""
WORKER_SECONDS = 60.0
"""A worker is worth its start when so much is left for it: a sweep is cut for the workers that this
makes, whether they are there or not, for a cluster grows with the batches that wait."""
MIN_WORKERS, MAX_WORKERS = 8, 128
"""Bounds of that number. What is left is cut into at least two batches a worker, so that they end
together."""


def predict_cost(blocks: Sequence[BlockShape]) -> tuple[float, int]:
    """Predicted (seconds on one core of the machine of the constants, bytes on storage) of running
    `blocks`."""
    n_bytes = sum(n_probes(block) * BYTES_PER_ROW + BYTES_PER_BLOCK for block in blocks)
    return sum(block_seconds(block) for block in blocks), n_bytes


def batch_blocks(blocks: Sequence[PlannedBlock]) -> list[BlockBatch]:
    """Planned blocks, in their order, as batches for `run_blocks`: each of about
    `MAX_BATCH_SECONDS` (of 1/450 of a very large sweep), and shorter towards the end. A block is
    never cut."""
    seconds = [block_seconds(block) for block in blocks]
    left = sum(seconds)
    longest = max(MAX_BATCH_SECONDS, left / MAX_FULL_BATCHES)
    least = 2 * min(max(left / WORKER_SECONDS, MIN_WORKERS), MAX_WORKERS)
    batches: list[BlockBatch] = []
    filled = 0.0
    wanted = 0.0
    for block, cost in zip(blocks, seconds, strict=True):
        if not batches or filled + cost / 2 > wanted:
            wanted = min(max(left / least, SHORTEST_SHARE * longest), longest)
            batches.append({"blocks": []})
            filled = 0.0
        batches[-1]["blocks"].append(block)
        filled += cost
        left -= cost
    return batches


def n_probes(block: BlockShape) -> int:
    """Rows that a block's table will have."""
    return n_probes_of(SweepSpec.model_validate(block["spec"]), block["n_train"])


def n_probes_of(spec: SweepSpec, n_train: int) -> int:
    """Rows that the table of a block of `n_train` training rows will have."""
    total = 0
    for size in _usable_sizes(spec, n_train):
        total += spec.n_seeds * (len(spec.ridge_kinds) * len(spec.ridge_Cs) + len(spec.cheap_kinds))
        total += spec.n_logistic_subsets(size) * len(spec.logistic_kinds) * len(spec.logistic_Cs)
    return total * len(spec.subsets)


def block_seconds(block: BlockShape) -> float:
    """Predicted seconds of one block on one core of the machine of the constants."""
    spec = SweepSpec.model_validate(block["spec"])
    n_columns, n_classes = block["n_columns"], block["n_classes"]
    n_test = min(block["n_test"], spec.max_test_rows)
    seconds = n_probes_of(spec, block["n_train"]) * (
        PROBE_SECONDS + n_test * n_classes * SCORE_SECONDS
    )
    for size in _usable_sizes(spec, block["n_train"]):
        rank, side, n_logistic = (
            min(size - 1, n_columns),
            min(size, n_columns),
            spec.n_logistic_subsets(size),
        )
        n_ridge = spec.n_seeds * len(spec.ridge_kinds) * len(spec.ridge_Cs)
        n_decomposed = max(spec.n_base_subsets, n_logistic) + spec.n_seeds * (
            "ridge_balanced" in spec.probes
        )
        products = (
            n_decomposed * side * (size * n_columns + n_test * rank)
            + n_ridge * n_test * n_classes * rank
        )
        each_kind = n_decomposed * rank**3 * EIGEN_SECONDS + products * PRODUCT_SECONDS
        each_kind += n_ridge * size * n_classes * RIDGE_SECONDS
        if n_logistic:
            n_columns_solved = n_classes if n_classes > 2 else 1
            n_logits = n_logistic * (1 + spec.logistic_folds) * n_columns_solved * size
            n_rounds = len(spec.logistic_Cs) * size ** (1 / 3) * min(n_columns_solved, 6) ** 0.2
            round_seconds = (
                LOGISTIC_CALL_SECONDS * max(1, n_logits / LOGISTIC_BATCH)
                + n_logits * rank * LOGISTIC_SECONDS
            )
            each_kind += len(spec.logistic_kinds) * n_rounds * round_seconds
        seconds += len(spec.subsets) * each_kind
    return seconds


def _usable_sizes(spec: SweepSpec, n_train: int) -> list[int]:
    return [size for size in spec.sizes if size <= n_train]
