"""What the study's part of the page shows: what was measured, the evaluation, the meta-search,
time. No HTML is written here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from meta.metric import Metric
from meta.report import study_plots
from meta.report.evaluation_view import EvaluationView, evaluation_view
from meta.report.space_plots import EncoderByLayer, depth
from meta.report.study_data import (
    DepthCurve,
    EncoderSummary,
    LearningCurve,
    PilotReportData,
    total_seconds,
)
from meta.report.svg import KeyEntry, key_entry
from meta.search import Candidate

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
"""Why a part is missing, where the study does not say it."""
MIN_SHARED = 0.5
"""An encoder's mean at a size is shown when at least this share of the tasks has it."""


@dataclass(frozen=True)
class EncoderMean:
    """The mean of one encoder over the tasks that have it."""

    name: str
    means: list[float]
    """By size."""
    wins: int
    """Tasks on which it is the best at the largest size."""
    n_tasks: int


@dataclass(frozen=True)
class EncoderMeans:
    """The table of encoders over all tasks; empty without curves."""

    sizes: list[int]
    rows: list[EncoderMean]
    """The best first."""


@dataclass(frozen=True)
class MeasuredView:
    """The template's variable `s.measured`: what the probes and the pretraining reached."""

    learning_panels: list[Markup]
    learning_key: list[KeyEntry]
    has_constants: bool
    """Pictures show what an answer has that never looks at a text."""
    encoder_means: EncoderMeans
    depth_plot: Markup | None
    depth_key: list[KeyEntry]
    depth_words: list[str]
    depth_n: int | None
    """Labelled rows of the picture by layer."""
    regularisation_plot: Markup | None
    pretraining_plot: Markup | None
    pretraining_key: list[KeyEntry]


@dataclass(frozen=True)
class SearchView:
    """The template's variable `s.search`."""

    candidates: list[Candidate]
    """The chosen one first, then the best forecasts."""
    plot: Markup | None
    n_train: int | None
    """Labelled rows that the forecasts are of."""


@dataclass(frozen=True)
class StudyView:
    """The template's variable `s`."""

    colours: dict[str, int]
    """Numbers of the encoders' colours."""
    reasons: dict[str, str]
    """Why a part is missing, by the name of its field."""
    total_seconds: float
    longest: float
    """Seconds of the longest stage."""
    measured: MeasuredView
    evaluation: EvaluationView
    search: SearchView


def study_view(data: PilotReportData) -> StudyView:
    """The template's variable `s`."""
    names = [
        *(encoder.name for encoder in data.encoders),
        *(curve.encoder for curve in data.learning_curves),
        *(curve.encoder for curve in data.depth_curves),
        *(model.name for model in data.pretrained),
    ]
    colours = {name: position for position, name in enumerate(dict.fromkeys(names))}
    return StudyView(
        colours=colours,
        reasons=REASONS | data.missing,
        total_seconds=total_seconds(data.stages),
        longest=max((stage.seconds for stage in data.stages), default=1.0) or 1.0,
        measured=_measured_view(data, colours),
        evaluation=evaluation_view(data),
        search=_search_view(data),
    )


def _measured_view(data: PilotReportData, colours: Mapping[str, int]) -> MeasuredView:
    curves, depth_curves = data.learning_curves, data.depth_curves
    encoders = {encoder.name: encoder for encoder in data.encoders}
    trained = [model for model in data.pretrained if model.losses]
    constants = {
        task.name: task.constant_score
        for task in data.tasks
        if task.constant_score is not None and task.name in {curve.task for curve in curves}
    }
    depth_words_of_each = [
        depth_words(curve, encoders.get(curve.encoder)) for curve in depth_curves
    ]
    return MeasuredView(
        learning_panels=_learning_panels(curves, constants, colours, data.metric),
        learning_key=[
            key_entry(colours[name], name)
            for name in dict.fromkeys(curve.encoder for curve in curves)
        ],
        has_constants=bool(constants),
        encoder_means=encoder_means(curves, data.metric),
        depth_plot=_depth_plot(depth_curves, colours, data.metric) if depth_curves else None,
        depth_key=[key_entry(colours[curve.encoder], curve.encoder) for curve in depth_curves],
        depth_words=[words for words in depth_words_of_each if words],
        depth_n=depth_curves[0].n_train if depth_curves else None,
        regularisation_plot=(
            study_plots.regularisation(data.regularisation, data.metric)
            if data.regularisation
            else None
        ),
        pretraining_plot=study_plots.pretraining(trained, colours) if trained else None,
        pretraining_key=[key_entry(colours[model.name], model.name, "━") for model in trained],
    )


def _learning_panels(
    curves: Sequence[LearningCurve],
    constants: Mapping[str, float],
    colours: Mapping[str, int],
    metric: Metric,
) -> list[Markup]:
    """A picture for each task, all on the same scale."""
    if not curves:
        return []
    by_task: dict[str, list[LearningCurve]] = {}
    for curve in curves:
        by_task.setdefault(curve.task, []).append(curve)
    values = [
        value
        for curve in curves
        for point in curve.points
        for value in (point.mean - point.sd, point.mean + point.sd)
    ]
    values += constants.values()
    y_range = (min(values) - 0.01, max(values) + 0.01)
    return [
        study_plots.learning_panel(task, rows, colours, metric, y_range, constants.get(task))
        for task, rows in by_task.items()
    ]


def _depth_plot(curves: Sequence[DepthCurve], colours: Mapping[str, int], metric: Metric) -> Markup:
    encoders = [
        EncoderByLayer(
            name=curve.encoder,
            values=dict(zip(curve.layers, curve.values, strict=True)),
            colour=colours[curve.encoder],
        )
        for curve in curves
    ]
    return depth(
        encoders, metric, f"Mean {metric} over the tasks by layer, for {len(encoders)} encoders."
    )


def depth_words(curve: DepthCurve, encoder: EncoderSummary | None) -> str:
    """Which layers of an encoder were read, where they were not all of them; else empty."""
    if encoder is None or encoder.n_layers is None or len(curve.layers) > encoder.n_layers:
        return ""
    layers = " and ".join(", ".join(map(str, curve.layers)).rsplit(", ", 1))
    were = "was" if len(curve.layers) == 1 else "were"
    return f"Of {encoder.name}, which has {encoder.n_layers} layers, only {layers} {were} read."


def encoder_means(
    curves: Sequence[LearningCurve], metric: Metric = Metric.ACCURACY
) -> EncoderMeans:
    """Each encoder's mean over tasks at the smallest, a middle and the largest size that all tasks
    have, and the number of tasks that it wins at the largest."""
    tasks = list(dict.fromkeys(curve.task for curve in curves))
    at: dict[tuple[str, str], dict[int, float]] = {
        (curve.encoder, curve.task): {point.n_train: point.mean for point in curve.points}
        for curve in curves
    }
    shared = sorted(set.intersection(*(set(values) for values in at.values()))) if at else []
    if not shared:
        return EncoderMeans(sizes=[], rows=[])
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
        rows.append(EncoderMean(name=encoder, means=means, wins=wins, n_tasks=len(mine)))
    rows.sort(key=lambda row: -sign * row.means[-1])
    return EncoderMeans(sizes=sizes, rows=rows)


def _search_view(data: PilotReportData) -> SearchView:
    ordered = sorted(
        data.candidates, key=lambda candidate: (not candidate.chosen, -candidate.predicted)
    )
    return SearchView(
        candidates=ordered,
        plot=study_plots.search(ordered, data.metric) if ordered else None,
        n_train=ordered[0].predicted_n_train if ordered else None,
    )
