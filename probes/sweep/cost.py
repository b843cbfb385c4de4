"""The costs of a sweep, predicted before anything is run: seconds and bytes. They also cut the
sweep into batches of about equal cost.

The model counts floating-point operations and an overhead for each probe. Its constants were fitted
to blocks of many shapes, and scaled to the benchmark sweep on one machine with all its cores busy.
`probes.sweep.machine.machine_factor` measures how much slower or faster another machine is.
"""

from collections.abc import Sequence

from probes.sweep.planned_block import BlockBatch, BlockShape, PlannedBlock
from probes.sweep.spec import SweepSpec

PROBE_SECONDS = 7.1e-4
"""Seconds of one probe: its part of the calls, and its row of the table."""
SCORE_SECONDS = 5e-8
"""Seconds of one predicted probability in the metrics, and in the softmax before them."""
EIGEN_SECONDS = 6.3e-10
"""Seconds of one of the rank³ units of an eigendecomposition."""
PRODUCT_SECONDS = 2.6e-10
"""Seconds of one multiplication and addition in the products of samples and test rows."""
RIDGE_SECONDS = 1.5e-7
"""Seconds of one leave-one-out score of the ridge probe, over all passes."""
LOGISTIC_CALL_SECONDS = 3.3e-3
"""Seconds of the calls in one round of the logistic solver, for a batch of samples."""
LOGISTIC_SECONDS = 1.4e-9
"""Seconds of one multiplication and addition in a round of the logistic solver, element-wise passes
included."""
LOGISTIC_BATCH = 2**18
"""Logits that the logistic solver takes in one batch."""
BYTES_PER_ROW = 28
"""Bytes of one row of the table of results, compressed."""
BYTES_PER_BLOCK = 12_000
"""Bytes of a file's schema, statistics and checksums."""
MAX_BATCH_SECONDS = 10.0
"""A batch is one piece of work for a worker. It is long compared with the tens of milliseconds that
handing it out takes."""
SHORTEST_SHARE = 1 / 8
"""Batches become shorter towards the end, down to this share of the first ones, so that all workers
end at about the same time."""
MAX_FULL_BATCHES = 450
"""A sweep that is more than this many batches of `MAX_BATCH_SECONDS` gets longer batches instead.
With the shorter ones at the end there are then at most a thousand. That is one wave of
`cluster.tune`, so no worker is started anew in the middle of a sweep."""
WORKER_SECONDS = 60.0
"""A worker is worth its start when this much work is left for it. A sweep is cut for the number of
workers that follows from this, whether they are there or not, because a cluster grows with the
batches that wait."""
MIN_WORKERS, MAX_WORKERS = 8, 128
"""Bounds of that number. The work that is left is cut into at least two batches for each worker, so
that they end at about the same time."""


def predict_cost(blocks: Sequence[BlockShape]) -> tuple[float, int]:
    """Predicted (seconds, bytes on storage) of running `blocks`. The seconds are those of one core
    of the machine to which the constants were fitted."""
    n_bytes = sum(n_probes(block) * BYTES_PER_ROW + BYTES_PER_BLOCK for block in blocks)
    return sum(block_seconds(block) for block in blocks), n_bytes


def batch_blocks(blocks: Sequence[PlannedBlock]) -> list[BlockBatch]:
    """Planned blocks, in their order, as batches for `run_blocks`. Each batch takes about
    `MAX_BATCH_SECONDS` (in a very large sweep 1/450 of the whole). Towards the end batches are
    shorter. A block is never cut."""
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
    """The number of rows of a block's table."""
    return n_probes_of(SweepSpec.model_validate(block["spec"]), block["n_train"])


def n_probes_of(spec: SweepSpec, n_train: int) -> int:
    """The number of rows of the table of a block with `n_train` training rows."""
    total = 0
    for size in _usable_sizes(spec, n_train):
        total += spec.n_seeds * (len(spec.ridge_kinds) * len(spec.ridge_Cs) + len(spec.cheap_kinds))
        total += spec.n_logistic_subsets(size) * len(spec.logistic_kinds) * len(spec.logistic_Cs)
    return total * len(spec.subsets)


def block_seconds(block: BlockShape) -> float:
    """Predicted seconds of one block on one core of the machine to which the constants were
    fitted."""
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
