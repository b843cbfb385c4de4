"""How good the metamodel's forecasts were on tasks left out, as the study's page reads it.

The values are the tables of `meta.metamodel.evaluation.evaluation_tables`, which a study keeps as
JSON. Each of them may be missing: an evaluation of an earlier build lacks some. A horizon is named
`4x`: four times the labels at hand.
"""

from pydantic import BaseModel, ConfigDict


class EvaluationPart(BaseModel):
    """A part of the evaluation. Tables that the page does not show are passed over."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class HeldInterval(EvaluationPart):
    """What intervals of one level did at one horizon, or at all of them."""

    coverage: float
    """Share of the intervals that held what came out."""
    width_points: float | None = None


class Regret(EvaluationPart):
    """Points of the metric lost by one way to choose the embedding space."""

    mean: float
    p90: float | None = None
    """Nine of ten choices lost less."""


class TaskErrors(EvaluationPart):
    """Forecasts on one task: mean absolute errors in points over all horizons, and the share of the
    90 % intervals that held."""

    metamodel: float | None = None
    loo: float | None = None
    pow3: float | None = None
    coverage_90: float | None = None


class Evaluation(EvaluationPart):
    """All tables that the page shows."""

    n_tasks: int | None = None
    """Tasks that were left out."""
    n_rows: int | None = None
    """Forecasts that were made on them."""
    mae_points: dict[str, dict[str, float]] = {}
    """By horizon and forecaster: mean absolute error in points."""
    coverage: dict[str, dict[str, HeldInterval]] = {}
    """By level in percent (`90`), and then by horizon or `all`."""
    tasks_covered_80: float | None = None
    """Share of the tasks whose 90 % intervals hold at least 80 % of what came out."""
    required_n_within_2x: dict[str, dict[str, float]] = {}
    """By horizon and estimator: share of the row counts that were right within a factor of two;
    `n_questions` is the number of cases."""
    regret_at_1_points: dict[str, Regret] = {}
    """By the way to choose."""
    mae_points_by_task: dict[str, TaskErrors] = {}

    @property
    def at_all_horizons(self) -> dict[str, HeldInterval]:
        """By level: what its intervals did at all horizons together."""
        return {
            level: horizons["all"] for level, horizons in self.coverage.items() if "all" in horizons
        }
