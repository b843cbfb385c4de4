"""Shared by all tests: one small Ray for those that need one, and the order of the tiers (unit,
ray, slow)."""

import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    import psutil
    from s3_server import S3Server

if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # so starts what a shell runs in the background; children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)  # how long an example takes says how busy the machine is
settings.load_profile("busy machine")

TIERS = ("ray", "slow", "cluster", "grid", "kills")
ORPHANS_END_S = 150
"""Ray's agents ask after the dead GCS for a minute before they give up."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that uses the shared Ray is of the ray tier; quick tiers run first, so that what is
    broken is known soon."""
    for item in items:
        if "local_ray" in getattr(item, "fixturenames", ()):
            item.add_marker("ray")
    items.sort(
        key=lambda item: max(
            (1 + TIERS.index(mark.name) for mark in item.iter_markers() if mark.name in TIERS),
            default=0,
        )
    )


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One embedded Ray with 2 CPUs for the whole run; code under test that opens a session joins
    it. Yields its log file."""
    from cluster.session import session

    log_path = tmp_path_factory.mktemp("ray") / "ray.log"
    with session(n_cpus=2, log_path=log_path):
        yield log_path


class CommandLine(Protocol):
    """`neoberta`, run in a folder: how it ended and what it printed."""

    def __call__(self, *arguments: str) -> "subprocess.CompletedProcess[str]": ...


@pytest.fixture
def neoberta(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandLine:
    """`neoberta ARGUMENTS` in the folder `tmp_path`, called in this process: a process of its own
    takes two seconds or more to import what is here already. Warnings are shown or not shown as
    there. What a fresh process alone can print, while it imports, the tests with a process see."""
    from ray_jobs import cli

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["neoberta", *arguments])
        capfd.readouterr()
        with warnings.catch_warnings():
            warnings.resetwarnings()
            with pytest.raises(SystemExit) as ended:
                cli.main()
        printed = capfd.readouterr()
        return subprocess.CompletedProcess(
            sys.argv, int(ended.value.code or 0), printed.out, printed.err
        )

    return run


@pytest.fixture(scope="session")
def orphans() -> "Iterator[list[psutil.Process]]":
    """Takes the processes below a driver that a test has killed. When all tests are over, they must
    have ended by themselves: other tests run while they take their time."""
    from chaos import is_alive

    left_behind: list[psutil.Process] = []
    yield left_behind
    deadline = time.monotonic() + ORPHANS_END_S
    while (alive := list(filter(is_alive, left_behind))) and time.monotonic() < deadline:
        time.sleep(0.5)
    for process in alive:
        process.kill()
    assert not alive


@pytest.fixture(scope="session")
def s3_server() -> "Iterator[S3Server]":
    """A real S3 server on loopback, without a bucket. Skips where the extra `test` is not installed
    whole."""
    pytest.importorskip("moto", reason="needs moto: pip install -e '.[test]'")
    from s3_server import running_s3

    with running_s3() as server:
        yield server


@pytest.fixture
def s3(s3_server: "S3Server", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "S3Server":
    """An empty bucket that this process and those it starts reach through the standard AWS_*
    variables; `s3.root` is a URI for `Storage`. Copies of artefacts on this node go to a folder of
    the test's own."""
    from s3_server import s3_environment

    for name, value in s3_environment(s3_server.endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEOBERTA_CACHE_DIR", str(tmp_path / "node-cache"))
    return s3_server.with_new_bucket()


@pytest.fixture(scope="session")
def undisturbed_sweep(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(inputs, output) of the sweep of `sweep_runs`, run once in a Ray of its own and left
    alone."""
    import sweep_runs

    inputs, out = tmp_path_factory.mktemp("inputs"), tmp_path_factory.mktemp("undisturbed")
    sweep_runs.write_inputs(inputs)
    subprocess.run(
        [sys.executable, sweep_runs.__file__, str(inputs), str(out)], check=True, timeout=900
    )
    return inputs, out


@pytest.fixture(scope="session")
def undisturbed_pretraining(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Output of the run of `pretrain_runs`, made once in a Ray of its own and left alone."""
    import pretrain_runs

    out = tmp_path_factory.mktemp("undisturbed-pretraining")
    subprocess.run(
        [sys.executable, pretrain_runs.__file__, str(out)],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=900,
    )
    return out
