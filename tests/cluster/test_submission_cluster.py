"""Commands submitted to a real head node by real processes from another folder: what arrives, what
is refused, what is left."""

import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import psutil
import pytest
import yaml
from pilot_runs import probe_table
from ray_head import RayHead

pytestmark = pytest.mark.cluster

TIMEOUT_S = 300
ANSWER_TIMEOUT_S = 120.0
ORPHANS_GONE_S = 30.0
RAY_DATA_SERVICES = {
    "ActorLocationTracker",
    "_StatsActor",
    "_AutoscalingCoordinatorActor",
    "_UsageCollectionActor",
}
SECRET = "hush-hush-0123456789"
N_WORDS, N_ROWS, DIM = 60, 400, 16

ONE_OF_EACH_KIND = {
    "neobertas": {
        "neoberta-2x64": {
            "model": {"n_layers": 2, "hidden_size": 64, "max_length": 64},
            "n_tokens": 30_000,
            "n_workers": 2,
        }
    },
    "encoders": [
        {"ref": "neoberta:neoberta-2x64"},
        {"ref": "lsa:64"},
        {"ref": "hf:all-MiniLM-L6-v2", "layers": [6]},
    ],
    "sweep.n_seeds": 2,
    "search.n_trials": 1,
}
"""What makes the smoke study smaller: a NeoBERTa of two workers, and an encoder that is fitted, one
that is pretrained here and one from elsewhere."""

LOOK = """
import json, sys
from ray.job_submission import JobSubmissionClient
from ray.util.state import list_actors, list_placement_groups
url = sys.argv[1]
client = JobSubmissionClient(url)
for question in sys.stdin:
    print(json.dumps(eval(question)), flush=True)
"""
ACTORS = (
    "[[actor.class_name, bool((actor.required_resources or {}).get('CPU'))] for actor in"
    " list_actors(address=url, limit=1000, detail=True, filters=[('state', '!=', 'DEAD')])]"
)
GROUPS = (
    "[group.name for group in"
    " list_placement_groups(address=url, limit=1000, filters=[('state', '!=', 'REMOVED')])]"
)


