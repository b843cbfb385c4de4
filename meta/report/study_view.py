"""What the study's part of the page shows: curves, tables, evidence, search, time. No HTML is
written here."""

from collections.abc import Mapping, Sequence
from typing import Any

from meta.metric import Metric
from meta.report import plots, study_plots
from meta.report.data import (
    DepthCurve,
    EncoderSummary,
    LearningCurve,
    PilotReportData,
    total_seconds,
)
from meta.report.evidence_words import FORECASTERS, coverage_words, error_rows, error_words
from meta.report.svg import key_entry

DRAWN = ("metamodel", "loo", "last", "pow2", "pow3", "octaves", "encoder_mean")
"""Forecasters in the picture; the table has all."""
COUNTERS = {
    "metamodel": "metamodel",
    "metamodel_if_reached": "metamodel, for a target that is unlikely",
    "pow2": "power law, 2 parameters",
    "pow3": "power law, 3 parameters",
}
CHOOSERS = {
    "metamodel": "metamodel",
    "loo": "leave-one-out",
    "logme": "LogME",
    "h_score": "H-score",
    "static": "the space that is best on other tasks",
}
REASONS = {
    "answers": "No task was left out as an example, or the stage has not run.",
    "learning_curves": "The sweep has not run.",
    "depth_curves": "The sweep has not run.",
    "regularisation": "The sweep has not run, or tried a single C.",
    "pretrained": "The study pretrained no NeoBERTa.",
    "evaluation": (
        "The metamodel has not been evaluated; it takes at least two tasks to leave one out."
    ),
    "horizons": "The metamodel has not been evaluated.",
    "candidates": "The meta-search has not run.",
    "stages": "No stage has left its time.",
    "tasks": "No task has been loaded.",
    "encoders": "No encoder has been loaded.",
}
MIN_SHARED = 0.5
"""An encoder's mean at a size is shown when at least this share of the tasks has it."""


def study_view(data: PilotReportData) -> dict[str, Any]:
    """The template's variable `s`."""
    names = [encoder.name for encoder in data.encoders] + [
        curve.encoder for curve in data.learning_curves
    ]
    names += [curve.encoder for curve in data.depth_curves] + [
        model.name for model in data.pretrained
    ]
    colours = {name: position for position, name in enumerate(dict.fromkeys(names))}
    return {
        "colours": colours,
        "reasons": REASONS | data.missing,
        "metric_name": data.metric.words,
        "is_rate": data.metric.is_rate,
        "total_seconds": total_seconds(data.stages),
        "longest": max((stage.seconds for stage in data.stages), default=1.0) or 1.0,
        **_measured_view(data, colours),
        **_evidence_view(data),
        **_search_view(data),
    }


def _measured_view(data: PilotReportData, colours: Mapping[str, int]) -> dict[str, Any]:
    curves = data.learning_curves
    by_task: dict[str, list[LearningCurve]] = {}
    for curve in curves:
        by_task.setdefault(curve.task, []).append(curve)
    values = [
        value for curve in curves for p in curve.points for value in (p.mean - p.sd, p.mean + p.sd)
    ]
    constants = {task.name: task.constant_score for task in data.tasks}
    drawn = [constants[task] for task in by_task if constants.get(task) is not None]
    values += drawn
    y_range = (min(values) - 0.01, max(values) + 0.01) if values else (0.0, 1.0)
    encoders = {encoder.name: encoder for encoder in data.encoders}
    trained, depth = [model for model in data.pretrained if model.losses], None
    if data.depth_curves:
        series = [
            (c.encoder, list(zip(c.layers, c.values, strict=True)), colours[c.encoder])
            for c in data.depth_curves
        ]
        sign = data.metric.sign
        best = max(
            (value for curve in data.depth_curves for value in curve.values),
            key=lambda value: sign * value,
        )
        alt = f"Mean {data.metric} over the tasks by layer, for {len(series)} encoders."
        depth = plots.depth(series, data.metric, good_enough=best - sign * 0.005, alt=alt)
    return {
        "learning_panels": [
            study_plots.learning_panel(
                task, rows, colours, data.metric, y_range, constants.get(task)
            )
            for task, rows in by_task.items()
        ],
        "learning_key": [
            key_entry(colours[name], name)
            for name in dict.fromkeys(curve.encoder for curve in curves)
        ],
        "has_constants": bool(drawn),
        "encoder_means": encoder_means(curves, data.metric),
        "depth_plot": depth,
        "depth_key": [
            key_entry(colours[curve.encoder], curve.encoder) for curve in data.depth_curves
        ],
        "depth_words": [
            words
            for curve in data.depth_curves
            if (words := depth_words(curve, encoders.get(curve.encoder)))
        ],
        "depth_n": data.depth_curves[0].n_train if data.depth_curves else None,
        "regularisation_plot": (
            study_plots.regularisation(data.regularisation, data.metric)
            if data.regularisation
            else None
        ),
        "pretraining_plot": study_plots.pretraining(trained, colours) if trained else None,
        "pretraining_key": [key_entry(colours[model.name], model.name, "━") for model in trained],
    }


