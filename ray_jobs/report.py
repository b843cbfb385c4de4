"""Stage 8: everything the study found, on one self-contained HTML page."""

import platform
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import pandas as pd
from pydantic import BaseModel

from cluster.resources import local_cpus
from meta.report.data import (
    DepthCurve,
    EncoderSummary,
    ForecastPoint,
    Horizon,
    LearningCurve,
    MeasuredPoint,
    PilotReportData,
    PretrainedModel,
    RegularisationCurve,
    StageTime,
    TaskSummary,
)
from meta.report.page import pilot_report
from neoberta.checkpoint import INFO
from probes.sweep import load_results
from ray_jobs.embed import EncoderRow
from ray_jobs.fit import METRIC
from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study
from ray_jobs.tasks import TaskRow

MAX_SCATTER_POINTS = 400
"""Forecasts drawn at each horizon: a seeded sample where there are more."""
REPORT_KEY = "reports/report.html"
THIN = (
    "The tasks of the shipped studies are made from documentation strings: English, technical, from one ecosystem. "
    "Forecasts for other kinds of text rest on few examples of them.",
    "With fewer than 19 task families no 90 % interval can be guaranteed for a new task; the intervals are widened as "
    "Student's are, and the coverage table says what they reached.",
    "The NeoBERTas are small and see a few million tokens: they show the machinery, not what an encoder can be.",
    "Fine-tuning hyperparameters are rules of thumb, marked as such; nothing was fine-tuned.",
    "Only accuracy is forecast.",
)


class ReportResult(BaseModel):
    """What the stage leaves behind."""

    path: str
    six_answers: list[str]


def write_report(study: Study, report: ProgressCallback, done: dict[str, Any]) -> ReportResult:
    """Gather, render, publish. The report is written anew each time: it is made of what is stored, and cheap."""
    data = gather(study, done)
    report(1, 2)
    study.storage.write_bytes(REPORT_KEY, pilot_report(data).encode())
    path = f"{study.storage.uri}/{REPORT_KEY}"
    return ReportResult(path=path, six_answers=done["characterize"].six_answers)


def gather(study: Study, done: dict[str, Any]) -> PilotReportData:
    """The page's data from the study's results."""
    tasks: list[TaskRow] = done["tasks"]
    encoders: list[EncoderRow] = done["encoders"]
    probes = load_results(study.storage, done["sweep"]).to_pandas()
    probes["encoder"] = probes["encoder_fingerprint"].map({encoder.info.fingerprint: encoder.name for encoder in encoders})
    chosen = probes[(probes["probe"] == "ridge") & probes["C_selected"]]
    held_out_task = study.config.characterize.task
    answers = study.storage.read_json(done["characterize"].answers_key)
    return PilotReportData(
        title=f"The {study.config.name} study",
        preset=study.config.name,
        created_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        command=f"neoberta pilot --preset {study.config.name} --out {shlex.quote(study.storage.uri)}",
        metric=METRIC,
        environment=environment(),
        stages=_stage_times(study, len(probes), done),
        n_probes=len(probes),
        tasks=tuple(_task_summary(task, held_out_task) for task in tasks),
        encoders=tuple(_encoder_summary(encoder) for encoder in encoders),
        pretrained=tuple(_pretrained(study, name, key) for name, key in done["pretrain"].items()),
        learning_curves=best_view_curves(chosen),
        depth_curves=depth_curves(chosen),
        regularisation=regularisation_curves(probes),
        answers=answers,
        answers_task=held_out_task,
        answers_truth=_truth_curves(done["characterize"].measured),
        evaluation=study.storage.read_json(done["fit"].evaluation_key),
        horizons=_horizons(study.storage.read_table(done["fit"].held_out_key).to_pandas(), study.config.seed),
        candidates=tuple(done["search"].candidates),
        thin=THIN,
    )


