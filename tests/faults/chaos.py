"""Seeded trouble for runs on a local cluster: processes of it are killed without notice
(SIGKILL)."""

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from cluster.local import LocalCluster

WORKER, NODE = "worker", "node"


def victims(cluster: LocalCluster, kind: str, title: str = "ray::") -> list[psutil.Process]:
    """Processes whose death is that of a `worker` (with `title` in its title) or of a whole `node`
    (its raylet; the head's is spared: a cluster whose head dies is gone), oldest first."""
    found = []
    for pid in cluster.pids():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            line = process.cmdline()
            is_raylet = bool(line) and line[0].endswith("raylet/raylet")
            if kind == NODE and is_raylet and "--head" not in line:
                found.append(process)
            if (
                kind == WORKER
                and line
                and line[0].startswith("ray::")
                and title in line[0]
                and "IDLE" not in line[0]
            ):
                found.append(process)
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def kill_one(
    cluster: LocalCluster, kind: str, generator: random.Random, title: str = "ray::"
) -> bool:
    """Kill one of the `victims`; False where there is none."""
    found = victims(cluster, kind, title)
    if not found:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(generator.choice(found).pid, signal.SIGKILL)
    return True


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs; one that has ended and that nobody has asked after yet does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Poll; raises TimeoutError that says `what` was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:.0f} s for {what}")
        time.sleep(0.1)


def make_more_work(out: Path, generator: random.Random) -> None:
    """A third of the blocks is deleted, one of the others cut short and one has a bit flipped:
    there is work again, and damage to find."""
    blocks = sorted((out / "probes").glob("*.parquet"))
    generator.shuffle(blocks)
    n_gone = len(blocks) // 3 + 1
    for path in blocks[:n_gone]:
        path.unlink()
    for damage, path in enumerate(blocks[n_gone : n_gone + 2]):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x10
        path.write_bytes(data if damage else data[: len(data) // 2])
