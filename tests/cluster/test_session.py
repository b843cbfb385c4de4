"""The embedded Ray: private, quiet, and gone when its block or its process is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from chaos import is_alive, wait_until

from cluster.resources import local_cpus, threads_for, worker_env

ROOT = Path(__file__).resolve().parents[2]
WAIT_S = 60.0


def run_driver(code: str, tmp_path: Path, **environment: str) -> "subprocess.Popen[str]":
    """A Python process in a clean home and temporary folder that runs `code`; everything that it
    may print is caught."""
    home, temp = tmp_path / "home", tmp_path / "t"
    home.mkdir(exist_ok=True)
    temp.mkdir(exist_ok=True)
    variables = (
        os.environ
        | {"HOME": str(home), "TMPDIR": str(temp), "PYTHONWARNINGS": "default::FutureWarning"}
        | environment
    )
    command = [
        sys.executable,
        "-c",
        "from pathlib import Path\nfrom cluster.session import session\n" + code,
    ]
    path = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'cluster'}"}
    return subprocess.Popen(
        command,
        env=variables | path,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def listening(pid: int) -> Iterator[tuple[str, str]]:
    """(process name, local address) of every TCP socket that `pid` listens on, from the kernel's
    tables."""
    inodes = {}
    for table, width in (("tcp", 8), ("tcp6", 32)):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":  # LISTEN
                raw = bytes.fromhex(fields[1].partition(":")[0][:width])
                words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
                inodes[fields[9]] = socket.inet_ntop(
                    socket.AF_INET if width == 8 else socket.AF_INET6, words
                )
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if target.startswith("socket:[") and target[8:-1] in inodes:
            yield psutil.Process(pid).name(), inodes[target[8:-1]]


# --- in the shared Ray ----------------------------------------------------------------------------


def test_listens_on_loopback_only(local_ray: Path) -> None:
    sockets = []
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            sockets += listening(process.pid)
        except (FileNotFoundError, psutil.NoSuchProcess):  # a worker that has just ended
            continue
    assert {"gcs_server", "raylet"} <= {name for name, _ in sockets}
    assert {address for _, address in sockets} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, sockets


def test_starts_no_dashboard_no_monitor(local_ray: Path) -> None:
    commands = [
        " ".join(process.cmdline()) for process in psutil.Process().children(recursive=True)
    ]
    assert not [
        command for command in commands if "dashboard.py" in command or "monitor.py" in command
    ]


def test_a_session_within_joins_and_leaves_open(local_ray: Path) -> None:
    import ray

    from cluster.resources import available_cpus
    from cluster.session import session

    with session(n_cpus=7) as inner:
        assert inner.n_cpus == available_cpus() == 2
        assert not inner.is_embedded
    assert ray.is_initialized()


# --- on its own -----------------------------------------------------------------------------------

REPORT = """
import json, os, glob, tempfile, psutil, signal
from cluster_work import Multiplier, fail_as_told, square
from cluster.tune import fan_out
from cluster.data import map_shards
before = dict(os.environ), signal.getsignal(signal.SIGTERM)
facts = []
for i in range(2):
    with session(n_cpus=1, log_path=Path("logs/ray.log")) as opened:
        outcomes = fan_out(square, [{"x": 3}], name="t")
        items, factor = [{"x": 2}, {"x": 3}], {"factor": 2}
        shards = map_shards(Multiplier, items, worker_kwargs=factor, n_actors=2, cpus_per_actor=1)
        bad = {"how": "always", "name": "n", "tries": "tries"}
        failed = fan_out(fail_as_told, [bad], name="f", max_failures=0)
        products = [shard["product"] for shard in shards]
        facts.append([opened.address, outcomes[0].result["square"], products, failed[0].error])
after = dict(os.environ), signal.getsignal(signal.SIGTERM)
assert after == before, (set(after[0].items()) ^ set(before[0].items()), after[1])
left = {
    "children": len(psutil.Process().children()),
    "temp": os.listdir(tempfile.gettempdir()) + glob.glob(f"/tmp/neoberta-ray-{os.getpid()}-*"),
    "home": os.listdir(Path.home()),
}
print(json.dumps({"facts": facts, "left": left}))
"""


@pytest.mark.slow
def test_private_quiet_and_tidy(tmp_path: Path) -> None:
    """Two sessions in a row on one CPU: everything works, nothing is printed, nothing is left."""
    driver = run_driver(REPORT, tmp_path)
    stdout, stderr = driver.communicate(timeout=240)
    assert driver.returncode == 0, stderr
    assert stderr == ""
    report = json.loads(stdout)  # one line: nobody else printed
    first, second = report["facts"]
    assert first[1:] == second[1:] == [9, [4, 6], "ValueError: bad luck with n"]
    assert first[0].startswith("127.0.0.1:")
    assert report["left"] == {"children": 0, "temp": [], "home": []}
    log = (tmp_path / "logs" / "ray.log").read_text()
    assert "bad luck with n" in log, "what workers print is in the log"
    assert "ray.tune" in log


USERS_FILES = """
import ray
from cluster.tune import fan_out
from cluster_work import square
for name in ("cluster.py", "cluster_work.py", "pandas.py"):  # as if they had been there before
    Path(name).write_text("raise SystemExit('a file of the user ran')")
