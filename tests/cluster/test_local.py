"""The local autoscaling cluster: it grows under a sweep and shrinks after it, and nothing else on
the machine notices."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
from chaos import wait_until
from pilot_runs import probe_table

from cluster.local import LocalCluster, local_cluster

pytestmark = pytest.mark.cluster

SWEEP = Path(__file__).parents[1] / "faults" / "sweep_runs.py"
IDLE_TIMEOUT_S = 8.0
TIMEOUT_S = 600.0


def n_nodes(cluster: LocalCluster) -> int:
    """Nodes that run, the head included: each has one raylet."""
    n_found = 0
    for pid in cluster.pids():
        with suppress(psutil.NoSuchProcess):
            line = psutil.Process(pid).cmdline()
            n_found += bool(line) and line[0].endswith("raylet/raylet")
    return n_found


@contextmanager
def nodes_watched(cluster: LocalCluster) -> Iterator[list[int]]:
    """Numbers of nodes, each second."""
    counts: list[int] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(1.0):
            counts.append(n_nodes(cluster))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield counts
    finally:
        is_over.set()
        thread.join()


def test_a_sweep_grows_the_cluster_and_lets_it_shrink(undisturbed_sweep, tmp_path):
    inputs, undisturbed = undisturbed_sweep
    with local_cluster(max_nodes=3, cpus_per_node=1, idle_timeout_s=IDLE_TIMEOUT_S) as cluster:
        assert n_nodes(cluster) == 1
        with nodes_watched(cluster) as counts:
            command = [
                sys.executable,
                str(SWEEP),
                str(inputs),
                str(tmp_path / "out"),
                cluster.address,
            ]
            subprocess.run(
                command, check=True, timeout=TIMEOUT_S, env=os.environ | cluster.environment
            )
            wait_until(
                lambda: n_nodes(cluster) == 1, TIMEOUT_S, "the cluster to shrink to its head"
            )
        assert counts[0] == 1 and max(counts) >= 3
    pd.testing.assert_frame_equal(probe_table(tmp_path / "out"), probe_table(undisturbed))


def test_it_listens_on_loopback_demands_its_token_and_ends_alone():
    with local_cluster(max_nodes=1) as other, local_cluster(max_nodes=1) as cluster:
        pids = cluster.pids()
        listening = [
            connection.laddr.ip
            for pid in pids
            for connection in psutil.Process(pid).net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert len(listening) >= 5 and {ip.removeprefix("::ffff:") for ip in listening} <= {
            "127.0.0.1",
            "::1",
        }
        assert cluster.token_path.stat().st_mode & 0o077 == 0
        token = cluster.token_path.read_text()
        lines = [part for pid in pids for part in psutil.Process(pid).cmdline()]
        assert not [part for part in lines if token in part], "a secret is in no command line"
        others = other.pids()
        assert others and not set(others) & set(pids)
        code = (
            f"import ray; ray.init({cluster.address!r}, log_to_driver=False);"
            " print(len(ray.nodes()))"
        )
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith("RAY_")
        }
        wrong = cluster.environment | {"RAY_AUTH_TOKEN_PATH": str(other.token_path)}
        refused, taken = (
            subprocess.run(
                [sys.executable, "-c", code],
                check=False,
                env=variables | env,
                capture_output=True,
                text=True,
                timeout=120,
            )
            for env in (wrong, cluster.environment)
        )
        assert refused.returncode != 0
        assert taken.stdout.strip() == "1", taken.stderr
    assert cluster.pids() == other.pids() == []
    assert not cluster.folder.exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_command_says_how_to_use_it_and_ends_whole(how):
    command = [sys.executable, "-m", "cluster.local", "--max-nodes", "1"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    said = ""
    while "Ctrl-C" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    assert "export RAY_ADDRESS=127.0.0.1:" in said and "--address auto" in said
    token_path = said.partition("RAY_AUTH_TOKEN_PATH=")[2].split()[0]
    assert Path(token_path).exists() and processes_with(token_path)
    process.send_signal(how)
    assert process.wait(60) == (-how if how == signal.SIGKILL else 0)
    wait_until(lambda: not processes_with(token_path), 90, "its processes to end")
    assert Path(token_path).exists() == (how == signal.SIGKILL)
    shutil.rmtree(Path(token_path).parent, ignore_errors=True)


def processes_with(value: str) -> list[int]:
    """Processes that have `value` in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if value in process.environ().values():
                found.append(process.pid)
    return found
