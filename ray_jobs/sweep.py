"""Stage 4: the study's linear probes, fanned out by Ray Tune in blocks, one Parquet row a probe."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from cluster.storage import Storage
from probes.fidelity import contenders, of_contenders
from probes.partial import clear_leftovers
from probes.sweep import is_done, load_results, plan_blocks, run_blocks
from probes.sweep_cost import batch_blocks, n_probes, predict_cost
from ray_jobs.embed import EncoderRow
from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study
from ray_jobs.sweep_status import SweepWatch
from ray_jobs.tasks import TaskRow

N_READERS = 16
"""Requests to the storage at once."""


def sweep(study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]) -> list[str]:
    """Fit what is missing; returns the keys of all the study's blocks. What each pass was to cost and what it did cost is kept
    under `costs/`. Raises RuntimeError when blocks failed for good."""
    cheap, *dear = study.config.sweep.fidelities
    blocks = plan_blocks(cheap, tasks, encoders, storage_uri=study.storage.uri)
    with SweepWatch(study.storage) as watch:
        n_fitted = _fit_missing(study, report, blocks, watch)
        for spec in dear:
            found = contenders(load_results(study.storage, [block["key"] for block in blocks]).to_pandas())
            more = of_contenders(plan_blocks(spec, tasks, encoders, storage_uri=study.storage.uri), found)
            n_fitted += _fit_missing(study, report, more, watch)
            blocks = blocks + more
    clear_leftovers(study.storage, [block["key"] for block in blocks])
    study.made(n_fitted, "probes fitted")
    return [block["key"] for block in blocks]


def _fit_missing(study: Study, report: ProgressCallback, blocks: Sequence[dict[str, Any]], watch: SweepWatch) -> int:
    """Fit the blocks that are not there; returns how many probes those have."""
    missing = missing_blocks(study.storage, blocks)
    watch.plan(blocks, missing)
    if not missing:
        return 0
    n_missing = sum(n_probes(block) for block in missing)
    predicted_seconds, predicted_bytes = predict_cost(missing)
    factor = _machine_factor()
    results = fan_out_blocks(study, report, run_blocks, batch_blocks(missing), name="sweep", on_done=watch.done)
    cost = {
        "n_probes": n_missing,
        "n_fitted": sum(result["n_probes"] for result in results),  # fewer where a killed run had left parts of blocks
        "predicted_seconds": predicted_seconds * factor,
        "seconds": sum(result["solver_seconds"] for result in results),
        "worker_seconds": sum(result["wall_seconds"] for result in results),
        "predicted_bytes": predicted_bytes,
        "bytes": sum(result["bytes"] for result in results),
        "machine_factor": factor,
    }
    study.storage.write_json(f"costs/{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.json", cost)
    return n_missing


def missing_blocks(storage: Storage, blocks: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The blocks that do not lie whole on the storage. One listing says which files there are (an object store answers for a
    thousand at once); those are read, several at a time, for their checksums."""
    there = set(storage.keys("probes"))
    with ThreadPoolExecutor(N_READERS) as readers:
        done = readers.map(lambda block: block["key"] in there and is_done(storage, block["key"]), blocks)
        return [block for block, is_there in zip(blocks, done, strict=True) if not is_there]


def _machine_factor() -> float:
    """`machine_factor` on one thread, as the workers have it."""
    import torch

    from probes.machine import machine_factor

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return machine_factor()
    finally:
        torch.set_num_threads(n_threads)


def fan_out_blocks(
    study: Study,
    report: ProgressCallback,
    run: Callable[[dict], dict],
    blocks: Sequence[dict[str, Any]],
    *,
    name: str,
    on_done: Callable[[Sequence[dict[str, Any]]], None] = lambda blocks: None,
) -> list[dict[str, Any]]:
    """`run` every block (or batch of blocks, counted as its `blocks`) through Ray Tune, and return the results in their order;
    Ray starts only when there is one. `on_done` is told of blocks as they succeed. Raises RuntimeError, with the first one's
    error, when blocks failed after all retries."""
    if not blocks:
        return []
    from cluster.resources import look_around, request
    from cluster.tune import fan_out

    study.need_ray()
    n_done, total = 0, sum(len(block.get("blocks", [block])) for block in blocks)

    def count(outcome: Any) -> None:
        nonlocal n_done
        ended = outcome.config.get("blocks", [outcome.config])
        n_done += len(ended)
        report(n_done, total)
        if outcome.error is None:
            on_done(ended)

    outcomes = fan_out(run, blocks, name=name, cpus=request(name, look_around()).cpus, on_done=count)
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        first = failed[0].config.get("blocks", [failed[0].config])[0]["key"]
        raise RuntimeError(
            f"{name}: {len(failed)} of {len(blocks)} pieces of work failed (run again to retry); "
            f"first {first}: {failed[0].error}"
        )
    return [outcome.result for outcome in outcomes if outcome.result is not None]