with session(n_cpus=1, log_path=Path("ray.log")):
    print(fan_out(square, [{"x": 3}], name="t")[0].result["square"])
    @ray.remote
    def search_path():
        import pandas, sys
        return sys.path
    print(str(Path.cwd()) in map(os.path.realpath, ray.get(search_path.remote())))
"""


@pytest.mark.ray
def test_workers_do_not_look_for_own_modules_in_the_current_folder(tmp_path: Path) -> None:
    driver = run_driver("import os\n" + USERS_FILES, tmp_path)
    stdout, stderr = driver.communicate(timeout=240)
    assert (driver.returncode, stdout, stderr) == (0, "9\nFalse\n", "")


DEAD_WORKER = """
with session(n_cpus=1, log_path=Path("ray.log")):
    import os, ray
    @ray.remote(max_retries=1)
    def die_once(path):
        if not os.path.exists(path):
            open(path, "w").close()
            os.kill(os.getpid(), 9)
        return "alive"
    print(ray.get(die_once.remote(os.path.abspath("died"))))
    import time
    deadline = time.monotonic() + 60
    while "ray.errors" not in Path("ray.log").read_text() and time.monotonic() < deadline:
        time.sleep(0.2)
"""


@pytest.mark.slow
def test_a_dead_worker_is_in_the_log_and_not_on_the_terminal(tmp_path: Path) -> None:
    driver = run_driver(DEAD_WORKER, tmp_path)
    stdout, stderr = driver.communicate(timeout=240)
    assert (driver.returncode, stdout, stderr) == (0, "alive\n", "")
    assert "die_once" in (tmp_path / "ray.log").read_text()


LOST_NODE = """
import psutil, sys
from cluster.tune import fan_out
from cluster_work import sleep
with session(n_cpus=1, log_path=Path("ray.log")):
    children = psutil.Process().children(recursive=True)
    victim = next(child for child in children if sys.argv[-1] in " ".join(child.cmdline()))
    def kill_it(outcome):
        victim.kill()
    naps = [{"seconds": 0.1}, *[{"seconds": 600 + i} for i in range(3)]]
    fan_out(sleep, naps, name="n", on_done=kill_it)
print("not reached")
"""


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["raylet/raylet", "DashboardAgent", "RuntimeEnvAgent"])
def test_a_lost_node_ends_the_command_instead_of_holding_it_for_ever(
    tmp_path: Path, victim: str
) -> None:
    driver = run_driver(LOST_NODE.replace("sys.argv[-1]", repr(victim)), tmp_path)
    stdout, stderr = driver.communicate(timeout=240)
    assert driver.returncode in (1, 128 + signal.SIGTERM) and stdout == "", stderr
    if (
        driver.returncode == 1 and victim == "raylet/raylet"
    ):  # Ray's core was the faster: it ends the process without a word
        assert "Traceback" not in stderr
    else:
        assert "give the same command again" in stderr.splitlines()[0]


OPEN_AND_WAIT = """
import time
with session(n_cpus=1):
    import ray
    ray.get(ray.remote(lambda: 1).remote())
    try:
        print(ray.get_runtime_context().gcs_address, flush=True)
        time.sleep(300)
    finally:
        print("block left", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "stop", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda stop: stop.name
)
def test_ends_with_its_process(
    tmp_path: Path, stop: signal.Signals, orphans: list[psutil.Process]
) -> None:
    driver = run_driver(OPEN_AND_WAIT, tmp_path)
    assert driver.stdout is not None
    assert driver.stdout.readline().startswith("127.0.0.1:")
    started = psutil.Process(driver.pid).children(recursive=True)
    assert {"gcs_server", "raylet"} <= {process.name() for process in started}
    working = [process for process in started if "Agent" not in process.name()]
    driver.send_signal(stop)
    stdout, stderr = driver.communicate(timeout=WAIT_S)
    wait_until(
        lambda: not any(is_alive(process) for process in working),
        WAIT_S,
        f"{working} to end with the driver",
    )
    if stop == signal.SIGKILL:
        orphans += started  # two agents, idle, report to a GCS that is no more for 60 s
        return
    assert stdout == "block left\n"
    assert driver.returncode == (143 if stop == signal.SIGTERM else -signal.SIGINT)
    assert "*** SIGTERM" not in stderr
    assert list((tmp_path / "t").iterdir()) == []


