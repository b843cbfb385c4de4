"""Ray Data as a map over shards of work. Each item goes once through one of a few long-lived
workers.

Results stream back as they are made. A shard that fails is tried again. If it goes on failing, it
fails after all other shards have been done: their results are on storage, so the next run does only
what is missing. The data of a shard lies on storage too: an item is a small JSON-able description
of it.
"""

import contextlib
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset

from cluster.resources import limit_threads, threads_for
from cluster.retries import run_with_retries
from cluster.session import is_embedded, route_logs
from cluster.storage import UserError

Item = TypeVar("Item", bound=Mapping[str, Any])
"""The description of one shard: what JSON can hold, a plain or a typed dictionary."""
Result = TypeVar("Result", bound=Mapping[str, Any])
"""The result of one shard: what JSON can hold."""


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
    """Call `worker(**worker_kwargs)(item)` for every item, in up to `n_actors` processes that keep
    their worker. A session must be open.

    Args:
        worker: A top-level class. Its instances take an item and return what JSON can hold.
        items: JSON-able descriptions of shards, best of seconds of work each.
        worker_kwargs: Arguments of the class; picklable.
        n_actors: The number of workers at first, fewer where there is no room for them. An embedded
            Ray never has more. A cluster gets more as it grows.
        cpus_per_actor: CPUs, and BLAS threads, of a worker.
        gpus_per_actor: GPUs of a worker. Below 1 several workers share one.
        memory_bytes_per_actor: Memory that must be free on a node for a worker to be placed there.
        max_failures: How often a shard is tried again after an exception, or after its worker
            process or node died. It is not tried again after a UserError.
        on_done: Called in this process with each result as it comes in.

    Returns:
        The results, in the order of `items`.

    Raises:
        UserError: A worker raised it.
        RuntimeError: Shards failed after all tries. It names how many, and the first one's error.
    """
    if not items:
        return []
    route_logs()
    rows = [{"idx": i, "item": json.dumps(item)} for i, item in enumerate(items)]
    outcomes: dict[int, dict[str, Any]] = {}
    with _data_context():
        dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
        n_actors = min(n_actors, len(items))
        max_actors = n_actors if is_embedded() else len(items)
        strategy = ActorPoolStrategy(
            min_size=1, max_size=max_actors, initial_size=n_actors, max_tasks_in_flight_per_actor=1
        )
        arguments = (worker, worker_kwargs, threads_for(cpus_per_actor), max_failures)
        ray_options = {
            "num_cpus": cpus_per_actor,
            "num_gpus": gpus_per_actor or None,
            "memory": memory_bytes_per_actor or None,
        }
        mapped = _map_dataset(dataset, arguments, strategy, ray_options, max_failures)
        for row in mapped.iter_rows():
            outcome = outcomes[row["idx"]] = json.loads(row["outcome"])
            if on_done is not None and "result" in outcome:
                on_done(outcome["result"])
    _raise_failures(outcomes, len(items))
    return [outcomes[i]["result"] for i in range(len(items))]


def _map_dataset(
    dataset: Dataset,
    arguments: tuple[Any, ...],
    strategy: ActorPoolStrategy,
    ray_options: dict[str, Any],
    max_failures: int,
) -> Dataset:
    with warnings.catch_warnings():
        # Without a bound on its tries, a shard that kills its process would hold up the run for
        # ever. Only the untyped arguments, which Ray 2.64 will drop, can set that bound. (Restarts
        # of the process itself must stay unbounded: Ray does not replace an actor that is dead for
        # good.)
        warnings.filterwarnings("ignore", message=".*ray_remote_args.*")
        return dataset.map_batches(
            _ShardWorker,
            batch_size=1,
            batch_format="pyarrow",
            compute=strategy,
            **ray_options,
            fn_constructor_args=arguments,
            max_task_retries=max_failures,
        )


@contextlib.contextmanager
def _data_context() -> Iterator[None]:
    """Within the block Ray Data shows no progress bars, and a shard whose worker died for good does
    not end the others."""
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
    """The worker of one process. It is made when the first shard comes, so that a failure to make
    it is the failure of that shard."""

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
            run_with_retries(self._work, json.loads(item), self._max_failures)
            for item in batch["item"].to_pylist()
        ]
        return pa.table({"idx": batch["idx"], "outcome": pa.array(outcomes, pa.string())})

    def _work(self, item: Item) -> Result:
        if self._worker is None:
            self._worker = self._make(**self._kwargs)
        return self._worker(item)
