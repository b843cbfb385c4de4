"""map_shards on the shared Ray."""

import time
from pathlib import Path
from typing import Any

import cluster_work as work
import pytest

from cluster.storage import UserError


def test_results_in_order_from_kept_workers(
    local_ray: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from cluster.data import map_shards

    items = [{"x": x} for x in range(10)]
    seen: list[dict[str, Any]] = []
    results = map_shards(
        work.Multiplier,
        items,
        worker_kwargs={"factor": 3},
        n_actors=2,
        cpus_per_actor=1,
        on_done=seen.append,
    )
    assert [result["product"] for result in results] == [3 * x for x in range(10)]
    assert len({result["pid"] for result in results}) <= 2
    assert sum(result["n_calls"] == 1 for result in results) == len(
        {result["pid"] for result in results}
    ), "workers are kept"
    assert sorted(result["product"] for result in seen) == [3 * x for x in range(10)]
    assert "".join(capfd.readouterr()) == "", "nothing on the terminal"


@pytest.mark.ray  # imports it
def test_nothing_to_do_needs_no_ray() -> None:
    from cluster.data import map_shards

    assert (
        map_shards(work.Multiplier, [], worker_kwargs={"factor": 3}, n_actors=2, cpus_per_actor=1)
        == []
    )


def test_results_stream_back(local_ray: Path) -> None:
    from cluster.data import map_shards

    arrived: dict[int, float] = {}
    items = [{"x": x, "seconds": 0.4} for x in range(6)]
    results = map_shards(
        work.Sleeper,
        items,
        worker_kwargs={},
        n_actors=1,
        cpus_per_actor=1,
        on_done=lambda result: arrived.setdefault(result["x"], time.time()),
    )
    last_start = max(result["start"] for result in results)
    assert sum(moment < last_start for moment in arrived.values()) >= 3, (
        "on_done fires while later shards are still to be done"
    )


@pytest.mark.parametrize("n_actors", [1, 5])
def test_more_actors_than_cpus_do_not_hang(local_ray: Path, n_actors: int) -> None:
    from cluster.data import map_shards

    results = map_shards(
        work.Multiplier,
        [{"x": x} for x in range(5)],
        worker_kwargs={"factor": 1},
        n_actors=n_actors,
        cpus_per_actor=2,
    )
    assert [result["product"] for result in results] == list(range(5))


def test_a_failing_shard_fails_after_the_others_are_done(local_ray: Path, tmp_path: Path) -> None:
    from cluster.data import map_shards

    hows = [
        "fine",
        "always",
        "first_time_only",
        "kills_its_process",
        "fine",
        "kills_its_process_once",
    ]
    items = [
        {"name": f"s{i}", "how": how, "tries": str(tmp_path / f"{i}.txt")}
        for i, how in enumerate(hows)
    ]
    seen: list[dict[str, Any]] = []
    with pytest.raises(
        RuntimeError,
        match="2 of 6 shards failed; the first, number 1: ValueError: bad luck with s1",
    ):
        map_shards(
            work.FailAsTold,
            items,
            worker_kwargs={},
            n_actors=2,
            cpus_per_actor=1,
            max_failures=1,
            on_done=seen.append,
        )
    assert sorted(result["n_tries"] for result in seen) == [1, 1, 2, 2]
    assert len((tmp_path / "3.txt").read_text().splitlines()) == 2, (
        "a shard that kills its worker is given up"
    )


def test_a_users_mistake_arrives_as_such(local_ray: Path, tmp_path: Path) -> None:
    from cluster.data import map_shards

    items = [{"name": "s", "how": "fine", "tries": str(tmp_path / "tries.txt")}]
    with pytest.raises(UserError, match="encoder hf:nothing: not found"):
        map_shards(
            work.FailAsTold, items, worker_kwargs={"refuse": True}, n_actors=1, cpus_per_actor=1
        )