FAN_OUT = 'fan_out(sleep, [item] * 4, name="t", on_done=say)'
MAP_SHARDS = (
    "map_shards(Sleeper, [item] * 4, worker_kwargs={}, n_actors=1, cpus_per_actor=1, on_done=say)"
)


@pytest.mark.slow
@pytest.mark.parametrize("work", [FAN_OUT, MAP_SHARDS], ids=["fan_out", "map_shards"])
def test_ctrl_c_in_the_middle_of_work(tmp_path: Path, work: str) -> None:
    code = f"""
from cluster_work import Sleeper, sleep
from cluster.tune import fan_out
from cluster.data import map_shards
item, say = {{"seconds": 3, "x": 0}}, lambda _: print("done", flush=True)
with session(n_cpus=1):
    {work}
"""
    driver = run_driver(code, tmp_path)
    assert driver.stdout is not None
    assert driver.stdout.readline() == "done\n"
    started = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGINT)
    stdout, stderr = driver.communicate(timeout=WAIT_S)
    assert stdout.count("done") <= 1, "it stopped rather than going on to the end"
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert driver.returncode == -signal.SIGINT
    wait_until(
        lambda: not any(is_alive(process) for process in started),
        WAIT_S,
        f"{started} to end with the driver",
    )
    assert list((tmp_path / "t").iterdir()) == []
    assert [path for path in tmp_path.glob("out/*") if not path.name.startswith(".")] == []


@pytest.mark.slow
def test_two_at_once_do_not_meet(tmp_path: Path) -> None:
    """Each has its own address, also where RAY_ADDRESS points at the other; the one that ends first
    leaves the other alone."""
    first = run_driver(OPEN_AND_WAIT, tmp_path)
    assert first.stdout is not None
    address = first.stdout.readline().strip()
    second = run_driver(
        OPEN_AND_WAIT.replace("time.sleep(300)", "pass"), tmp_path, RAY_ADDRESS=address
    )
    stdout, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    other = stdout.splitlines()[0]
    assert other.startswith("127.0.0.1:")
    assert other != address
    assert first.poll() is None
    assert {"gcs_server", "raylet"} <= {
        process.name() for process in psutil.Process(first.pid).children(recursive=True)
    }
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=WAIT_S)


@pytest.mark.slow
def test_no_ray_at_the_address(tmp_path: Path) -> None:
    code = """
from cluster.storage import UserError
try:
    with session("127.0.0.1:1"):
        pass
except UserError as error:
    print(error)
"""
    driver = run_driver(code, tmp_path)
    stdout, stderr = driver.communicate(timeout=120)
    assert stdout.startswith("--address 127.0.0.1:1: no Ray there"), stdout + stderr
    assert stdout.count("\n") == 1
    assert stderr == ""


# --- resources ------------------------------------------------------------------------------------


def test_cpus_of_a_container(tmp_path: Path) -> None:
    quota = tmp_path / "cpu.max"
    assert local_cpus(quota) == len(os.sched_getaffinity(0))
    quota.write_text("max 100000\n")
    assert local_cpus(quota) == len(os.sched_getaffinity(0))
    quota.write_text("100000 100000\n")
    assert local_cpus(quota) == 1
    quota.write_text("10000 100000\n")
    assert local_cpus(quota) == 1


def test_threads() -> None:
    assert [threads_for(cpus) for cpus in (0.25, 1, 1.5, 4)] == [1, 1, 1, 4]
    assert set(worker_env(3).values()) == {"3", "false"}


@pytest.mark.slow
def test_limit_threads_reaches_loaded_libraries() -> None:
    code = """
import numpy, torch, threadpoolctl
from cluster.resources import limit_threads
limit_threads(1)
print(torch.get_num_threads(), {pool["num_threads"] for pool in threadpoolctl.threadpool_info()})
"""
    child = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert child.stdout.split("\n")[0] == "1 {1}"
