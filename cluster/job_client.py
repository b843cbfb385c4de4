"""Ray's Jobs API as the command line needs it: submit a job once, follow it, come back to it, stop
it. A job runs on without this process."""

import asyncio
import contextlib
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import requests
from ray.exceptions import AuthenticationError
from ray.job_submission import JobDetails, JobSubmissionClient

from cluster.authentication import TOKEN_REMEDY, check_jobs_url, find_token
from cluster.environment import environment
from cluster.retries import call_with_retries
from cluster.storage import UserError
from cluster.submission import Submission, exit_code, fill_working_dir, next_id

POLL_INTERVAL_S = 1.0
STOP_TIMEOUT_S = 30.0
N_TRIES, FIRST_WAIT_S = 8, 0.5  # about a minute of retries when the head does not answer
_NO_ANSWER = (OSError, RuntimeError, aiohttp.ClientError, requests.RequestException)
_OVERRIDING = dict.fromkeys(("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"))
"""Environment variables that would make Ray's client talk to another address than the one that it
is given and that has been checked."""


class LostContactError(Exception):
    """The cluster stopped answering. Its jobs run on."""


@dataclass(frozen=True)
class Job:
    """A submitted job."""

    job_id: str
    status: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or STOPPED."""
    entrypoint: str
    started_at: datetime
    seconds: float
    """From submission to the job's end, or to now."""
    message: str


class JobClient:
    """A connection to the Jobs API at `url`. Raises UserError where the address is not allowed, no
    cluster answers there, or the token is missing or wrong."""

    def __init__(self, url: str, *, insecure: bool = False):
        token = find_token()
        check_jobs_url(url, token, insecure=insecure)
        self.url = url.rstrip("/")
        for handler in logging.getLogger("ray").handlers:
            handler.setLevel(logging.WARNING)  # at INFO it would print a line for every upload
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        verify = os.environ.get("REQUESTS_CA_BUNDLE") or True
        with _errors_explained(url), environment(_OVERRIDING):
            self._client = JobSubmissionClient(self.url, headers=headers, verify=verify)

    def dashboard_url(self, job_id: str) -> str:
        """The job's page on Ray's dashboard."""
        return f"{self.url}/#/jobs/{job_id}"

    def submit(
        self, submission: Submission, *, module: str, packages: Sequence[Path]
    ) -> tuple[str, bool]:
        """Have the cluster run `python -m module ...` with the source of `packages`.

        Returns:
            The job's id, and whether it is new: False where the same submission was running
            already.

        Raises:
            UserError: The cluster refused the job, or cannot be reached.
        """
        known = {
            job.job_id: job.status in ("SUCCEEDED", "FAILED", "STOPPED") for job in self.jobs()
        }
        job_id, is_running = next_id(submission.job_id, known)
        if is_running:
            return job_id, False
        with tempfile.TemporaryDirectory(prefix="neoberta-job-") as folder:
            fill_working_dir(Path(folder), packages, submission.files)
            with _errors_explained(self.url):
                self._client.submit_job(
                    entrypoint=submission.entrypoint(module),
                    submission_id=job_id,
                    runtime_env=submission.runtime_env(Path(folder)),
                    metadata=dict(submission.metadata),
                    entrypoint_num_cpus=submission.driver_cpus,
                    entrypoint_memory=submission.driver_memory_bytes or None,
                )
        return job_id, True

    def jobs(self) -> list[Job]:
        """Every submitted job that the cluster remembers, oldest first. Raises UserError."""
        with _errors_explained(self.url):
            details = [details for details in self._client.list_jobs() if details.submission_id]
        return sorted(map(_job, details), key=lambda job: job.started_at)

    def job(self, job_id: str) -> Job:
        """The job of that id. Raises UserError where there is none."""
        return _job(self._details(job_id))

    def logs(self, job_id: str) -> str:
        """Everything that the job has printed so far. Raises UserError."""
        self._details(job_id)
        with _errors_explained(self.url):
            return self._client.get_job_logs(job_id)

    def stop(self, job_id: str) -> Job:
        """Stop the job, and wait until it has ended (at most STOP_TIMEOUT_S). Raises UserError."""
        self._details(job_id)
        with _errors_explained(self.url):
            self._client.stop_job(job_id)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while (
            not (details := self._details(job_id)).status.is_terminal()
            and time.monotonic() < deadline
        ):
            time.sleep(POLL_INTERVAL_S)
        return _job(details)

    def follow(self, job_id: str, write: Callable[[str], object]) -> int:
        """Pass everything that the job prints to `write`, from its first line until it ends.
        Returns the exit code of its command. Ctrl-C leaves the job running. Raises UserError,
        LostContactError."""
        self._details(job_id)
        n_written = 0

        def new(text: str) -> None:
            nonlocal n_written
            n_written += len(text)
            write(text)

        def look() -> JobDetails:
            asyncio.run(_tail(self._client, job_id, n_written, new))
            return self._client.get_job_info(job_id)

        while True:
            try:
                details = call_with_retries(look, _NO_ANSWER, n_tries=N_TRIES, first_s=FIRST_WAIT_S)
            except _NO_ANSWER as error:
                raise LostContactError(f"{self.url}: lost contact ({error})") from error
            if details.status.is_terminal():
                # without an exit code it never ran, or was lost, and the log does not say why
                if details.driver_exit_code is None and details.message:
                    write(f"{details.status}: {details.message.strip()}\n")
                return exit_code(str(details.status), details.driver_exit_code)
            time.sleep(POLL_INTERVAL_S)

    def _details(self, job_id: str) -> JobDetails:
        with _errors_explained(self.url):
            try:
                return self._client.get_job_info(job_id)
            except RuntimeError as error:
                if "does not exist" not in str(error):
                    raise
                raise UserError(
                    f"{job_id}: no such job at {self.url}; see neoberta jobs ls --address"
                    f" {self.url}"
                ) from None


async def _tail(
    client: JobSubmissionClient, job_id: str, n_skipped: int, write: Callable[[str], object]
) -> None:
    """Pass new text of the job's log to `write`. Every connection gives the log from its beginning,
    so the first `n_skipped` characters, which were written before, are skipped."""
    async for text in client.tail_job_logs(job_id):
        fresh = text[n_skipped:]
        n_skipped -= len(text) - len(fresh)
        if fresh:
            write(fresh)


def _job(details: JobDetails) -> Job:
    start_ms, end_ms = details.start_time or 0, details.end_time or time.time() * 1000
    return Job(
        job_id=details.submission_id or "",
        status=str(details.status),
        entrypoint=details.entrypoint,
        started_at=datetime.fromtimestamp(start_ms / 1000, UTC),
        seconds=(end_ms - start_ms) / 1000,
        message=details.message or "",
    )


@contextlib.contextmanager
def _errors_explained(url: str) -> Iterator[Any]:
    """Within the block an error on the way to the cluster becomes a UserError of one line."""
    try:
        yield
    except AuthenticationError as error:
        was_wrong = str(error).startswith("Authentication failed")
        what = "the token is not this cluster's" if was_wrong else "the cluster asks for a token"
        raise UserError(f"--address {url}: {what}; {TOKEN_REMEDY}") from None
    except (ConnectionError, requests.RequestException):
        raise UserError(
            f"--address {url}: no Ray dashboard answers there; see that the head runs, and its port"
        ) from None
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"--address {url}: the cluster refused ({reason:.300})") from None
