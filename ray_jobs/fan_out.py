"""A study's blocks of work through Ray Tune."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study

if TYPE_CHECKING:
    from cluster.tune import Outcome


class KeyedBlock(TypedDict):
    """The fields that every kind of block has."""

    key: str


Block = TypeVar("Block", bound=KeyedBlock)
Batch = TypeVar("Batch", bound=Mapping[str, Any])
Result = TypeVar("Result", bound=Mapping[str, Any])


def fan_out_blocks(
    study: Study,
    report: ProgressCallback,
    run: Callable[[Block], Result],
    blocks: Sequence[Block],
    *,
    name: str,
) -> list[Result]:
    """Call `run` with every block through Ray Tune. Each block is a batch of `fan_out_batches`."""
    return fan_out_batches(study, report, run, blocks, name=name, blocks_of=lambda block: [block])


def fan_out_batches(
    study: Study,
    report: ProgressCallback,
    run: Callable[[Batch], Result],
    batches: Sequence[Batch],
    *,
    name: str,
    blocks_of: Callable[[Batch], Sequence[Block]],
    on_done: Callable[[Sequence[Block]], None] = lambda blocks: None,
) -> list[Result]:
    """Call `run` with every batch of blocks through Ray Tune, and return the results in the order
    of the batches. Without a batch Ray is not started. Progress counts blocks. `on_done` is called
    with blocks that have succeeded. Raises RuntimeError when batches have failed in spite of all
    retries; its message is the error of the first one."""
    if not batches:
        return []
    from cluster.resources import available_resources, worker_resources
    from cluster.tune import fan_out

    study.need_ray()
    n_done, total = 0, sum(len(blocks_of(batch)) for batch in batches)

    def count(outcome: "Outcome[Batch, Result]") -> None:
        nonlocal n_done
        ended = blocks_of(outcome.config)
        n_done += len(ended)
        report(n_done, total)
        if outcome.error is None:
            on_done(ended)

    outcomes = fan_out(
        run,
        batches,
        name=name,
        cpus=worker_resources(name, available_resources()).cpus,
        on_done=count,
    )
    failed = [outcome for outcome in outcomes if outcome.error]
    if failed:
        first = blocks_of(failed[0].config)[0]["key"]
        raise RuntimeError(
            f"{name}: {len(failed)} of {len(batches)} pieces of work failed (run again to retry); "
            f"first {first}: {failed[0].error}"
        )
    return [outcome.result for outcome in outcomes if outcome.result is not None]
