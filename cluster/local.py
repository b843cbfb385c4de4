"""A local autoscaling cluster: it shows on one machine how a sweep makes a cluster grow and shrink.

    python -m cluster.local --max-nodes 4

The cluster is a head node without CPUs, and up to `--max-nodes` worker nodes. Ray's autoscaler
starts a worker node when work waits, and ends it when it is idle. A "node" is a set of processes on
this machine. It has as many CPUs as it is told to have.

Invariants: everything listens on loopback, on ports and in a folder of its own, and demands a
token. No other Ray on the machine is found, disturbed or stopped. The cluster ends (Ctrl-C) by
ending its own processes, which are known by a mark in their environment.
"""

import argparse
import contextlib
import ctypes
import importlib.util
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
WORKER_TYPE = "worker"
START_TIMEOUT_S, STOP_TIMEOUT_S = 300.0, 5.0
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_HEAD_TYPE = "ray.head.default"  # the fake provider's name for the head
_MARK_ENV_VAR = "NEOBERTA_LOCAL_CLUSTER"
_NODE_STORE_BYTES = 100 * 1024**2
"""Shared memory of a node. Little is needed, since work travels as keys and paths."""
_MEMORY_BYTES_PER_CPU = 2 * 1024**3
"""Memory that the autoscaler expects of a node. The node itself counts the machine's memory."""
_PORTS = (
    "port",
    "dashboard-port",
    "dashboard-agent-listen-port",
    "dashboard-agent-grpc-port",
    "metrics-export-port",
    "ray-client-server-port",
)
_PORTS_TO_CHOOSE_FROM = range(20_000, 32_768)
"""Ports above those of Ray's workers and below those that Linux hands out."""


@dataclass(frozen=True)
class LocalCluster:
    """A running local cluster."""

    address: str
    """host:port of the cluster's GCS, for `--address`. The process must have the variables of
    `environment`."""
    dashboard_url: str | None
    folder: Path
    """The cluster's temporary folder, with its logs (`session_latest/logs`)."""
    token_path: Path
    mark: str = field(repr=False)
    """The value of NEOBERTA_LOCAL_CLUSTER in all its processes."""

    @property
    def environment(self) -> dict[str, str]:
        """The environment variables that a process needs to attach to the cluster."""
        return {
            "RAY_ADDRESS": self.address,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(self.token_path),
            # Ray's own switch for "this machine only": addresses are 127.0.0.1
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        }

    def pids(self) -> list[int]:
        """All its processes: those of the head, of the nodes and of the workers."""
        return _pids_with_mark(self.mark)


