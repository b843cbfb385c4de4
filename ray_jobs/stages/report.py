"""The stage that writes the study's results as one self-contained HTML page."""

import platform
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

import numpy as np
from pydantic import BaseModel

from cluster.resources import local_cpus
from meta.answering.constant_answer import constant_score
from meta.report import study_summaries
from meta.report.page import pilot_report
from meta.report.study_data import EncoderSummary, PilotReportData, PretrainedModel, TaskSummary
from neoberta.checkpoint import INFO_FILE
from probes.sweep.sweep import load_results
from probes.tasks.docs.registry import DOCS_TASKS
from probes.tasks.store import load_saved_task
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.embed import EncoderRow
from ray_jobs.stages.fit import METRIC, FitResult
from ray_jobs.stages.held_out import HeldOutResult
from ray_jobs.stages.search import SearchResult
from ray_jobs.stages.tasks import TaskRow
from ray_jobs.study import PRESETS, Study

REPORT_KEY = "reports/report.html"
ENCODER_NOTES = {
    "neoberta": "pretrained by this study",
    "lsa": "TF-IDF and truncated SVD, fitted on the pretraining text",
}
THIN = (
    (
        "The tasks of the shipped studies are made from documentation strings: English, technical,"
        " from one ecosystem. Forecasts for other kinds of text rest on few examples of them."
    ),
    (
        "With fewer than 19 task families no 90 % interval can be guaranteed for a new task; the"
        " intervals are widened as Student's are, and the coverage table says what they reached."
    ),
    (
        "The NeoBERTas are small and see little text: they show the machinery, not what an encoder"
        " can be."
    ),
    (
        "Fine-tuning hyperparameters come from published runs on other data, or are rules of thumb,"
        " and say which; nothing was fine-tuned."
    ),
    (
        "A study forecasts accuracy; neoberta characterize also knows macro-F1, AUROC and log-loss,"
        " by the metamodels that ship."
    ),
)


class ReportResult(BaseModel):
    """The results of the stage."""

    path: str
    six_answers: list[str]


@dataclass(frozen=True)
class StudyResults:
    """The results of the other stages."""

    tasks: Sequence[TaskRow]
    pretrained: Mapping[str, str]
    """Name of a NeoBERTa -> key of its checkpoint."""
    encoders: Sequence[EncoderRow]
    probe_keys: Sequence[str]
    fit: FitResult
    search: SearchResult
    held_out: HeldOutResult


def write_report(study: Study, report: ProgressCallback, results: StudyResults) -> ReportResult:
    """Write the report from the stored results. It is written anew each time, because that is
    cheap."""
    data = gather(study, results)
    report(1, 2)
    study.storage.write_bytes(REPORT_KEY, pilot_report(data).encode())
    path = f"{study.storage.uri}/{REPORT_KEY}"
    return ReportResult(path=path, six_answers=results.held_out.six_answers)


def gather(study: Study, results: StudyResults) -> PilotReportData:
    """The page's data from the study's results."""
    tasks, encoders = results.tasks, results.encoders
    probes = load_results(study.storage, results.probe_keys).to_pandas()
    probes["encoder"] = probes["encoder_fingerprint"].map(
        {encoder.info.fingerprint: encoder.name for encoder in encoders}
    )
    probes["task"] = probes["task_fingerprint"].map({task.fingerprint: task.name for task in tasks})
    held_out_task = study.config.characterize.task
    answers = study.storage.read_json(results.held_out.answers_key)
    return PilotReportData(
        title=f"The {study.config.name} study",
        preset=study.config.name,
        created_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        command=_command(study),
        metric=METRIC,
        environment=environment(),
        stages=study_summaries.stage_times(study.ledger(), _notes(len(probes), results)),
        n_probes=len(probes),
        tasks=tuple(task_summary(study, task, held_out_task) for task in tasks),
        encoders=tuple(encoder_summary(encoder) for encoder in encoders),
        pretrained=tuple(_pretrained(study, name, key) for name, key in results.pretrained.items()),
        learning_curves=study_summaries.learning_curves(probes),
        depth_curves=study_summaries.depth_curves(probes),
        regularisation=study_summaries.regularisation_curves(probes),
        answers=answers,
        answers_task=held_out_task,
        answers_truth=study_summaries.measured_spaces(probes, held_out_task),
        evaluation=study.storage.read_json(results.fit.evaluation_key),
        horizons=study_summaries.horizons(
            study.storage.read_table(results.fit.held_out_key).to_pandas(), seed=study.config.seed
        ),
        candidates=tuple(results.search.candidates),
        thin=THIN,
    )


def _command(study: Study) -> str:
    name = study.config.name
    start = f"neoberta pilot --preset {name}" if name in PRESETS else "neoberta report CONFIG.yaml"
    return f"{start} --out {shlex.quote(study.storage.uri)}"


def environment() -> dict[str, str]:
    """The machine and the versions of packages that the figures were made with."""
    packages = ("torch", "ray", "deepspeed", "transformers", "xgboost-cpu", "scikit-learn")
    return {
        "machine": f"{platform.machine()}, {local_cpus()} cores",
        "Python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def _notes(n_probes: int, results: StudyResults) -> dict[str, str]:
    return {
        "tasks": f"{len(results.tasks)} tasks",
        "NeoBERTas": f"{len(results.pretrained)} pretrained",
        "embeddings": f"{len(results.encoders)} encoders",
        "probes": f"{n_probes:,} probes",
        "metamodel": f"{results.fit.n_observations:,} observations",
        "meta-search": f"{len(results.search.candidates)} candidates",
    }


def task_summary(study: Study, task: TaskRow, held_out_task: str) -> TaskSummary:
    """A row of the page's table of tasks."""
    facts = task.model_dump(include={"name", "n_train", "n_test", "n_classes", "is_pair"})
    recipe = DOCS_TASKS.get(task.name.removeprefix("docs/"))
    description = recipe.description if recipe else ""
    labels = load_saved_task(study.storage, task.fingerprint).splits["test"].labels
    constant = constant_score(np.bincount(labels[labels >= 0]), METRIC)
    return TaskSummary(
        **facts,
        description=description,
        constant_score=constant,
        left_out=task.name == held_out_task,
    )


def encoder_summary(encoder: EncoderRow) -> EncoderSummary:
    """A row of the page's table of encoders."""
    info = encoder.info
    note = ENCODER_NOTES.get(info.family, "")
    if info.family == "random":
        note = f"the shape of {encoder.name.removeprefix('random:')}, untrained: the control"
    return EncoderSummary(
        name=encoder.name,
        family=info.family,
        n_layers=info.n_layers,
        hidden_size=info.hidden_size,
        n_parameters=info.n_parameters,
        n_views=len(encoder.views),
        note=note,
    )


def _pretrained(study: Study, name: str, key: str) -> PretrainedModel:
    info = study.storage.read_json(f"{key}/{INFO_FILE}")
    model = info["model"]
    return PretrainedModel(
        name=name,
        n_layers=model["n_layers"],
        hidden_size=model["hidden_size"],
        n_parameters=sum(info["n_parameters"].values()),
        n_tokens=info["n_tokens"],
        n_workers=study.config.neobertas[name].n_workers,
        seconds=info["seconds"],
        validation_loss=info["validation"]["loss"],
        unigram_loss=info["validation"]["unigram_loss"],
        losses=tuple((float(point["tokens"]), float(point["loss"])) for point in info["history"]),
    )