def environment() -> dict[str, str]:
    """What the figures were made with."""
    packages = ("torch", "ray", "deepspeed", "transformers", "xgboost-cpu", "scikit-learn")
    return {
        "machine": f"{platform.machine()}, {local_cpus()} cores",
        "Python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


def best_view_curves(chosen: pd.DataFrame) -> tuple[LearningCurve, ...]:
    """For each task and encoder, the measured curve of the view that leave-one-out likes best at the largest size that it is
    known at: the choice never sees a test row. `chosen`: probe rows with their regularisation selected."""
    curves = []
    place = ["task", "encoder", "layer", "pooling", "n_train"]
    means = chosen.groupby(place).agg(
        mean=(METRIC, "mean"), sd=(METRIC, "std"), n=(METRIC, "size"), loo=("loo_accuracy", "mean")
    )
    for (task, encoder), group in means.groupby(level=["task", "encoder"]):
        rows = group.reset_index()
        largest = rows[rows["n_train"] == rows["n_train"].max()]
        best = largest.loc[largest["loo"].idxmax()]
        own = rows[(rows["layer"] == best["layer"]) & (rows["pooling"] == best["pooling"])].sort_values("n_train")
        points = tuple(
            MeasuredPoint(
                n_train=int(row.n_train), mean=float(row.mean), sd=0.0 if pd.isna(row.sd) else float(row.sd), n_seeds=int(row.n)
            )
            for row in own[["n_train", "mean", "sd", "n"]].itertuples(index=False)
        )
        view = f"layer {best['layer']}, {best['pooling']}"
        curves.append(LearningCurve(task=str(task), encoder=str(encoder), view=view, points=points))
    return tuple(curves)


def depth_curves(chosen: pd.DataFrame) -> tuple[DepthCurve, ...]:
    """Mean over tasks by layer at the largest size that every task has; at each layer the pooling with the best LOO."""
    n_train = int(chosen.groupby("task")["n_train"].max().min())
    at_size = chosen[chosen["n_train"] == n_train]
    means = at_size.groupby(["encoder", "task", "layer", "pooling"]).agg(value=(METRIC, "mean"), loo=("loo_accuracy", "mean"))
    best = means.sort_values("loo").groupby(level=["encoder", "task", "layer"]).tail(1)
    by_layer = best.groupby(level=["encoder", "layer"])["value"].mean()
    curves = []
    for encoder, values in by_layer.groupby(level="encoder"):
        if len(values) > 1:
            layers = tuple(int(layer) for layer in values.index.get_level_values("layer"))
            curves.append(DepthCurve(encoder=str(encoder), n_train=n_train, layers=layers, values=tuple(map(float, values))))
    return tuple(curves)


def regularisation_curves(probes: pd.DataFrame) -> tuple[RegularisationCurve, ...]:
    """Mean over tasks and views of the ridge probes by C, at the smallest and the largest size that every task has."""
    ridge = probes[probes["probe"] == "ridge"]
    shared = [n for n, group in ridge.groupby("n_train") if group["task"].nunique() == ridge["task"].nunique()]
    curves = []
    for n_train in dict.fromkeys([min(shared), max(shared)]) if shared else ():
        at_size = ridge[ridge["n_train"] == n_train]
        by_c = at_size.groupby("C")[METRIC].mean()
        selected = float(at_size.loc[at_size["C_selected"], METRIC].mean())
        if len(by_c) > 1:
            values = tuple(map(float, by_c))
            curves.append(
                RegularisationCurve(n_train=int(n_train), C=tuple(map(float, by_c.index)), values=values, chosen=selected)
            )
    return tuple(curves)


def _stage_times(study: Study, n_probes: int, done: dict[str, Any]) -> tuple[StageTime, ...]:
    notes = {
        "tasks": f"{len(done['tasks'])} tasks",
        "NeoBERTas": f"{len(done['pretrain'])} pretrained",
        "embeddings": f"{len(done['encoders'])} encoders",
        "probes": f"{n_probes:,} probes",
        "metamodel": f"{done['fit'].n_observations:,} observations",
        "meta-search": f"{len(done['search'].candidates)} candidates",
    }
    seconds: dict[str, float] = {}
    for entry in study.ledger():
        seconds[entry["stage"]] = seconds.get(entry["stage"], 0.0) + entry["seconds"]
    return tuple(StageTime(stage=stage, seconds=total, note=notes.get(stage, "")) for stage, total in seconds.items())


def _task_summary(task: TaskRow, held_out_task: str) -> TaskSummary:
    facts = task.model_dump(include={"name", "n_train", "n_test", "n_classes", "is_pair"})
    return TaskSummary(**facts, left_out=task.name == held_out_task)


def _encoder_summary(encoder: EncoderRow) -> EncoderSummary:
    info = encoder.info
    return EncoderSummary(
        name=encoder.name,
        family=info.family,
        n_layers=info.n_layers,
        hidden_size=info.hidden_size,
        n_parameters=info.n_parameters,
        n_views=len(encoder.views),
    )


def _pretrained(study: Study, name: str, key: str) -> PretrainedModel:
    info = study.storage.read_json(f"{key}/{INFO}")
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
        unigram_loss=info["unigram_entropy"],
        losses=tuple((float(point["tokens"]), float(point["loss"])) for point in info["history"]),
    )


def _truth_curves(measured: Sequence[Any]) -> tuple[LearningCurve, ...]:
    spaces: dict[tuple[str, str], list[MeasuredPoint]] = {}
    for point in measured:
        spaces.setdefault((point.encoder, f"layer={point.layer},pooling={point.pooling}"), []).append(
            MeasuredPoint(n_train=point.n_train, mean=point.mean, sd=point.std, n_seeds=point.n_seeds)
        )
    return tuple(
        LearningCurve(task="", encoder=encoder, view=view, points=tuple(sorted(points, key=lambda point: point.n_train)))
        for (encoder, view), points in spaces.items()
    )


def _horizons(held_out: pd.DataFrame, seed: int) -> tuple[Horizon, ...]:
    measured = held_out[held_out["truth"].notna()]
    horizons = []
    for factor, group in measured.groupby("factor"):
        drawn = group if len(group) <= MAX_SCATTER_POINTS else group.sample(MAX_SCATTER_POINTS, random_state=seed)
        points = tuple(
            ForecastPoint(task=str(row.task), predicted=row.q50, actual=row.truth, low=row.q05, high=row.q95)
            for row in drawn.itertuples(index=False)
        )
        horizons.append(Horizon(factor=int(factor), points=points, n_total=len(group)))
    return tuple(horizons)
