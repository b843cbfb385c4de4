"""The evidence for the answers: the metamodel, and how right it was on tasks that it had not
seen."""

from meta.answering.forecasts import Forecaster, Forecasts
from meta.schema import Evidence


def evidence(metamodel: Forecaster, name: str, forecasts: Forecasts) -> Evidence:
    """The field `evidence` of the answers. It is read from the card of `metamodel`, whose name is
    `name`, and from `forecasts`."""
    tables = metamodel.card.get("evaluation", {})
    errors = {
        horizon: row["metamodel"] / 100 for horizon, row in tables.get("mae_points", {}).items()
    }
    coverage = tables.get("coverage", {}).get("90", {}).get("all", {}).get("coverage")
    return Evidence(
        metamodel=name,
        tasks=len(metamodel.card.get("tasks", [])),
        tasks_left_out=tables.get("n_tasks"),
        held_out_mae=errors,
        held_out_coverage_90=coverage,
        held_out_required_n_within_2x={
            horizon: {"q50": row["metamodel"], "n_if_reached": row["metamodel_if_reached"]}
            for horizon, row in tables.get("required_n_within_2x", {}).items()
            if "metamodel_if_reached" in row  # evaluations of older studies lack it
        },
        in_training_range=not forecasts.outside,
        interval_factor=forecasts.interval_factor,
    )
