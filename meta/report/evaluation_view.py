"""What the study's page shows of the forecasts on tasks left out: errors, coverage, decisions. No
HTML is written here."""

from dataclasses import dataclass

from markupsafe import Markup

from meta.report import evaluation_plots
from meta.report.evaluation_data import Evaluation, Regret, TaskErrors
from meta.report.evidence_words import (
    FORECASTERS,
    ErrorRow,
    coverage_words,
    error_rows,
    error_words,
)
from meta.report.study_data import PilotReportData
from meta.report.svg import KeyEntry, key_entry

DRAWN = ("metamodel", "loo", "last", "pow2", "pow3", "octaves", "encoder_mean")
"""Forecasters in the picture; the table has all."""
ESTIMATORS = {
    "metamodel": "metamodel",
    "metamodel_if_reached": "metamodel, for a target that is unlikely",
    "pow2": "power law, 2 parameters",
    "pow3": "power law, 3 parameters",
}
"""Ways to estimate a row count, as the page names them."""
CHOOSERS = {
    "metamodel": "metamodel",
    "loo": "leave-one-out",
    "logme": "LogME",
    "h_score": "H-score",
    "static": "the space that is best on other tasks",
}
"""Ways to choose an embedding space, as the page names them."""


@dataclass(frozen=True)
class CoverageRow:
    """Intervals of one level, at all horizons together."""

    level: str
    held: float
    width_points: float | None


@dataclass(frozen=True)
class RequiredRow:
    """How often the row counts of one estimator were right, by horizon."""

    label: str
    shares: list[float | None]


@dataclass(frozen=True)
class RequiredTable:
    """Row counts that were right within a factor of two."""

    columns: list[tuple[str, float | None]]
    """Each horizon with its number of cases."""
    rows: list[RequiredRow]


@dataclass(frozen=True)
class RegretRow:
    """Points lost by one way to choose the embedding space."""

    label: str
    regret: Regret
    is_own: bool
    """Of the metamodel."""


@dataclass(frozen=True)
class EvaluationView:
    """The template's variable `s.evaluation`."""

    horizons: list[str]
    error_plot: Markup | None
    error_key: list[KeyEntry]
    error_rows: list[ErrorRow]
    error_words: list[str]
    n_forecasts: int | None
    n_left_out: int | None
    """Tasks that were left out."""
    scatter_panels: list[Markup]
    """One for each of the study's horizons."""
    coverage_plot: Markup | None
    coverage_rows: list[CoverageRow]
    coverage_words: str
    tasks_covered: float | None
    required: RequiredTable | None
    regret: list[RegretRow]
    by_task: dict[str, TaskErrors]


def evaluation_view(data: PilotReportData) -> EvaluationView:
    """What the page shows of the study's evaluation."""
    evaluation = data.evaluation
    errors = evaluation.mae_points
    drawn = {
        name: FORECASTERS[name] for name in DRAWN if any(name in row for row in errors.values())
    }
    return EvaluationView(
        horizons=list(errors),
        error_plot=evaluation_plots.error_by_horizon(errors, drawn) if errors else None,
        error_key=[key_entry(position, label) for position, label in enumerate(drawn.values())],
        error_rows=error_rows(errors),
        error_words=error_words(errors),
        n_forecasts=evaluation.n_rows,
        n_left_out=evaluation.n_tasks,
        scatter_panels=_scatter_panels(data),
        coverage_plot=_coverage_plot(evaluation),
        coverage_rows=[
            CoverageRow(level, held.coverage, held.width_points)
            for level, held in evaluation.at_all_horizons.items()
        ],
        coverage_words=coverage_words(evaluation),
        tasks_covered=evaluation.tasks_covered_80,
        required=_required_table(evaluation),
        regret=[
            RegretRow(CHOOSERS.get(chooser, chooser), regret, is_own=chooser == "metamodel")
            for chooser, regret in evaluation.regret_at_1_points.items()
        ],
        by_task=evaluation.mae_points_by_task,
    )


def _scatter_panels(data: PilotReportData) -> list[Markup]:
    """Predicted against actual, every horizon on the same scale."""
    values = [
        value
        for horizon in data.horizons
        for point in horizon.points
        for value in (point.predicted, point.actual)
    ]
    if not values:
        return []
    air = 0.02 * (max(values) - min(values)) + 0.005
    limits = (min(values) - air, max(values) + air)
    return [
        evaluation_plots.scatter_panel(horizon, data.metric, limits) for horizon in data.horizons
    ]


def _coverage_plot(evaluation: Evaluation) -> Markup | None:
    """Only beside the errors: these say that there are horizons to draw."""
    levels = evaluation.at_all_horizons
    if not levels or not evaluation.mae_points:
        return None
    return evaluation_plots.coverage({level: evaluation.coverage[level] for level in levels})


def _required_table(evaluation: Evaluation) -> RequiredTable | None:
    horizons = evaluation.required_n_within_2x
    if not horizons:
        return None
    return RequiredTable(
        columns=[(horizon, shares.get("n_questions")) for horizon, shares in horizons.items()],
        rows=[
            RequiredRow(label, [shares.get(estimator) for shares in horizons.values()])
            for estimator, label in ESTIMATORS.items()
        ],
    )
