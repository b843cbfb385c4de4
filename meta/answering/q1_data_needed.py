"""Question 1: how many labels are required, and a plan to collect them in rounds.

The required n is read from calibrated quantile curves. The metric at each n is a distribution, so
the required n is a distribution too. The n at which the 95 % curve reaches the target is the
optimistic end: with a probability of 5 %, fewer rows do. The n of the 5 % curve is the cautious
end. A target that is not reached within the curve gives null: no curve is extrapolated. (For a
log-loss, the 5 % curve is the optimistic one.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from meta.answering.forecasts import Forecasts
from meta.metamodel.quantile_curves import n_if_reached, probability_reached
from meta.metric import MEDIAN, Metric
from meta.schema import DataNeeded, EncoderNeed, LabellingRound, ViewName
from probes.encoders.base import View

MIN_ROUNDS, MAX_ROUNDS = 3, 5
"""Collecting in a few rounds, with a new forecast after each, beats one guess (Mahmood et al.
2022)."""
MIN_ROUND_ROWS = 20
"""After fewer labels a new forecast would tell nothing new."""


def required_n(sizes: np.ndarray, values: np.ndarray, target: float, metric: Metric) -> int | None:
    """The smallest n at which the monotone curve `values` (H,) over `sizes` (H,) is at `target` or
    better. The curve is linear in log n between sizes, and n is rounded up. Returns the first size
    where the curve starts at the target or better, None where it never gets there."""
    sign = metric.sign
    better = sign * (np.asarray(values, dtype=np.float64) - target) >= -1e-12
    if not better.any():
        return None
    right = int(better.argmax())
    if right == 0:
        return int(sizes[0])
    step = values[right] - values[right - 1]
    share = (target - values[right - 1]) / step if step else 1.0
    logs = np.log2(np.asarray(sizes, dtype=np.float64))
    n_rows = 2 ** (logs[right - 1] + share * (logs[right] - logs[right - 1]))
    return int(np.ceil(n_rows - 1e-6))


def encoder_need(
    encoder: str, view: View, sizes: np.ndarray, curve: np.ndarray, *, target: float, metric: Metric
) -> EncoderNeed:
    """How many labels one space requires, from its quantile curve (H, 5) at `sizes` (H,)."""
    optimistic, cautious = (-1, 0) if metric.is_rate else (0, -1)
    low, middle, high = (
        required_n(sizes, curve[:, column], target, metric)
        for column in (optimistic, MEDIAN, cautious)
    )
    reached = np.array([probability_reached(quantiles, target, metric) for quantiles in curve])
    conditional = n_if_reached(sizes, reached)
    if middle is not None:
        status = "reached" if middle == sizes[0] else "reachable"
    else:
        status = "uncertain" if low is not None else "not_reachable"
    return EncoderNeed(
        encoder=encoder,
        view=ViewName(layer=view.layer, pooling=view.pooling),
        reachable=middle is not None,
        status=status,
        q05=low,
        q50=middle,
        q95=high,
        n_if_reached=(
            None if conditional is None or status == "reached" else int(np.ceil(conditional - 1e-6))
        ),
        p_reached_now=float(reached[0]),
        p_reachable=float(reached[-1]),
    )


def default_target(curves: Sequence[np.ndarray], metric: Metric, constant: float) -> float:
    """A target for a user who names none: one point less than the best median at the far end of
    `curves` (H, 5), in whole points. It is always better than `constant`, the score of the constant
    answer."""
    ends = [float(curve[-1, MEDIAN]) for curve in curves]
    if metric.is_rate:
        least = float(np.floor(round(100 * constant, 6))) + 1
        return min(max(float(np.floor(round(100 * max(ends) - 1, 6))), least), 100.0) / 100
    most = float(np.ceil(round(100 * constant, 6))) - 1
    return max(min(float(np.ceil(round(100 * min(ends) + 1, 6))), most), 0.0) / 100


def data_needed(forecasts: Forecasts, target: float) -> DataNeeded:
    """Question 1: what the space that needs the fewest labels requires, and the same for each
    encoder."""
    metric, sizes = forecasts.metric, forecasts.sizes
    needs = [
        encoder_need(f.space.info.ref, f.space.view, sizes, f.curve, target=target, metric=metric)
        for f in forecasts.in_order
    ]
    chosen = fewest_labels(needs)
    by_encoder = []
    for ref in dict.fromkeys(need.encoder for need in needs):
        own = [need for need in needs if need.encoder == ref]
        by_encoder.append(own[fewest_labels(own)])
    curve = forecasts.in_order[chosen].curve
    return DataNeeded(
        **needs[chosen].model_dump(),
        searched_up_to=int(sizes[-1]),
        plan=labelling_plan(needs[chosen], sizes, curve, target=target, metric=metric),
        by_encoder=by_encoder,
    )


def fewest_labels(needs: Sequence[EncoderNeed]) -> int:
    """Position of the space whose median reaches the target with the fewest labels. Where no median
    does, it is the space that most probably reaches it, now or at the largest size."""
    return min(
        range(len(needs)),
        key=lambda i: (
            needs[i].q50 is None,
            needs[i].q50 or 0,
            -needs[i].p_reached_now,
            -needs[i].p_reachable,
        ),
    )


def labelling_plan(
    need: EncoderNeed, sizes: np.ndarray, curve: np.ndarray, *, target: float, metric: Metric
) -> list[LabellingRound]:
    """Rounds of growing size, each with the forecast after it.

    The last round ends at the median requirement, or at the largest of `sizes` where only an
    optimistic quantile reaches the target. There are 3 to 5 rounds, or fewer where a round would
    have less than `MIN_ROUND_ROWS` rows. The plan is empty where the target is reached now, and
    where it is not reachable. The user runs `characterize` again after each round, so that a new
    forecast can correct the next one. `curve` is (H, 5).
    """
    if need.status in ("reached", "not_reachable"):
        return []
    goal = need.q50 if need.q50 is not None else int(sizes[-1])
    octaves = np.log2(goal / sizes[0])
    n_rounds = int(np.clip(np.ceil(octaves), MIN_ROUNDS, MAX_ROUNDS))
    n_rounds = max(min(n_rounds, (goal - int(sizes[0])) // MIN_ROUND_ROWS), 1)
    totals = np.unique(
        np.round(sizes[0] * 2 ** (octaves * np.arange(1, n_rounds + 1) / n_rounds)).astype(np.int64)
    )
    rounds: list[dict[str, Any]] = []
    before = int(sizes[0])
    for total in totals[totals > before]:
        after = np.array([np.interp(np.log2(total), np.log2(sizes), column) for column in curve.T])
        at = {"q05": float(after[0]), "q50": float(after[MEDIAN]), "q95": float(after[-1])}
        at["p_reached"] = probability_reached(after, target, metric)
        rounds.append(
            {"round": len(rounds) + 1, "label": int(total) - before, "n_train": int(total), **at}
        )
        before = int(total)
    return [LabellingRound(**each) for each in rounds]