def depth_words(curve: DepthCurve, encoder: EncoderSummary | None) -> str:
    """Which layers of an encoder were read, where they were not all of them; else empty."""
    if encoder is None or encoder.n_layers is None or len(curve.layers) > encoder.n_layers:
        return ""
    layers = " and ".join(", ".join(map(str, curve.layers)).rsplit(", ", 1))
    were = "was" if len(curve.layers) == 1 else "were"
    return f"Of {encoder.name}, which has {encoder.n_layers} layers, only {layers} {were} read."


def encoder_means(
    curves: Sequence[LearningCurve], metric: Metric = Metric.ACCURACY
) -> dict[str, Any]:
    """Each encoder's mean over tasks at the smallest, a middle and the largest size that all tasks
    have, and the number of tasks that it wins at the largest; best first. `sizes` and `rows` (name,
    values, wins, n_tasks); empty without curves."""
    tasks = list(dict.fromkeys(curve.task for curve in curves))
    at: dict[tuple[str, str], dict[int, float]] = {
        (curve.encoder, curve.task): {point.n_train: point.mean for point in curve.points}
        for curve in curves
    }
    shared = sorted(set.intersection(*(set(values) for values in at.values()))) if at else []
    if not shared:
        return {"sizes": [], "rows": []}
    sizes = sorted({shared[0], shared[len(shared) // 2], shared[-1]})
    sign = metric.sign
    rows = []
    for encoder in dict.fromkeys(curve.encoder for curve in curves):
        mine = [task for task in tasks if (encoder, task) in at]
        if len(mine) < MIN_SHARED * len(tasks):
            continue
        means = [sum(at[encoder, task][size] for task in mine) / len(mine) for size in sizes]
        wins = sum(
            all(
                sign * at[encoder, task][sizes[-1]] >= sign * values[sizes[-1]]
                for (_, other), values in at.items()
                if other == task
            )
            for task in mine
        )
        rows.append({"name": encoder, "means": means, "wins": wins, "n_tasks": len(mine)})
    rows.sort(key=lambda row: -sign * row["means"][-1])
    return {"sizes": sizes, "rows": rows}


def _evidence_view(data: PilotReportData) -> dict[str, Any]:
    tables = data.evaluation
    errors = tables.get("mae_points") or {}
    coverage = {
        level: row for level, row in (tables.get("coverage") or {}).items() if row.get("all")
    }
    points = [
        value
        for horizon in data.horizons
        for p in horizon.points
        for value in (p.predicted, p.actual)
    ]
    air = 0.02 * (max(points) - min(points)) + 0.005 if points else 0.0
    limits = (min(points) - air, max(points) + air) if points else (0.0, 1.0)
    drawn = {
        name: FORECASTERS[name] for name in DRAWN if any(name in row for row in errors.values())
    }
    return {
        "horizon_names": list(errors),
        "mae_plot": study_plots.error_by_horizon(errors, drawn) if errors else None,
        "mae_key": [key_entry(position, label) for position, label in enumerate(drawn.values())],
        "mae_rows": error_rows(errors),
        "mae_words": error_words(errors),
        "scatter_panels": [
            study_plots.scatter_panel(horizon, data.metric, limits) for horizon in data.horizons
        ],
        "coverage": coverage,
        "coverage_plot": study_plots.coverage(coverage) if coverage and errors else None,
        "coverage_words": coverage_words(coverage),
        "tasks_covered": tables.get("tasks_covered_80"),
        "required": tables.get("required_n_within_2x") or {},
        "counters": COUNTERS,
        "regret": [
            (CHOOSERS.get(name, name), row, name == "metamodel")
            for name, row in (tables.get("regret_at_1_points") or {}).items()
        ],
        "by_task": tables.get("mae_points_by_task") or {},
        "n_forecasts": tables.get("n_rows"),
        "n_left_out": tables.get("n_tasks"),
    }


def _search_view(data: PilotReportData) -> dict[str, Any]:
    ordered = sorted(
        data.candidates, key=lambda candidate: (not candidate.chosen, -candidate.predicted)
    )
    return {
        "candidates": ordered,
        "search_plot": study_plots.search(ordered, data.metric) if ordered else None,
        "search_n": ordered[0].predicted_n_train if ordered else None,
    }
