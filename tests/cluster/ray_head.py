"""A real head node, `ray start --head` in processes of its own: token authentication, loopback
only, own ports and own folder.

It neither finds nor disturbs another Ray on the machine, and its end is the end of its own
processes, by their pids.
"""

import contextlib
import ctypes
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import requests

from cluster.local import free_ports

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 20.0
_NAMED_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "ray-client-server-port",  # nobody uses it, and `ray start` cannot do without
)
_START_TIMEOUTS = (
    "RAY_raylet_start_wait_time_s",
    "RAY_DASHBOARD_STARTUP_TIMEOUT_S",
    "RAY_DASHBOARD_SUBPROCESS_MODULE_WAIT_READY_TIMEOUT",
)
"""Ray's own, of 30 to 60 s, are not enough where many tests share few cores."""
_LIBC = ctypes.CDLL(None)
_LOOPBACK = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Ray's own switch for "this machine only"."""


@dataclass(frozen=True)
class RayHead:
    """A running head node."""

    process: psutil.Process
    """`ray start --block`: the parent of all its processes but the workers, which the raylet
    started."""
    gcs_address: str
    """host:port for `ray.init(address=...)` and `--address`, from a process with `attached_env`."""
    url: str
    """Of the dashboard and the Jobs API."""
    metrics_url: str
    """Where Prometheus scrapes the node."""
    folder: Path
    """Ray's temporary folder, logs included (`session_latest/logs`)."""
    token: str = field(repr=False)

    @property
    def token_env(self) -> dict[str, str]:
        """Environment of a process that may talk to the node, with nothing of Ray's own settings in
        it."""
        return clean_env() | {"RAY_AUTH_TOKEN": self.token}

    @property
    def attached_env(self) -> dict[str, str]:
        """Environment of a process that attaches to the node as a driver."""
        return self.token_env | {
            "RAY_AUTH_MODE": "token",
            "RAY_ADDRESS": self.gcs_address,
            **_LOOPBACK,
        }


@contextlib.contextmanager
def ray_head(*, n_cpus: int = 4, environment: dict[str, str] | None = None) -> Iterator[RayHead]:
    """A head node for the length of the block. `environment` is added to what its processes, and so
    its jobs' drivers and workers, see. Raises TimeoutError, with what it printed, when it does not
    come up."""
    folder = Path(tempfile.mkdtemp(prefix="ray-head-", dir="/tmp"))  # short: it holds sockets
    *free, autoscaler_port, dashboard_port = free_ports(len(_NAMED_PORTS) + 2)
    ports = dict(zip(_NAMED_PORTS, free, strict=True))
    token = secrets.token_hex(32)
    variables = clean_env() | {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": token,
        "RAY_USAGE_STATS_ENABLED": "0",
        **dict.fromkeys(_START_TIMEOUTS, str(int(START_TIMEOUT_S))),
        "AUTOSCALER_METRIC_PORT": str(autoscaler_port),  # fixed ports, unless told
        "DASHBOARD_METRIC_PORT": str(dashboard_port),
        **_LOOPBACK,
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ.get("PATH", "")]
        ),  # `python` of the jobs
    }
    command = [
        str(Path(sys.executable).with_name("ray")),
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
    ]
    command += [
        "--node-ip-address=127.0.0.1",
        "--dashboard-host=127.0.0.1",
        "--include-dashboard=true",
    ]
    command += [
        f"--temp-dir={folder}",
        f"--num-cpus={n_cpus}",
        f"--object-store-memory={200 * 1024**2}",
    ]
    command += [f"--{name}={port}" for name, port in ports.items()]
    printed = folder / "head.out"
    with open(printed, "wb") as output:
        started = subprocess.Popen(
            command,
            env=variables | (environment or {}),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  (one system call, no lock)
            cwd=folder,
        )
    head = RayHead(
        psutil.Process(started.pid),
        gcs_address=f"127.0.0.1:{ports['port']}",
        url=f"http://127.0.0.1:{ports['dashboard-port']}",
        metrics_url=f"http://127.0.0.1:{ports['metrics-export-port']}/metrics",
        folder=folder,
        token=token,
    )
    try:
        _wait_until_up(head, printed)
        yield head
    finally:
        _end(started)
        shutil.rmtree(folder, ignore_errors=True)


def clean_env() -> dict[str, str]:
    """This process's environment without anything that an outer Ray, or a user's settings for Ray,
    put there, and with the project's source importable from any folder."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("RAY_", "NEOBERTA_"))
    }
    return kept | {"PYTHONPATH": str(ROOT)}


def _end_with_parent() -> None:
    """In the child: SIGTERM to itself when the test run dies, however that comes (Linux)."""
    pr_set_pdeathsig = 1
    _LIBC.prctl(pr_set_pdeathsig, signal.SIGTERM)


def _wait_until_up(head: RayHead, printed: Path) -> None:
    """Until the Jobs API and the node's agent answer and the command says that all has started."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while (
        time.monotonic() < deadline
        and head.process.is_running()
        and head.process.status() != psutil.STATUS_ZOMBIE
    ):
        with contextlib.suppress(requests.RequestException):
            headers = {"Authorization": f"Bearer {head.token}"}
            answers = [
                requests.get(url, headers=headers, timeout=10)
                for url in (f"{head.url}/api/jobs/", head.metrics_url)
            ]
            if all(answer.ok for answer in answers) and "Ray runtime started" in printed.read_text(
                errors="replace"
            ):
                return
        time.sleep(0.2)
    raise TimeoutError(f"ray start --head did not come up:\n{printed.read_text(errors='replace')}")


def _end(started: subprocess.Popen[bytes]) -> None:
    """End the node and everything that it started."""
    try:
        processes = psutil.Process(started.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        processes = []
    started.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        started.wait(STOP_TIMEOUT_S)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    started.kill()
    started.wait(STOP_TIMEOUT_S)
    psutil.wait_procs(processes, timeout=STOP_TIMEOUT_S)
