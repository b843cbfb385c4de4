"""How much of the machine, or of the cluster, there is and what a piece of work may take of it. Loads no ray."""

import os
import sys
from pathlib import Path

BLAS_ENV_VARS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""What numerical libraries read, once, when they are loaded."""

OBJECT_STORE_BYTES = 256 * 1024**2
"""Shared memory of an embedded Ray. Work travels as keys and paths, so little is needed; it is not allocated beforehand."""

_CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def available_cpus() -> int:
    """CPUs that work can be spread over: of the Ray that this process is in, otherwise of this machine (what the affinity mask
    and the container's quota leave of it). At least 1."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return max(1, int(ray.cluster_resources().get("CPU", 1)))
    return local_cpus()


def local_cpus(cgroup_quota: Path = _CGROUP_QUOTA) -> int:
    """CPUs of this machine that this process may use, at least 1."""
    n_cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
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
    """Let this process compute with `n_threads` threads, also in libraries that are loaded already. Without it each of a
    node's workers would start one thread per core, and they would fight over them."""
    os.environ.update(worker_env(n_threads))
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(n_threads)
    if "numpy" in sys.modules:
        from threadpoolctl import threadpool_limits

        threadpool_limits(limits=n_threads)
