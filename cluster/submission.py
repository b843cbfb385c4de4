"""What a command becomes when it is submitted as a Ray job: its entry point, the files that travel
with it, its name. Pure functions, without ray.

A job's name is the digest of what it does, so the same command finds its own job again. If that job
runs, the command follows it. If it has ended, the command runs anew, under the next number.
"""

import re
import shlex
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.storage import UserError, digest

_ID = re.compile(r"[A-Za-z0-9][\w.-]*")
_PASSWORD_IN_URI = re.compile(r"://[^/\s@]*:[^/\s@]*@")
_SECRET_NAME = re.compile(
    r"(?!.*_(PATH|FILE)$)(.*_)?(TOKEN|SECRET|PASSWORD|PASSWD|(API|ACCESS|PRIVATE)_?KEY)(_.*)?",
    re.IGNORECASE,
)
_NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class Submission:
    """A command to run on a cluster as a job."""

    name: str
    """The first part of the job's id, for people to read."""
    arguments: tuple[str, ...]
    """Arguments of `python -m MODULE`. Paths among them are those that the cluster sees."""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """File name -> content. The files lie in the job's working directory."""
    env_vars: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the driver and of all workers. Everybody who may see the job sees
    them, so they hold no secrets."""
    pip: tuple[str, ...] = ()
    """Requirements that the nodes install first. None where their image has everything."""
    driver_cpus: float = 1.0
    """CPUs of the command itself. Above 0 Ray may place it on any node, otherwise only on the
    head."""
    driver_memory_bytes: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    """Facts that are shown beside the job. They hold no secrets."""

    def __post_init__(self) -> None:
        _check_secrets(self)

    @property
    def job_id(self) -> str:
        """The job's name on every cluster. It depends on the command, the files and the
        environment, not on the code."""
        identity = [self.arguments, _texts(self.files), dict(self.env_vars), self.pip]
        return f"neoberta-{self.name}-{digest(identity, 12)}"

    def entrypoint(self, module: str) -> str:
        """The shell command of the job."""
        return shlex.join(["python", "-m", module, *self.arguments])

    def runtime_env(self, working_dir: Path) -> dict[str, Any]:
        """Ray's description of the environment of the driver and the workers."""
        described: dict[str, Any] = {
            "working_dir": str(working_dir),
            "env_vars": dict(self.env_vars),
        }
        return described | ({"pip": list(self.pip)} if self.pip else {})


def next_id(job_id: str, statuses: Mapping[str, bool]) -> tuple[str, bool]:
    """(id to use, whether a job of that id is running). `statuses` says of every known job whether
    it has ended. Of `job_id`, `job_id-2`, `job_id-3`, ... the latest is used if it is running,
    otherwise the one after it."""
    number = 1
    while (numbered := job_id if number == 1 else f"{job_id}-{number}") in statuses:
        if not statuses[numbered]:
            return numbered, True
        number += 1
    return numbered, False


def check_id(job_id: str) -> str:
    """`job_id`, if it can be the id of a job. Raises UserError."""
    if not _ID.fullmatch(job_id):
        raise UserError(f"{job_id!r}: not the id of a job; see neoberta jobs ls")
    return job_id


def is_in_shared_folder(path: Path, shared: Sequence[Path]) -> bool:
    """Whether the local `path` lies in one of the folders `shared`, which the cluster's nodes see
    too."""
    real = path.expanduser().resolve()
    return any(real.is_relative_to(folder.expanduser().resolve()) for folder in shared)


def fill_working_dir(folder: Path, packages: Sequence[Path], files: Mapping[str, bytes]) -> None:
    """Put what travels with a job into the empty `folder`: the source of `packages`, and `files`.
    Neither data nor caches are copied."""
    for package in packages:
        shutil.copytree(package, folder / package.name, ignore=_NOT_SOURCE)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def exit_code(status: str, driver_exit_code: int | None) -> int:
    """The exit code of a command whose job ended with `status`. It is the driver's own where there
    is one (as in a shell: 128 plus the signal's number for a killed one), 130 when the job was
    stopped, and 1 when it never ran or was lost."""
    if status == "STOPPED":
        return 130
    if status == "SUCCEEDED":
        return 0
    if driver_exit_code is None:
        return 1
    return 128 - driver_exit_code if driver_exit_code < 0 else driver_exit_code


def _texts(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: content.decode(errors="replace") for name, content in files.items()}


def _check_secrets(submission: Submission) -> None:
    """Raises UserError where the job holds a secret. Everybody who may use the cluster can read
    everything of a job."""
    remedy = "give it to the nodes (their role, a mounted secret), never to a job"
    for name in [*submission.env_vars, *submission.metadata]:
        if _SECRET_NAME.fullmatch(name):
            raise UserError(
                f"{name}: looks like a secret, and whoever sees the job sees it; {remedy}"
            )
    places = {
        "the command": submission.arguments,
        **{name: [text] for name, text in _texts(submission.files).items()},
    }
    values = [*submission.env_vars.values(), *submission.metadata.values(), *submission.pip]
    for place, texts in {**places, "the job's configuration": values}.items():
        if any(_PASSWORD_IN_URI.search(text) for text in texts):
            raise UserError(
                f"{place}: holds a URI with a password, and whoever sees the job sees it; {remedy}"
            )