@contextlib.contextmanager
def local_cluster(
    *,
    max_nodes: int,
    cpus_per_node: float = 2,
    idle_timeout_s: float = 60.0,
    has_dashboard: bool = False,
) -> Iterator[LocalCluster]:
    """A cluster for the length of the block: a head without CPUs, and from 0 to `max_nodes` nodes
    with `cpus_per_node` each. A node ends when it was idle for `idle_timeout_s`. The dashboard adds
    a dozen processes. Raises TimeoutError, with what Ray printed, when the cluster does not
    start."""
    # in /tmp, because the paths of the sockets in it must be short
    folder = Path(tempfile.mkdtemp(prefix="neoberta-local-", dir="/tmp"))
    ports = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    autoscaler_port, dashboard_port = free_ports(2)
    token_path = folder / "token"
    with os.fdopen(os.open(token_path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
        file.write(secrets.token_hex(32))
    cluster = LocalCluster(
        address=f"127.0.0.1:{ports['port']}",
        dashboard_url=f"http://127.0.0.1:{ports['dashboard-port']}" if has_dashboard else None,
        folder=folder,
        token_path=token_path,
        mark=secrets.token_hex(8),
    )
    config_path = folder / "autoscaling.json"
    config_path.write_text(
        json.dumps(_autoscaling_config(cluster.address, max_nodes, cpus_per_node, idle_timeout_s))
    )
    command = [
        sys.executable,
        "-m",
        "ray.scripts.scripts",
        "start",
        "--head",
        "--block",
        "--disable-usage-stats",
    ]
    command += ["--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1", "--num-cpus=0"]
    command += [f"--include-dashboard={'true' if has_dashboard else 'false'}"]
    command += [f"--temp-dir={folder}", f"--object-store-memory={_NODE_STORE_BYTES}"]
    command += [
        f"--autoscaling-config={config_path}",
        *(f"--{name}={port}" for name, port in ports.items()),
    ]
    others = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = (
        others
        | cluster.environment
        | {
            _MARK_ENV_VAR: cluster.mark,
            "RAY_FAKE_CLUSTER": "1",
            "AUTOSCALER_UPDATE_INTERVAL_S": "1",
            "AUTOSCALER_METRIC_PORT": str(autoscaler_port),
            "DASHBOARD_METRIC_PORT": str(dashboard_port),
            # workers can import what this process can
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
    )
    environment.pop("RAY_ADDRESS")  # the head joins no cluster
    printed = folder / "head.out"
    with open(printed, "wb") as output:
        head = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  (one system call, no lock)
        )
    try:
        _wait_until_up(head, cluster.address, printed)
        yield cluster
    finally:
        _stop(head, cluster)
        shutil.rmtree(folder, ignore_errors=True)


def _end_with_parent() -> None:
    """Called in the head. When the process that started the head is gone, for whatever reason, the
    head gets SIGTERM, on which it ends its nodes (Linux)."""
    if _LIBC is not None:
        _LIBC.prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _autoscaling_config(
    address: str, max_nodes: int, cpus_per_node: float, idle_timeout_s: float
) -> dict[str, Any]:
    """Ray's cluster configuration for its fake multi-node provider. It is complete, because the
    wheel ships no defaults for it."""
    return {
        "cluster_name": "local",
        "max_workers": max_nodes,
        "idle_timeout_minutes": idle_timeout_s / 60,
        "upscaling_speed": float(max_nodes),
        "provider": {
            "type": "external",
            "module": "cluster.compat.local_node_provider",
            "gcs_address": address,
            "launch_multiple": True,
            "use_node_id_as_ip": True,  # all nodes have the address 127.0.0.1
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
        },
        "available_node_types": {
            _HEAD_TYPE: {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            WORKER_TYPE: {
                "resources": {
                    "CPU": cpus_per_node,
                    "memory": int(cpus_per_node * _MEMORY_BYTES_PER_CPU),
                    "object_store_memory": _NODE_STORE_BYTES,
                },
                "node_config": {},
                "min_workers": 0,
                "max_workers": max_nodes,
            },
        },
        "head_node_type": _HEAD_TYPE,
        "auth": {},
        "head_node": {},
        "file_mounts": {},
        "cluster_synced_files": [],
        "file_mounts_sync_continuously": False,
        "rsync_exclude": [],
        "rsync_filter": [],
        "initialization_commands": [],
        "setup_commands": [],
        "head_setup_commands": [],
        "worker_setup_commands": [],
        "head_start_ray_commands": [],
        "worker_start_ray_commands": [],
    }


def free_ports(n: int) -> list[int]:
    """`n` distinct ports that were free a moment ago. The kernel gives none of them to a program
    that asks for any port, so other programs that start on the machine do not take them."""
    found: list[int] = []
    with contextlib.ExitStack() as stack:
        for port in random.SystemRandom().sample(_PORTS_TO_CHOOSE_FROM, len(_PORTS_TO_CHOOSE_FROM)):
            one = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):  # the port is in use
                one.bind(("127.0.0.1", port))
                found.append(port)
            if len(found) == n:
                return found
    raise OSError(f"no {n} ports of {_PORTS_TO_CHOOSE_FROM} are free")


def _wait_until_up(head: subprocess.Popen[bytes], address: str, printed: Path) -> None:
    """Wait until the GCS takes connections and the start of the head has ended."""
    host, _, port = address.partition(":")
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and head.poll() is None:
        if "Ray runtime started" in printed.read_text(errors="replace"):
            with contextlib.suppress(OSError):
                socket.create_connection((host, int(port)), timeout=5).close()
                return
        time.sleep(0.2)
    raise TimeoutError(f"the local cluster did not start:\n{printed.read_text(errors='replace')}")


def _pids_with_mark(mark: str) -> list[int]:
    """Processes that have `mark` in their environment."""
    wanted = f"{_MARK_ENV_VAR}={mark}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if wanted in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
    return found


def _stop(head: subprocess.Popen[bytes], cluster: LocalCluster) -> None:
    """Ask the head to end. Then kill what is left."""
    head.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        head.wait(STOP_TIMEOUT_S)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while time.monotonic() < deadline and (pids := cluster.pids()):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    head.wait()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.local", description="A local autoscaling Ray cluster to try."
    )
    parser.add_argument(
        "--max-nodes", type=int, default=4, help="worker nodes that the autoscaler may start"
    )
    parser.add_argument(
        "--cpus-per-node", type=float, default=2, help="CPUs that each is said to have"
    )
    parser.add_argument(
        "--idle-timeout-s",
        type=float,
        default=60,
        help="seconds without work after which a node ends",
    )
    parser.add_argument(
        "--dashboard", action="store_true", help="with Ray's dashboard and its Jobs API"
    )
    options = parser.parse_args()
    if options.max_nodes < 1 or options.cpus_per_node <= 0 or options.idle_timeout_s <= 0:
        parser.error("--max-nodes, --cpus-per-node and --idle-timeout-s must be positive")
    if importlib.util.find_spec("ray") is None:
        parser.exit(2, f'{parser.prog} needs ray: pip install "neoberta[study]"\n')
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # `python -m` looks for modules in the current folder first: in the nodes a user's file there
    # would hide the package of its name. A checkout may be where everything lies.
    if not sys.flags.safe_path and Path(sys.path[0]).resolve() != ROOT:
        del sys.path[0]
    with (
        contextlib.suppress(KeyboardInterrupt),
        local_cluster(
            max_nodes=options.max_nodes,
            cpus_per_node=options.cpus_per_node,
            idle_timeout_s=options.idle_timeout_s,
            has_dashboard=options.dashboard,
        ) as cluster,
    ):
        dashboard = f" (dashboard: {cluster.dashboard_url})" if cluster.dashboard_url else ""
        print(
            f"A cluster of 0 to {options.max_nodes} nodes listens at {cluster.address}{dashboard}."
        )
        print("In another terminal:\n")
        print(
            "  export " + " ".join(f"{name}={value}" for name, value in cluster.environment.items())
        )
        print(
            "  neoberta sweep CONFIG.yaml --out FOLDER --address auto\n\nCtrl-C ends it.",
            flush=True,
        )
        while True:
            signal.pause()


if __name__ == "__main__":
    main()
