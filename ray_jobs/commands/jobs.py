"""`neoberta jobs`: list the jobs that were submitted to a cluster, follow one, stop one."""

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.authentication import is_jobs_url
from cluster.storage import UserError
from cluster.submission import check_id
from neoberta.extras import need

if TYPE_CHECKING:
    from cluster.job_client import JobClient

OUR_PREFIX = "neoberta-"


def show_jobs(address: str, *, insecure: bool) -> None:
    """Print the jobs of this program on the cluster, the newest last. Raises UserError."""
    jobs = [job for job in _connect(address, insecure).jobs() if job.job_id.startswith(OUR_PREFIX)]
    table = Table(header_style="bold")
    for column in ("id", "status", "submitted (UTC)", "seconds", "command"):
        table.add_column(column, overflow="fold")
    for job in jobs:
        command = job.entrypoint.partition("ray_jobs.cli ")[2] or job.entrypoint
        row = (
            job.job_id,
            job.status,
            f"{job.started_at:%Y-%m-%d %H:%M:%S}",
            f"{job.seconds:.0f}",
            command,
        )
        table.add_row(*map(escape, row))
    console = Console()
    if not console.is_terminal:
        console.width = 240  # in a file or pipe no line is folded
    console.print(table)


def show_logs(address: str, job_id: str, *, following: bool, insecure: bool) -> int:
    """Print what a job has printed. With `following`, wait for its end and return its exit code.
    Raises UserError."""
    client = _connect(address, insecure)
    if following:
        return follow(client, check_id(job_id))
    _write(client.logs(check_id(job_id)))
    return 0


def stop_job(address: str, job_id: str, *, insecure: bool) -> int:
    """Stop a job and wait until it has stopped. Returns 0 when it has ended. Raises UserError."""
    job = _connect(address, insecure).stop(check_id(job_id))
    print(f"{job.job_id}: {job.status}")
    return 1 if job.status in ("PENDING", "RUNNING") else 0


def follow(client: "JobClient", job_id: str) -> int:
    """Print what the job prints until it ends, and return its exit code. Ctrl-C returns 130 at
    once, and the job goes on."""
    from cluster.job_client import LostContactError

    try:
        code = client.follow(job_id, _write)
    except KeyboardInterrupt:
        print(f"neoberta: detached; {job_id} goes on", file=sys.stderr)
        say_how_to_come_back(client, job_id)
        return 130
    except LostContactError as error:
        print(f"neoberta: {error}; {job_id} may go on", file=sys.stderr)
        say_how_to_come_back(client, job_id)
        return 1
    if code:
        print(f"neoberta: {job_id} ended with exit code {code}", file=sys.stderr)
    return code


def say_how_to_come_back(client: "JobClient", job_id: str) -> None:
    print(f"follow: neoberta jobs logs {job_id} --follow --address {client.url}", file=sys.stderr)
    print(f"stop:   neoberta jobs stop {job_id} --address {client.url}", file=sys.stderr)


def _connect(address: str, insecure: bool) -> "JobClient":
    if not is_jobs_url(address):
        raise UserError(
            f"--address {address}: must be that of the head's dashboard, for example http://127.0.0.1:8265"
        )
    need("study", "a job on a cluster")
    from cluster.job_client import JobClient

    return JobClient(address, insecure=insecure)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
