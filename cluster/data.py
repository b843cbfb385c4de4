"""Ray Data as a map over shards of work: each item goes once through one of a few long-lived workers."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import ray.data

from cluster.resources import limit_threads, threads_for
from cluster.session import route_logs

Item = dict[str, Any]


def map_shards(
    worker: type,
    items: Sequence[Item],
    *,
    worker_kwargs: dict[str, Any],
    n_actors: int,
    cpus_per_actor: float,
    on_done: Callable[[Item], None] | None = None,
) -> list[Item]:
    """`worker(**worker_kwargs)(item)` for every item, in `n_actors` processes that keep their worker. Within an open session."""
    if not items:
        return []
    route_logs()
    rows = [{"idx": i, "item": json.dumps(item)} for i, item in enumerate(items)]
    dataset = ray.data.from_items(rows, override_num_blocks=len(rows))
    dataset.context.enable_progress_bars = False
    mapped = dataset.map_batches(
        _ShardWorker,
        batch_size=1,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            min_size=1, max_size=n_actors, initial_size=n_actors, max_tasks_in_flight_per_actor=2
        ),
        num_cpus=cpus_per_actor,
        fn_constructor_args=(worker, worker_kwargs, threads_for(cpus_per_actor)),
    )
    results: dict[int, Item] = {}
    for row in mapped.iter_rows():
        results[row["idx"]] = json.loads(row["result"])
        if on_done:
            on_done(results[row["idx"]])
    return [results[i] for i in range(len(items))]


class _ShardWorker:
    def __init__(self, worker: type, worker_kwargs: dict[str, Any], n_threads: int):
        limit_threads(n_threads)
        self._worker = worker(**worker_kwargs)

    def __call__(self, batch: pa.Table) -> pa.Table:
        results = [json.dumps(self._worker(json.loads(item.as_py()))) for item in batch["item"]]
        return pa.table({"idx": batch["idx"], "result": results})
