"""`--address http(s)://head:8265`: the command is sent to that cluster as a Ray job, and this
process follows it.

The configuration and the project's source are sent with the job. Data is not sent: a local path
that the cluster cannot see is refused before anything is sent.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from cluster.authentication import check_jobs_url, find_token
from cluster.storage import Storage, UserError
from cluster.submission import Submission, is_in_shared_folder
from neoberta.extras import need
from probes.tasks.load import local_path
from ray_jobs.cluster_options import ClusterOptions
from ray_jobs.config import StrictModel, read_yaml, validate
from ray_jobs.study import StudyConfig

MODULE = "ray_jobs.cli"
PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs")
STUDY_FILE = "study.yaml"


class JobConfig(StrictModel):
    """How a submitted job runs (`--job-config`)."""

    env_vars: dict[str, str] = Field(default_factory=dict)
    """Environment variables of the driver and the workers. They must hold no secrets: whoever sees
    the job sees them."""
    pip: tuple[str, ...] = ()
    """Requirements that every node installs first. Empty where the image has everything."""
    driver_cpus: float = Field(1.0, ge=0)
    """CPUs of the command itself. With 0 it runs on the head, otherwise on any node."""
    driver_memory_bytes: int = Field(0, ge=0)
    metadata: dict[str, str] = Field(default_factory=dict)
    """Shown beside the job."""


@dataclass(frozen=True)
class LocalPath:
    """A path of this machine in a command."""

    what: str
    path: Path
    is_in_file: bool = False
    """Whether the path is written in a configuration. A configuration is sent as it is, while paths
    in the command are replaced by full ones."""


def submit_study(
    cluster: ClusterOptions, config: StudyConfig, out: str, file: Path | None = None
) -> int:
    """Submit a command that works on a study. `file` is the YAML file that the command names.
    Returns the exit code. Raises UserError."""
    from ray_jobs.plan import check_references

    check_address(cluster)
    place = Storage(out)
    refuse_unseen([*out_paths(place), *study_paths(config)], cluster.shared_paths)
    check_references(config)
    replaced = {"out": place.uri} | ({"config": STUDY_FILE} if file else {})
    return submit(
        cluster, cluster.arguments(**replaced), {STUDY_FILE: file.read_bytes()} if file else {}
    )


def submit_characterize(
    cluster: ClusterOptions,
    *,
    out: str,
    files: Mapping[str, Path | None],
    encoders: Sequence[str],
    metamodel: str | None,
) -> int:
    """Submit `characterize`. `files` are its tables, by the name of the parameter. Returns the exit
    code. Raises UserError."""
    check_address(cluster)
    places = {"out": Storage(out)} | ({"metamodel": Storage(metamodel)} if metamodel else {})
    given = {name: path.expanduser().resolve() for name, path in files.items() if path is not None}
    paths = [
        LocalPath(f"--{name.removesuffix('_path')} {path}", path) for name, path in given.items()
    ]
    paths += [
        LocalPath(f"--{name} {place.uri}", Path(place.uri))
        for name, place in places.items()
        if place.is_local
    ]
    refuse_unseen([*paths, *_encoder_paths(encoders)], cluster.shared_paths)
    for path in given.values():
        if not path.is_file():
            raise UserError(f"{path}: no such file")
    return submit(
        cluster,
        cluster.arguments(**given, **{name: place.uri for name, place in places.items()}),
        {},
    )


def submit(cluster: ClusterOptions, arguments: tuple[str, ...], files: Mapping[str, bytes]) -> int:
    """Send the command, print where it can be watched, and follow it to its end. With `--no-wait`
    return at once."""
    job_config = JobConfig() if cluster.job_config is None else _read_job_config(cluster.job_config)
    submission = Submission(
        cluster.command, arguments, files, **{name: value for name, value in job_config}
    )
    from cluster.job_client import JobClient  # Ray takes a second to load
    from ray_jobs.commands.jobs import follow, say_how_to_come_back

    client = JobClient(cluster.address or "", insecure=cluster.insecure)
    packages = [Path(__file__).resolve().parents[2] / name for name in PACKAGES]
    job_id, is_new = client.submit(submission, module=MODULE, packages=packages)
    print(f"{'submitted' if is_new else 'running already'}: {job_id}", file=sys.stderr)
    print(f"dashboard: {client.dashboard_url(job_id)}", file=sys.stderr)
    if cluster.wait:
        return follow(client, job_id)
    say_how_to_come_back(client, job_id)
    return 0


def check_address(cluster: ClusterOptions) -> None:
    """Check the address first of all. Raises UserError for one that nothing may be sent to, and
    where Ray's client is not installed."""
    need("study", f"--address {cluster.address}")
    check_jobs_url(cluster.address or "", find_token(), insecure=cluster.insecure)


def out_paths(place: Storage) -> list[LocalPath]:
    """The folder of the results as a local path. Empty where it is a URI."""
    return [LocalPath(f"--out {place.uri}", Path(place.uri))] if place.is_local else []


def study_paths(config: StudyConfig) -> list[LocalPath]:
    """The local files and folders that hold a study's tasks and encoders."""
    tasks = dict.fromkeys([*config.tasks, config.characterize.task])
    found = [
        LocalPath(f"task {task}", path, is_in_file=True)
        for task in tasks
        if (path := local_path(task))
    ]
    return found + _encoder_paths(
        [
            encoder.ref
            for encoder in config.encoders
            if encoder.ref.partition(":")[2] not in config.neobertas
        ]
    )


def refuse_unseen(paths: Sequence[LocalPath], shared: Sequence[Path]) -> None:
    """Raises UserError where the cluster does not see a path. The message names every such path,
    and what to do."""
    unseen = [path.what for path in paths if not is_in_shared_folder(path.path, shared)]
    if unseen:
        raise UserError(
            f"the cluster does not see {', '.join(unseen)}: use s3:// or gs:// for results, or a"
            " folder that all nodes and this machine see alike, and say which: --shared-path"
            " FOLDER"
        )
    for path in paths:
        if path.is_in_file and not path.path.is_absolute():
            raise UserError(
                f"{path.what}: a job has another working folder; write the path in full"
                f" ({path.path.resolve()})"
            )


def _encoder_paths(refs: Sequence[str]) -> list[LocalPath]:
    found = []
    for ref in refs:
        name = ref.partition("#")[0].partition(":")[2]
        path = Path(name).expanduser()
        if name and (name.startswith((".", "/", "~")) or path.exists()):
            found.append(LocalPath(f"encoder {ref}", path, is_in_file=True))
    return found


def _read_job_config(path: Path) -> JobConfig:
    return validate(JobConfig, read_yaml(path), path.name)
