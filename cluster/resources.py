"""CPUs, GPUs and memory of this machine or of the cluster, and how much of them a worker takes.
Loads no ray.

`STAGE_NEEDS` says, for every stage, what one of its workers needs. `worker_resources` fits that to
the nodes that are there: it is less where they are smaller, and a share of a GPU where they have
one. `n_workers_that_fit` says how many such workers the nodes hold. Both functions are pure.
"""

import math
import os
import sys
from dataclasses import dataclass
from pathlib import Path

BLAS_ENV_VARS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Numerical libraries read these once, when they are loaded."""

OBJECT_STORE_BYTES = 256 * 1024**2
"""Shared memory of an embedded Ray. Work travels as keys and paths, so little is needed. It is not
allocated beforehand."""

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class AvailableResources:
    """Resources of the Ray that this process is in, or of this machine where there is no Ray."""

    n_cpus: float
    n_gpus: float
    node_cpus: float
    """CPUs of the node that has the most."""
    node_memory_bytes: int
    """Memory that work may ask for, on the node that has the most. 0 means unknown: nothing is
    asked for."""


@dataclass(frozen=True)
class WorkerResources:
    """What one worker takes of a node."""

    cpus: float
    gpus: float = 0.0
    """Below 1 several workers share one GPU."""
    memory_bytes: int = 0
    """Memory that must be free on a node for the worker to be placed there (Ray does not enforce it
    later). 0: nothing is asked for."""


STAGE_NEEDS = {
    # memory of a base-size encoder, its activations and torch
    "embed": WorkerResources(cpus=1, gpus=0.25, memory_bytes=1024**3),
    "sweep": WorkerResources(cpus=1),
    "observe": WorkerResources(cpus=1),
    "tune": WorkerResources(cpus=1),
    "search": WorkerResources(cpus=2),
    "pretrain": WorkerResources(cpus=1, gpus=1),
}
"""What a worker of each stage needs where nodes are large enough. Probes are too small to gain from
a GPU."""


def worker_resources(stage: str, available: AvailableResources) -> WorkerResources:
    """What a worker of `stage` asks for. It is what the stage needs, but at most the largest node,
    so that at least one worker can be placed."""
    need = STAGE_NEEDS[stage]
    return WorkerResources(
        cpus=min(need.cpus, max(available.node_cpus, 1)),
        gpus=need.gpus if available.n_gpus >= need.gpus else 0.0,
        memory_bytes=min(need.memory_bytes, available.node_memory_bytes),
    )


def n_workers_that_fit(
    resources: WorkerResources, available: AvailableResources, n_items: int
) -> int:
    """How many workers with these `resources` fit at once: at least one, and at most one for each
    of `n_items`."""
    fitting = [available.n_cpus / resources.cpus, n_items]
    if resources.gpus:
        fitting.append(available.n_gpus / resources.gpus)
    return max(1, math.floor(min(fitting)))


def use_gpus(n_workers: int, available: AvailableResources) -> bool:
    """Whether `n_workers` that train together get a GPU each. Either all of them do or none."""
    return available.n_gpus >= n_workers * STAGE_NEEDS["pretrain"].gpus


def available_resources() -> AvailableResources:
    """The resources that are there now, without the nodes that an autoscaler would add."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        n_cpus = local_cpus()
        return AvailableResources(n_cpus, 0, n_cpus, 0)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    total = {
        name: [node.get(name, 0) for node in nodes] or [0] for name in ("CPU", "GPU", "memory")
    }
    return AvailableResources(
        sum(total["CPU"]), sum(total["GPU"]), max(total["CPU"]), int(max(total["memory"]))
    )


def available_cpus() -> int:
    """CPUs that work can be spread over, at least 1. They are those of the Ray that this process is
    in, otherwise those of this machine (as its affinity mask and the container's quota allow)."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    return local_cpus()


def local_cpus(cgroup_quota: Path = _CGROUP_QUOTA) -> int:
    """CPUs of this machine that this process may use, at least 1."""
    n_cpus = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    try:
        quota_us, period_us = cgroup_quota.read_text().split()
    except (OSError, ValueError):  # no cgroup v2 here
        return n_cpus
    if quota_us == "max":
        return n_cpus
    return max(1, min(n_cpus, round(int(quota_us) / int(period_us))))


def threads_for(cpus: float) -> int:
    """BLAS threads of a piece of work that has `cpus` CPUs: one for each, at least one."""
    return max(1, int(cpus))


def worker_env(n_threads: int) -> dict[str, str]:
    """Environment variables of a process that must compute with `n_threads` threads."""
    return dict.fromkeys(BLAS_ENV_VARS, str(n_threads)) | {"TOKENIZERS_PARALLELISM": "false"}


def limit_threads(n_threads: int) -> None:
    """Make this process compute with `n_threads` threads, also in libraries that are loaded
    already. Otherwise each of a node's workers would start one thread per core, and they would
    compete for the cores."""
    os.environ.update(worker_env(n_threads))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n_threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=n_threads)
