"""A study's blocks of work through Ray Tune."""

from collections.abc import Callable, Sequence
from typing import Any

from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study


def fan_out_blocks(
    study: Study,
    report: ProgressCallback,
    run: Callable[[dict], dict],
    blocks: Sequence[dict[str, Any]],
    *,
    name: str,
    on_done: Callable[[Sequence[dict[str, Any]]], None] = lambda blocks: None,
) -> list[dict[str, Any]]:
    """`run` every block (or batch of blocks, counted as its `blocks`) through Ray Tune, and return
    the results in their order; Ray starts only when there is one. `on_done` is told of blocks as
    they succeed. Raises RuntimeError, with the first one's error, when blocks failed after all
    retries."""
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

    outcomes = fan_out(
        run, blocks, name=name, cpus=request(name, look_around()).cpus, on_done=count
    )
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        first = failed[0].config.get("blocks", [failed[0].config])[0]["key"]
        raise RuntimeError(
            f"{name}: {len(failed)} of {len(blocks)} pieces of work failed (run again to retry); "
            f"first {first}: {failed[0].error}"
        )
    return [outcome.result for outcome in outcomes if outcome.result is not None]
