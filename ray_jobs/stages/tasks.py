"""The stage that loads or builds the study's tasks. Each one is kept on the study's storage under
its fingerprint."""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict

from cluster.storage import UserError
from meta.metamodel.shipped_observations import shipped_observations
from meta.metric import Metric
from probes.tasks.docs.registry import DocsSource
from probes.tasks.load import load_task
from probes.tasks.store import save_task
from probes.tasks.task import Task
from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study, StudyConfig

MIN_FAMILIES = 4
"""Three families to fit a metamodel on, and one to leave out."""


class TaskRow(BaseModel):
    """The facts about a task that later stages need. Its texts lie in `tasks/<fingerprint>/`."""

    model_config = ConfigDict(frozen=True)

    name: str
    fingerprint: str
    family: str
    n_train: int
    n_test: int
    n_classes: int
    is_pair: bool


def docs_source(config: StudyConfig) -> DocsSource:
    """The source of the study's `docs/*` tasks and of its pretraining text."""
    return DocsSource(
        packages=config.docs.packages, max_rows_per_task=config.docs.max_rows_per_task
    )


def make_tasks(study: Study, report: ProgressCallback) -> list[TaskRow]:
    """Every task of the study, its demonstration task included. A task of installed packages is
    built again only when the packages' versions change. Files and folders are always read again, so
    an edited file is a new task."""
    names = list(dict.fromkeys([*study.config.tasks, study.config.characterize.task]))
    given_first = sorted(
        names, key=lambda name: name.startswith("docs/")
    )  # so a mistake in a user's file shows at once
    rows, n_made = {}, 0
    for done, name in enumerate(given_first):
        report(done, len(names))
        known = set(study.storage.keys("tasks"))
        rows[name] = (
            _docs_row(study, name) if name.startswith("docs/") else _publish(study, load_task(name))
        )
        n_made += set(study.storage.keys("tasks")) != known
    check_distinct({name: row.fingerprint for name, row in rows.items()})
    study.made(n_made, "tasks")
    return [rows[name] for name in names]


def check_families(config: StudyConfig, tasks: Sequence[TaskRow]) -> None:
    """Check that there are enough families to fit a metamodel and to evaluate it with a family left
    out, before anything is embedded. Raises UserError."""
    if config.metamodel.with_shipped:
        shipped_observations(Metric.ACCURACY)  # whether they are there and whole
    held_out = {task.family for task in tasks if task.name == config.characterize.task}
    n_families = len({task.family for task in tasks} - held_out)
    least = 1 if config.metamodel.with_shipped else MIN_FAMILIES
    if n_families < least:
        raise UserError(
            f"tasks: {n_families} families besides that of {config.characterize.task}; a metamodel"
            f" needs {least} (tasks of one family share texts or labels): add other tasks"
            + (
                ""
                if config.metamodel.with_shipped
                else ", or set metamodel.with_shipped to learn beside those that ship"
            )
        )


def check_distinct(fingerprints: Mapping[str, str]) -> None:
    """Raises UserError where two tasks are the same. `fingerprints`: name of a task -> its
    fingerprint."""
    first: dict[str, str] = {}
    for name, fingerprint in fingerprints.items():
        if fingerprint in first:
            raise UserError(
                f"tasks: {first[fingerprint]} and {name} are the same task; name it once"
            )
        first[fingerprint] = name


def _docs_row(study: Study, name: str) -> TaskRow:
    source = docs_source(study.config)
    identity = {"task": name, "source": source.key, "max_rows": source.max_rows_per_task}
    row = study.once(
        "task_rows", identity, lambda: _publish(study, load_task(name, docs=source)).model_dump()
    )
    return TaskRow(**row)


def _publish(study: Study, task: Task) -> TaskRow:
    save_task(task, study.storage)
    return TaskRow(
        name=task.name,
        fingerprint=task.fingerprint,
        family=task.family or task.name,
        n_train=len(task.splits["train"]),
        n_test=len(task.splits["test"]),
        n_classes=task.n_classes,
        is_pair=task.is_pair,
    )


def left_out_families(study: Study, tasks: Sequence[TaskRow]) -> list[str]:
    """The families that the metamodel must not learn from: that of the demonstration task."""
    return sorted({task.family for task in tasks if task.name == study.config.characterize.task})
