"""The stage that fits the study's linear probes. Ray Tune runs them in blocks. Each probe is a row
of a Parquet file."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TypedDict

from cluster.storage import Storage
from probes.sweep.cost import batch_blocks, n_probes, predict_cost
from probes.sweep.fidelity import contender_blocks, contenders
from probes.sweep.partial import clear_leftovers
from probes.sweep.planned_block import PlannedBlock
from probes.sweep.sweep import is_done, load_results, plan_blocks, run_blocks
from ray_jobs.fan_out import fan_out_batches
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.embed import EncoderRow
from ray_jobs.stages.tasks import TaskRow
from ray_jobs.study import Study
from ray_jobs.sweep_status import SweepWatch

N_READERS = 16
"""Number of requests to the storage at the same time."""


class PassCost(TypedDict):
    """The predicted and the measured cost of a pass over the blocks. It is a file under
    `costs/`."""

    n_probes: int
    n_fitted: int
    """Number of probes fitted. It is smaller where a killed run had left parts of blocks."""
    predicted_seconds: float
    """Seconds on one core of this machine."""
    seconds: float
    """Seconds that the solvers took, on one core."""
    worker_seconds: float
    predicted_bytes: int
    bytes: int
    machine_factor: float
    """How many times slower this machine is than the one that `probes.sweep.cost` was measured
    on."""


def sweep(
    study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]
) -> list[str]:
    """Fit the blocks that are missing. Returns the keys of all blocks of the study. The predicted
    and the measured cost of each pass are kept under `costs/`. Raises RuntimeError when blocks
    failed in spite of all retries."""
    everywhere, *for_contenders = study.config.sweep.fidelities
    blocks = plan_blocks(everywhere, tasks, encoders, storage_uri=study.storage.uri)
    with SweepWatch(study.storage) as watch:
        n_fitted = _fit_missing(study, report, blocks, watch)
        for spec in for_contenders:
            found = contenders(
                load_results(study.storage, [block["key"] for block in blocks]).to_pandas()
            )
            more = contender_blocks(
                plan_blocks(spec, tasks, encoders, storage_uri=study.storage.uri), found
            )
            n_fitted += _fit_missing(study, report, more, watch)
            blocks = blocks + more
    clear_leftovers(study.storage, [block["key"] for block in blocks])
    study.made(n_fitted, "probes fitted")
    return [block["key"] for block in blocks]


def _fit_missing(
    study: Study, report: ProgressCallback, blocks: Sequence[PlannedBlock], watch: SweepWatch
) -> int:
    """Fit the blocks that are missing. Returns how many probes they have."""
    missing = missing_blocks(study.storage, blocks)
    watch.plan(blocks, missing)
    if not missing:
        return 0
    n_missing = sum(n_probes(block) for block in missing)
    predicted_seconds, predicted_bytes = predict_cost(missing)
    factor = _machine_factor()
    results = fan_out_batches(
        study,
        report,
        run_blocks,
        batch_blocks(missing),
        name="sweep",
        blocks_of=lambda batch: batch["blocks"],
        on_done=watch.done,
    )
    cost: PassCost = {
        "n_probes": n_missing,
        "n_fitted": sum(result["n_probes"] for result in results),
        "predicted_seconds": predicted_seconds * factor,
        "seconds": sum(result["solver_seconds"] for result in results),
        "worker_seconds": sum(result["wall_seconds"] for result in results),
        "predicted_bytes": predicted_bytes,
        "bytes": sum(result["bytes"] for result in results),
        "machine_factor": factor,
    }
    study.storage.write_json(f"costs/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.json", cost)
    return n_missing


def missing_blocks(storage: Storage, blocks: Sequence[PlannedBlock]) -> list[PlannedBlock]:
    """The blocks that are missing or damaged on the storage. One listing says which files there
    are, since an object store lists a thousand at once. These files are read, several at a time, to
    check their checksums."""
    there = set(storage.keys("probes"))
    with ThreadPoolExecutor(N_READERS) as readers:
        done = readers.map(
            lambda block: block["key"] in there and is_done(storage, block["key"]), blocks
        )
        return [block for block, is_there in zip(blocks, done, strict=True) if not is_there]


def _machine_factor() -> float:
    """`machine_factor` measured on one thread. The workers also use one thread."""
    import torch

    from probes.sweep.machine import machine_factor

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return machine_factor()
    finally:
        torch.set_num_threads(n_threads)
