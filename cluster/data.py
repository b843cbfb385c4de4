"""Ray Data as a map over shards of work: each item goes once through one of a few long-lived
workers.

Invariants: results stream back as they are made; a shard that fails is tried again and then fails
alone, after all the others have been done (their results are on storage, so running again does only
what is missing). What a shard is about lies on storage: an item is a small JSON-able description.
"""

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset

from cluster.attempts import attempt
from cluster.resources import limit_threads, threads_for
from cluster.session import is_embedded, route_logs
from cluster.storage import UserError

Item = TypeVar("Item", bound=Mapping[str, Any])
"""The description of one shard: what JSON can hold, a plain or a typed dictionary."""
Result = TypeVar("Result", bound=Mapping[str, Any])
"""What became of one: what JSON can hold."""


def map_shards(
    worker: Callable[..., Callable[[Item], Result]],
    items: Sequence[Item],
    *,
    worker_kwargs: dict[str, Any],
    n_actors: int,
    cpus_per_actor: float,
    gpus_per_actor: float = 0.0,
    memory_bytes_per_actor: int = 0,
    max_failures: int = 3,
    on_done: Callable[[Result], None] | None = None,
) -> list[Result]:
    """`worker(**worker_kwargs)(item)` for every item, in up to `n_actors` processes that keep their
    worker. Within an open session.

    Args: worker: A top-level class; its instances take an item and return what JSON can hold.
    items: JSON-able descriptions of shards, best of seconds of work each. worker_kwargs: For the
    class; picklable. n_actors: So many workers at first, fewer where there is no room for them.
    Never more on an embedded Ray; on a cluster more as it grows. cpus_per_actor: CPUs, and BLAS
    threads, of a worker. gpus_per_actor: GPUs of a worker; below 1 several share one.
    memory_bytes_per_actor: Kept free for a worker when it is placed. max_failures: Further tries
    after an exception, or after the worker process or its node died. UserError: none. on_done:
    Called in this process with each result as it comes in.

    Returns:
        The results, in the order of `items`.

    Raises:
        UserError: A worker raised it.
        RuntimeError: Shards failed for good; names how many, and the first one's error.
    """
    if not items:
        return []
    route_logs()
    rows = [{"idx": i, "item": json.dumps(item)} for i, item in enumerate(items)]
    outcomes: dict[int, dict[str, Any]] = {}
    with _data_context():
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        n_actors = min(n_actors, len(items))
        most = n_actors if is_embedded() else len(items)
        strategy = ActorPoolStrategy(
            min_size=1, max_size=most, initial_size=n_actors, max_tasks_in_flight_per_actor=1
        )
        arguments = (worker, worker_kwargs, threads_for(cpus_per_actor), max_failures)
        asked = {
            "num_cpus": cpus_per_actor,
            "num_gpus": gpus_per_actor or None,
            "memory": memory_bytes_per_actor or None,
        }
        mapped = _map(dataset, arguments, strategy, asked, max_failures)
        for row in mapped.iter_rows():
            outcome = outcomes[row["idx"]] = json.loads(row["outcome"])
            if on_done is not None and "result" in outcome:
                on_done(outcome["result"])
    _raise_failures(outcomes, len(items))
    return [outcomes[i]["result"] for i in range(len(items))]


def _map(
    dataset: Dataset,
    arguments: tuple[Any, ...],
    strategy: ActorPoolStrategy,
    asked: dict[str, Any],
    max_failures: int,
) -> Dataset:
    with warnings.catch_warnings():
        # Only the untyped arguments, which Ray 2.64 will drop, can bound how often a shard that
        # kills its process is tried again. Without a bound it would hold up the run for ever.
        # (Restarts of the process itself must stay unbounded: Ray does not replace an actor that is
        # dead for good.)
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        return dataset.map_batches(
            _ShardWorker,
            batch_size=1,
            batch_format="pyarrow",
            compute=strategy,
            **asked,
            fn_constructor_args=arguments,
            max_task_retries=max_failures,
        )


@contextlib.contextmanager
def _data_context() -> Iterator[None]:
    """Ray Data's settings for our purpose, within the block: no progress bars, and a shard whose
    worker died for good does not end the others."""
    context = DataContext.get_current()
    before = (context.enable_progress_bars, context.max_errored_blocks)
    context.enable_progress_bars, context.max_errored_blocks = False, -1
    try:
        yield
    finally:
        context.enable_progress_bars, context.max_errored_blocks = before


def _raise_failures(outcomes: dict[int, dict[str, Any]], n_items: int) -> None:
    died = {
        "error": "the worker process died on it (killed, out of memory?)",
        "is_user_error": False,
    }
    failed = [(i, outcome) for i in range(n_items) if "error" in (outcome := outcomes.get(i, died))]
    for _, outcome in failed:
        if outcome["is_user_error"]:
            raise UserError(outcome["error"])
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {n_items} shards failed; the first, number {failed[0][0]}:"
            f" {failed[0][1]['error']}"
        )


class _ShardWorker(Generic[Item, Result]):
    """Holds the worker of one process; made when the first shard comes, so that its failure is that
    shard's."""

    def __init__(
        self,
        worker: Callable[..., Callable[[Item], Result]],
        worker_kwargs: dict[str, Any],
        n_threads: int,
        max_failures: int,
    ):
        self._make, self._kwargs, self._max_failures = worker, worker_kwargs, max_failures
        self._worker: Callable[[Item], Result] | None = None
        limit_threads(n_threads)

    def __call__(self, batch: pa.Table) -> pa.Table:
        outcomes = [
            attempt(self._work, json.loads(item), self._max_failures)
            for item in batch["item"].to_pylist()
        ]
        return pa.table({"idx": batch["idx"], "outcome": pa.array(outcomes, pa.string())})

    def _work(self, item: Item) -> Result:
        if self._worker is None:
            self._worker = self._make(**self._kwargs)
        return self._worker(item)
