"""The cost ledger of a sweep: predicted seconds and bytes, before anything is run; and batches of about equal cost.

A model of floating-point operations and of overhead per probe, with constants fitted to the benchmark sweep on one machine;
`probes.machine.machine_factor` measures how much slower or faster another one is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from probes.sweep_spec import SweepSpec

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
BYTES_PER_BLOCK = 12_000
"""A file's schema, statistics and checksums."""
MAX_BATCH_SECONDS, MIN_BATCH_SECONDS = 10.0, 1.0
"""A batch is one piece of work for a worker: long enough to drown the tens of milliseconds that handing it over takes."""
MIN_BATCHES = 16
"""What is left is cut into at least so many batches, so that workers end together."""


def predict_cost(blocks: Sequence[Mapping[str, Any]]) -> tuple[float, int]:
    """Predicted (seconds on one core of the machine of the constants, bytes on storage) of running `blocks`."""
    n_bytes = sum(n_probes(block) * BYTES_PER_ROW + BYTES_PER_BLOCK for block in blocks)
    return sum(block_seconds(block) for block in blocks), n_bytes


def batch_blocks(blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Planned blocks, in their order, as batches `{"blocks": [...]}` for `run_blocks`: each of about `MAX_BATCH_SECONDS`, and
    shorter towards the end. A block is never cut."""
    seconds = [block_seconds(block) for block in blocks]
    left = sum(seconds)
    batches: list[dict[str, Any]] = []
    filled = 0.0
    wanted = 0.0
    for block, cost in zip(blocks, seconds, strict=True):
        if not batches or filled + cost / 2 > wanted:
            wanted = min(max(left / MIN_BATCHES, MIN_BATCH_SECONDS), MAX_BATCH_SECONDS)
            batches.append({"blocks": []})
            filled = 0.0
        batches[-1]["blocks"].append(block)
        filled += cost
        left -= cost
    return batches


def n_probes(block: Mapping[str, Any]) -> int:
    """Rows that a block's table will have."""
    spec = SweepSpec.model_validate(block["spec"])
    total = 0
    for size in _usable_sizes(spec, block["n_train"]):
        total += spec.n_seeds * (len(spec.ridge_kinds) * len(spec.ridge_Cs) + len(spec.cheap_kinds))
        total += spec.n_logistic_at(size) * len(spec.logistic_kinds) * len(spec.logistic_Cs)
    return total * len(spec.subsets)


def block_seconds(block: Mapping[str, Any]) -> float:
    """Predicted seconds of one block on one core of the machine of the constants."""
    spec = SweepSpec.model_validate(block["spec"])
    n_columns, n_classes = block["n_columns"], block["n_classes"]
    n_test = min(block["n_test"], spec.max_test_rows)
    seconds = n_probes(block) * (CALL_SECONDS + 3 * n_test * n_classes * ELEMENT_SECONDS)
    for size in _usable_sizes(spec, block["n_train"]):
        rank = min(size - 1, n_columns)
        n_ridge = spec.n_seeds * len(spec.ridge_kinds)
        n_logistic = spec.n_logistic_at(size)
        n_decomposed = max(spec.n_everywhere, n_logistic) + spec.n_seeds * ("ridge_balanced" in spec.probes)
        decompose = 9 * rank**3 / EIGEN_FLOPS + (4 * size + n_test) * n_columns * rank / GEMM_FLOPS
        ridge = len(spec.ridge_Cs) * size * n_classes * (2 * (rank + n_test) / GEMM_FLOPS + 10 * ELEMENT_SECONDS)
        n_logits = size * n_classes * (1 + spec.logistic_folds)
        n_products = len(spec.logistic_Cs) * 10 * size ** (1 / 3) * (n_classes / 6) ** 0.2
        logistic = n_products * (PRODUCT_SECONDS + n_logits * (2 * rank / GEMM_FLOPS + 2 * ELEMENT_SECONDS))
        each_kind = n_decomposed * decompose + n_ridge * ridge + n_logistic * len(spec.logistic_kinds) * logistic
        seconds += len(spec.subsets) * each_kind
    return seconds


def _usable_sizes(spec: SweepSpec, n_train: int) -> list[int]:
    return [size for size in spec.sizes if size <= n_train]
