"""What a stage asks for, on nodes of all kinds. Pure."""

import pytest

from cluster.resources import (
    STAGE_NEEDS,
    AvailableResources,
    WorkerResources,
    available_resources,
    n_workers_that_fit,
    use_gpus,
    worker_resources,
)

GIB = 1024**3
LAPTOP = AvailableResources(n_cpus=2, n_gpus=0, node_cpus=2, node_memory_bytes=8 * GIB)
GPU_CLUSTER = AvailableResources(n_cpus=64, n_gpus=8, node_cpus=16, node_memory_bytes=64 * GIB)
EMPTY = AvailableResources(n_cpus=0, n_gpus=0, node_cpus=0, node_memory_bytes=0)
"""A cluster whose workers an autoscaler has yet to start."""


@pytest.mark.parametrize(
    "available",
    [LAPTOP, GPU_CLUSTER, AvailableResources(1, 0, 1, GIB // 2), AvailableResources(1, 0.1, 1, 0)],
)
@pytest.mark.parametrize("stage", STAGE_NEEDS)
def test_at_least_one_worker_of_every_stage_can_be_placed(stage, available) -> None:
    resources = worker_resources(stage, available)
    assert 0 < resources.cpus <= available.node_cpus
    assert resources.gpus <= available.n_gpus
    assert resources.memory_bytes <= available.node_memory_bytes
    assert n_workers_that_fit(resources, available, 1000) >= 1


def test_encoding_shares_gpus_and_keeps_memory_free() -> None:
    resources = worker_resources("embed", GPU_CLUSTER)
    assert resources == WorkerResources(cpus=1, gpus=0.25, memory_bytes=GIB)
    assert n_workers_that_fit(resources, GPU_CLUSTER, 1000) == 32, (
        "four to a GPU, though there are 64 CPUs"
    )
    assert n_workers_that_fit(resources, GPU_CLUSTER, 5) == 5, "no more than there is work"
    assert n_workers_that_fit(worker_resources("embed", LAPTOP), LAPTOP, 1000) == 2


def test_probes_leave_the_gpus_alone() -> None:
    assert (
        worker_resources("sweep", GPU_CLUSTER)
        == worker_resources("observe", GPU_CLUSTER)
        == WorkerResources(cpus=1)
    )
    assert n_workers_that_fit(worker_resources("sweep", GPU_CLUSTER), GPU_CLUSTER, 1000) == 64


def test_a_candidate_of_the_search_takes_two_cpus_where_a_node_has_them() -> None:
    assert worker_resources("search", GPU_CLUSTER).cpus == 2
    assert worker_resources("search", AvailableResources(4, 0, 1, 0)).cpus == 1, (
        "of one node, not of all together"
    )


def test_nothing_is_there_yet() -> None:
    assert worker_resources("embed", EMPTY) == WorkerResources(cpus=1)
    assert n_workers_that_fit(worker_resources("embed", EMPTY), EMPTY, 1000) == 1


def test_workers_train_on_gpus_all_or_none() -> None:
    assert use_gpus(8, GPU_CLUSTER) and not use_gpus(9, GPU_CLUSTER) and not use_gpus(1, LAPTOP)


def test_what_is_found_in_the_shared_ray(local_ray) -> None:
    available = available_resources()
    assert (available.n_cpus, available.node_cpus) == (2, 2)
    assert available.node_memory_bytes > 0
