"""What a stage asks for, on nodes of all kinds. Pure."""

import pytest

from cluster.resources import NEEDS, Found, Request, look_around, n_at_once, request, use_gpus

GIB = 1024**3
LAPTOP = Found(n_cpus=2, n_gpus=0, node_cpus=2, node_memory_bytes=8 * GIB)
GPU_CLUSTER = Found(n_cpus=64, n_gpus=8, node_cpus=16, node_memory_bytes=64 * GIB)
EMPTY = Found(n_cpus=0, n_gpus=0, node_cpus=0, node_memory_bytes=0)
"""A cluster whose workers an autoscaler has yet to start."""


@pytest.mark.parametrize(
    "found", [LAPTOP, GPU_CLUSTER, Found(1, 0, 1, GIB // 2), Found(1, 0.1, 1, 0)]
)
@pytest.mark.parametrize("stage", NEEDS)
def test_at_least_one_worker_of_every_stage_can_be_placed(stage, found) -> None:
    asked = request(stage, found)
    assert 0 < asked.cpus <= found.node_cpus
    assert asked.gpus <= found.n_gpus
    assert asked.memory_bytes <= found.node_memory_bytes
    assert n_at_once(asked, found, 1000) >= 1


def test_encoding_shares_gpus_and_keeps_memory_free() -> None:
    asked = request("embed", GPU_CLUSTER)
    assert asked == Request(cpus=1, gpus=0.25, memory_bytes=GIB)
    assert n_at_once(asked, GPU_CLUSTER, 1000) == 32, "four to a GPU, though there are 64 CPUs"
    assert n_at_once(asked, GPU_CLUSTER, 5) == 5, "no more than there is work"
    assert n_at_once(request("embed", LAPTOP), LAPTOP, 1000) == 2


def test_probes_leave_the_gpus_alone() -> None:
    assert request("sweep", GPU_CLUSTER) == request("observe", GPU_CLUSTER) == Request(cpus=1)
    assert n_at_once(request("sweep", GPU_CLUSTER), GPU_CLUSTER, 1000) == 64


def test_a_candidate_of_the_search_takes_two_cpus_where_a_node_has_them() -> None:
    assert request("search", GPU_CLUSTER).cpus == 2
    assert request("search", Found(4, 0, 1, 0)).cpus == 1, "of one node, not of all together"


def test_nothing_is_there_yet() -> None:
    assert request("embed", EMPTY) == Request(cpus=1)
    assert n_at_once(request("embed", EMPTY), EMPTY, 1000) == 1


def test_workers_train_on_gpus_all_or_none() -> None:
    assert use_gpus(8, GPU_CLUSTER) and not use_gpus(9, GPU_CLUSTER) and not use_gpus(1, LAPTOP)


def test_what_is_found_in_the_shared_ray(local_ray) -> None:
    found = look_around()
    assert (found.n_cpus, found.node_cpus) == (2, 2)
    assert found.node_memory_bytes > 0
