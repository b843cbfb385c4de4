"""What may be asked for: a known metric, a target that it can have, a metamodel that forecasts it."""

from numbers import Real

from cluster.storage import UserError
from meta.curves import METRICS, RATES


def check_request(metric: str, target: float | None, metamodel_metric: str | None = None) -> None:
    """Raises UserError for an unknown metric, a target that the metric cannot have, or a metamodel of another metric."""
    if metric not in METRICS:
        raise UserError(f"--metric {metric}: unknown; choose {', '.join(METRICS)}")
    if target is not None:
        if isinstance(target, bool) or not isinstance(target, Real):
            raise UserError(f"target {target!r}: must be a number")
        if metric in RATES and not 0 < target <= 1:
            hint = f"; did you mean {target / 100:g}?" if 1.5 < target <= 100 else ""
            raise UserError(f"--target {target:g}: {metric} is a fraction, above 0 and at most 1{hint}")
        if not 0 < target < float("inf"):
            raise UserError(f"--target {target:g}: must be a number above 0")
    if metamodel_metric is not None and metamodel_metric != metric:
        raise UserError(
            f"--metric {metric}: this metamodel forecasts {metamodel_metric}; give --metric {metamodel_metric} or fit another"
        )
