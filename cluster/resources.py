"""How much of the machine, or of the cluster, there is and what a piece of work may take of it.
Loads no ray.

The one place that says what every stage asks for: `NEEDS`. `request` fits a need to the nodes that
are there (less where they are smaller, a share of a GPU where they have one), `n_at_once` says how
many such workers they hold. Both are pure.
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
"""What numerical libraries read, once, when they are loaded."""

OBJECT_STORE_BYTES = 256 * 1024**2
"""Shared memory of an embedded Ray. Work travels as keys and paths, so little is needed; it is not
allocated beforehand."""

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Found:
    """What the Ray that this process is in has now, or this machine where there is none."""

    n_cpus: float
    n_gpus: float
    node_cpus: float
    """Of the node with the most."""
    node_memory_bytes: int
    """That work may ask for on the node with the most; 0: unknown, nothing is asked for."""


@dataclass(frozen=True)
class Request:
    """What one worker takes of a node."""

    cpus: float
    gpus: float = 0.0
    """Below 1: so many share one GPU."""
    memory_bytes: int = 0
    """Kept free for it when it is placed (Ray does not enforce it); 0: nothing."""


NEEDS = {
    "embed": Request(
        cpus=1, gpus=0.25, memory_bytes=1024**3
    ),  # a base-size encoder, its activations and torch
    "sweep": Request(cpus=1),
    "observe": Request(cpus=1),
    "tune": Request(cpus=1),
    "search": Request(cpus=2),
    "pretrain": Request(cpus=1, gpus=1),
}
"""By stage, where nodes are large enough. Probes are too small for a GPU to pay."""


def request(stage: str, found: Found) -> Request:
    """What a worker of `stage` asks for: what it needs, at most the largest node, so that at least
    one can be placed."""
    need = NEEDS[stage]
    return Request(
        cpus=min(need.cpus, max(found.node_cpus, 1)),
        gpus=need.gpus if found.n_gpus >= need.gpus else 0.0,
        memory_bytes=min(need.memory_bytes, found.node_memory_bytes),
    )


def n_at_once(asked: Request, found: Found, n_items: int) -> int:
    """How many workers that ask so much fit at once, at least one, at most one for each of
    `n_items`."""
    fitting = [found.n_cpus / asked.cpus, n_items]
    if asked.gpus:
        fitting.append(found.n_gpus / asked.gpus)
    return max(1, math.floor(min(fitting)))


def use_gpus(n_workers: int, found: Found) -> bool:
    """Whether `n_workers` that train together get a GPU each: all of them or none."""
    return found.n_gpus >= n_workers * NEEDS["pretrain"].gpus


def look_around() -> Found:
    """What there is now; nodes that an autoscaler would add are not."""
    ray = sys.modules.get("ray")
    if ray is None or not ray.is_initialized():
        n_cpus = local_cpus()
        return Found(n_cpus, 0, n_cpus, 0)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    total = {
        name: [node.get(name, 0) for node in nodes] or [0] for name in ("CPU", "GPU", "memory")
    }
    return Found(sum(total["CPU"]), sum(total["GPU"]), max(total["CPU"]), int(max(total["memory"])))


def available_cpus() -> int:
    """CPUs that work can be spread over: of the Ray that this process is in, otherwise of this
    machine (what the affinity mask and the container's quota leave of it). At least 1."""
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
    """BLAS threads of a piece of work that was given `cpus` CPUs: as many, at least one."""
    return max(1, int(cpus))


def worker_env(n_threads: int) -> dict[str, str]:
    """Environment of a process that shall compute with `n_threads` threads."""
    return dict.fromkeys(BLAS_ENV_VARS, str(n_threads)) | {"TOKENIZERS_PARALLELISM": "false"}


def limit_threads(n_threads: int) -> None:
    """Let this process compute with `n_threads` threads, also in libraries that are loaded already.
    Without it each of a node's workers would start one thread per core, and they would fight over
    them."""
    os.environ.update(worker_env(n_threads))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n_threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=n_threads)