class Observer:
    """A process beside the cluster that looks at it, with a `client` of its Jobs API. One for all
    questions: a new process would take seconds to import Ray."""

    def __init__(self, head: RayHead):
        environment = {
            name: value for name, value in head.attached_env.items() if name != "RAY_ADDRESS"
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", LOOK, head.url],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: str) -> Any:
        """The value of an expression."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(question, file=self.process.stdin, flush=True)
        assert select.select([self.process.stdout], [], [], ANSWER_TIMEOUT_S)[0], question
        return json.loads(self.process.stdout.readline())

    def alive(self) -> dict[str, list[str]]:
        """Actors and placement groups that are not dead or removed, but for those that supervise
        the jobs and Ray Data's services, of which a cluster keeps one each, without a CPU, as long
        as it lives."""
        actors = self.ask(ACTORS)
        services = [
            name for name, takes_cpu in actors if name in RAY_DATA_SERVICES and not takes_cpu
        ]
        assert len(services) == len(set(services)), f"each user's work has left its own: {services}"
        own = [
            name
            for name, takes_cpu in actors
            if name != "JobSupervisor" and (name not in services or takes_cpu)
        ]
        return {"actors": own, "groups": self.ask(GROUPS)}


@dataclass(frozen=True)
class Users:
    """A folder that the cluster sees (it is the same machine), with a user's data and
    configurations in it."""

    head: RayHead
    observer: Observer
    shared: Path
    elsewhere: Path
    """Where the commands are started."""

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "ray_jobs.cli", *arguments],
            env=self.head.token_env | {"NEOBERTA_SHARED_PATHS": str(self.shared)} | environment,
            cwd=self.elsewhere,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def submit(
        self, command: str, *arguments: str, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return self.run(command, *arguments, "--address", self.head.url, **environment)

    def job_ids(self) -> list[str]:
        listed = self.run("jobs", "ls", "--address", self.head.url)
        assert listed.returncode == 0, listed.stderr
        return [
            word
            for line in listed.stdout.splitlines()
            for word in line.split()
            if word.startswith("neoberta-")
        ]

    def study(self, name: str, *, n_seeds: int) -> Path:
        """A study of two tasks and word vectors; 1000 seeds keep the probes busy for minutes."""
        tasks = [str(self.shared / f"task{i}.csv") for i in range(2)]
        value = {
            "name": name,
            "tasks": tasks,
            "docs": {"packages": ["networkx"]},
            "tokenizer": {"vocab_size": 512, "max_texts": 500},
            "encoders": [{"ref": f"static:{self.shared}/vectors.txt", "poolings": ["mean"]}],
            "sweep": {
                "sizes": [16, 64],
                "n_seeds": n_seeds,
                "logistic_sizes": [16, 64],
                "logistic_n_seeds": n_seeds,
            },
            "metamodel": {"observations": {"sizes": [16], "n_seeds": 1}},
            "characterize": {"task": tasks[0]},
        }
        path = self.elsewhere / f"{name}.yaml"
        path.write_text(yaml.safe_dump(value))
        return path


@pytest.fixture(scope="module")
def observer(head: RayHead) -> Iterator[Observer]:
    started = Observer(head)
    yield started
    started.process.kill()
    started.process.communicate()


@pytest.fixture(scope="module")
def users(head: RayHead, observer: Observer, tmp_path_factory: pytest.TempPathFactory) -> Users:
    import numpy as np

    shared, elsewhere = tmp_path_factory.mktemp("shared"), tmp_path_factory.mktemp("elsewhere")
    generator = np.random.default_rng(0)
    words = [f"word{i}" for i in range(N_WORDS)]
    vectors = generator.standard_normal((N_WORDS, DIM))
    lines = [
        " ".join([word, *(f"{value:.4f}" for value in vector)])
        for word, vector in zip(words, vectors, strict=True)
    ]
    (shared / "vectors.txt").write_text("\n".join(lines) + "\n")
    for task in range(2):
        own = generator.integers(0, N_WORDS, (N_ROWS, 5))
        own[:, 0] = own[:, 0] // 2 * 2 + np.arange(N_ROWS) % 2  # the first word tells the class
        rows = [(" ".join(words[j] for j in row), f"class{row[0] % 2}") for row in own]
        pd.DataFrame(rows, columns=["text", "label"]).to_csv(
            shared / f"task{task}.csv", index=False
        )
    return Users(head, observer, shared, elsewhere)


@pytest.fixture(scope="module")
def alone(users: Users) -> pd.DataFrame:
    """The probes of a study that was swept on this machine, without any cluster."""
    out = users.shared / "alone"
    swept = users.run("sweep", str(users.study("alone", n_seeds=4)), "--out", str(out))
    assert swept.returncode == 0, swept.stderr
    return probe_table(out)


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "message"),
    [("", "the cluster asks for a token"), ("f" * 64, "the token is not this cluster's")],
)
def test_without_its_token_one_line(users: Users, tmp_path: Path, token: str, message: str) -> None:
    arguments = (str(users.study("refused", n_seeds=1)), "--out", str(users.shared / "refused"))
    refused = users.submit("sweep", *arguments, RAY_AUTH_TOKEN=token, HOME=str(tmp_path))
    assert refused.returncode == 2
    assert (
        refused.stderr.count("\n") == 1
        and message in refused.stderr
        and "RAY_AUTH_TOKEN_PATH" in refused.stderr
    )
    assert refused.stdout == "" and not (users.shared / "refused").exists()
    assert users.head.token not in refused.stderr


@pytest.mark.parametrize("token", ["", "f" * 64], ids=["none", "another"])
def test_attaching_without_its_token_is_one_line(users: Users, tmp_path: Path, token: str) -> None:
    arguments = (
        "embed",
        str(users.study("refused", n_seeds=1)),
        "--out",
        str(users.shared / "attached-refused"),
    )
    environment = users.head.attached_env | {"RAY_AUTH_TOKEN": token, "HOME": str(tmp_path)}
    refused = users.run(*arguments, "--address", users.head.gcs_address, **environment)
    assert refused.returncode == 2
    said = [line for line in refused.stderr.splitlines() if line.startswith("neoberta: ")]
    assert len(said) == 1 and "token" in said[0], refused.stderr
    assert "Traceback" not in refused.stderr


def test_paths_that_the_cluster_does_not_see_are_named_and_nothing_is_sent(users: Users) -> None:
    before = users.job_ids()
    refused = users.submit(
        "sweep",
        str(users.study("unseen", n_seeds=1)),
        "--out",
        "results",
        NEOBERTA_SHARED_PATHS=str(users.elsewhere / "nowhere"),
    )
    assert refused.returncode == 2 and refused.stderr.count("\n") == 1
    for unseen in (
        f"--out {users.elsewhere}/results",
        f"task {users.shared}/task1.csv",
        f"static:{users.shared}/vectors.txt",
    ):
        assert unseen in refused.stderr
    assert "s3://" in refused.stderr and "--shared-path" in refused.stderr
    assert users.job_ids() == before


# --- a job from its submission to its end ---------------------------------------------------------


def test_a_sweep_arrives_streams_and_tells_nobody_a_secret(
    users: Users, alone: pd.DataFrame
) -> None:
    out = users.shared / "swept"
    arguments = ("sweep", str(users.study("alone", n_seeds=4)), "--out", str(out))
    swept = users.submit(*arguments, MY_API_KEY=SECRET, AWS_SECRET_ACCESS_KEY=SECRET)
    assert swept.returncode == 0, swept.stdout + swept.stderr
    job_id = swept.stderr.split("submitted: ")[1].split()[0]
    assert f"dashboard: {users.head.url}/#/jobs/{job_id}" in swept.stderr
    assert "probes: " in swept.stdout and f"sweep: done, in {out}" in swept.stdout
    pd.testing.assert_frame_equal(probe_table(out), alone)

    again = users.submit(*arguments)
    assert (
        again.returncode == 0
        and f"submitted: {job_id}-2" in again.stderr
        and "probes: already there" in again.stdout
    )
    assert {job_id, f"{job_id}-2"} <= set(users.job_ids())
    logs = users.run("jobs", "logs", job_id, "--address", users.head.url)
    assert logs.returncode == 0 and logs.stdout == swept.stdout

    described = users.observer.ask(f"client.get_job_info({job_id!r}).json()")
    assert job_id in described
    written = "".join(
        path.read_text(errors="replace")
        for path in users.head.folder.glob("session_2*/logs/**/*")
        if path.is_file()
    )
    assert job_id in written
    for text in (described, written, swept.stdout, swept.stderr):
        assert SECRET not in text and users.head.token not in text


def test_a_mistake_that_only_the_cluster_can_see_is_exit_code_2(users: Users) -> None:
    (users.shared / "occupied").write_text("a file")
    failed = users.submit(
        "sweep", str(users.study("alone", n_seeds=4)), "--out", str(users.shared / "occupied")
    )
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "choose another --out" in failed.stdout and "Traceback" not in failed.stdout


def test_two_users_at_once_do_not_disturb_each_other(users: Users, alone: pd.DataFrame) -> None:
    studies = [users.study("alone", n_seeds=4), users.study("other", n_seeds=5)]
    outs = [users.shared / "first", users.shared / "second"]
    running = [
        users.start("sweep", str(study), "--out", str(out), "--address", users.head.url)
        for study, out in zip(studies, outs, strict=True)
    ]
    ended = [process.communicate(timeout=TIMEOUT_S) for process in running]
    assert [process.returncode for process in running] == [0, 0], ended
    pd.testing.assert_frame_equal(probe_table(outs[0]), alone)
    second = probe_table(outs[1])
    shared_seeds = second[second.seed < 4].reset_index(drop=True)
    pd.testing.assert_frame_equal(shared_seeds, alone)
    assert len(second) > len(alone)


# --- leaving and stopping -------------------------------------------------------------------------


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(users: Users) -> None:
    with _working(users, "left") as process:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130
        job_id = stderr.split("submitted: ")[1].split()[0]
        assert (
            f"neoberta jobs logs {job_id} --follow --address {users.head.url}" in stderr
            and "Traceback" not in stderr
        )
        assert users.observer.ask(f"client.get_job_status({job_id!r})") == "RUNNING"

        follower = users.start(
            "sweep",
            str(users.study("left", n_seeds=1000)),
            "--out",
            str(users.shared / "left"),
            *_at(users),
        )
        _wait_for(lambda: bool(psutil.Process(follower.pid).net_connections()), "it follows")
        stopped = users.run("jobs", "stop", job_id, *_at(users))
        assert stopped.returncode == 0 and stopped.stdout == f"{job_id}: STOPPED\n"
        _, stderr = follower.communicate(timeout=60)
        assert follower.returncode == 130 and f"running already: {job_id}" in stderr
        _assert_nothing_is_left(users.observer)


def test_a_killed_driver_leaves_nothing(users: Users) -> None:
    with _working(users, "killed") as process:
        [driver] = [
            driver
            for driver in _drivers(users.head)
            if str(users.shared / "killed") in " ".join(driver.cmdline())
        ]
        driver.kill()
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 137, stdout + stderr
        _assert_nothing_is_left(users.observer)


def test_ctrl_c_of_an_attached_command_leaves_nothing(users: Users) -> None:
    arguments = (
        "sweep",
        str(users.study("attached", n_seeds=1000)),
        "--out",
        str(users.shared / "attached"),
    )
    process = users.start(*arguments, "--address", "auto", **users.head.attached_env)
    try:
        _wait_for(
            lambda: len(users.observer.alive()["actors"]) > 0 and process.poll() is None,
            "actors of the attached command",
        )
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 130 and f"Ray dashboard: {users.head.url}" in stderr, stderr
        _assert_nothing_is_left(users.observer)
    finally:
        process.kill()


# --- the whole study ------------------------------------------------------------------------------


def test_the_smoke_pilot_from_another_folder(users: Users) -> None:
    """Smaller than the preset: here the way counts, tests/faults/test_pilot.py looks at the whole
    study."""
    out = users.shared / "smoke"
    smaller = [f"--set={key}={json.dumps(value)}" for key, value in ONE_OF_EACH_KIND.items()]
    process = users.start("pilot", "--preset", "smoke", "--out", str(out), *smaller, *_at(users))
    stdout, stderr = process.communicate(timeout=1500)
    assert process.returncode == 0, stdout + stderr
    assert f"report: {out}/reports/report.html" in stdout and "6. Which hyperparameters?" in stdout
    assert (out / "reports" / "report.html").stat().st_size > 10_000
    assert (out / "probes").is_dir() and list((out / "checkpoints").glob("*/model.safetensors"))
    assert not list(users.elsewhere.glob("pilot*")), (
        "nothing is written where the command was given"
    )
    _assert_nothing_is_left(users.observer)


# --- looking at the cluster -----------------------------------------------------------------------


def _at(users: Users) -> tuple[str, str]:
    return "--address", users.head.url


def _working(users: Users, name: str) -> "_Working":
    return _Working(users, name)


class _Working:
    """A long sweep that was submitted and has its workers; its command and its job are ended with
    the block."""

    def __init__(self, users: Users, name: str):
        self._users = users
        study = users.study(name, n_seeds=1000)
        self.process = users.start(
            "sweep", str(study), "--out", str(users.shared / name), *_at(users)
        )

    def __enter__(self) -> subprocess.Popen[str]:
        _wait_for(lambda: len(self._users.observer.alive()["groups"]) > 0, "the sweep has workers")
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        for driver in _drivers(self._users.head):
            driver.kill()


def _drivers(head: RayHead) -> Iterator[psutil.Process]:
    """The drivers of the jobs that run on the node."""
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environ = process.info["cmdline"] or [], process.info["environ"] or {}
        if {"ray_jobs.cli", "--address=auto"} <= set(command) and environ.get(
            "RAY_ADDRESS"
        ) == head.gcs_address:
            yield process


def _assert_nothing_is_left(observer: Observer) -> None:
    deadline = time.monotonic() + ORPHANS_GONE_S
    while (left := observer.alive()) != {"actors": [], "groups": []}:
        assert time.monotonic() < deadline, f"after {ORPHANS_GONE_S} s: {left}"
        time.sleep(0.3)


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 180
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.3)
