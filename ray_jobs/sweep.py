"""Stage 4: the study's linear probes, fanned out by Ray Tune in blocks, one Parquet row a probe."""

from collections.abc import Callable, Sequence
from typing import Any

from probes.sweep import is_done, n_probes, plan_blocks, run_block
from ray_jobs.embed import EncoderRow
from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study
from ray_jobs.tasks import TaskRow


def sweep_blocks(
    study: Study, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow], done: set[str]
) -> list[dict[str, Any]]:
    """The blocks (task x encoder x view) that are not in `done`."""
    return plan_blocks(study.config.sweep, tasks, encoders, done, storage_uri=study.storage.uri)


def sweep(study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]) -> list[str]:
    """Fit what is missing; returns the keys of all the study's blocks. Raises RuntimeError when blocks failed for good."""
    everything = sweep_blocks(study, tasks, encoders, set())
    missing = [block for block in everything if not is_done(study.storage, block["key"])]
    fan_out_blocks(study, report, run_block, missing, name="sweep")
    study.made(sum(n_probes(block) for block in missing), "probes fitted")
    return [block["key"] for block in everything]


def fan_out_blocks(
    study: Study, report: ProgressCallback, run: Callable[[dict], dict], blocks: Sequence[dict[str, Any]], *, name: str
) -> None:
    """`run` every block through Ray Tune; Ray starts only when there is one. Raises RuntimeError, with the first one's error,
    when blocks failed after all retries."""
    if not blocks:
        return
    from cluster.tune import fan_out

    study.need_ray()
    n_done = 0

    def count(_: Any) -> None:
        nonlocal n_done
        n_done += 1
        report(n_done, len(blocks))

    outcomes = fan_out(run, blocks, name=name, storage_dir=study.ray_folder, on_done=count)
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        first = f"{failed[0].config['key']}: {failed[0].error}"
        raise RuntimeError(f"{name}: {len(failed)} of {len(blocks)} blocks failed (run again to retry); first {first}")
