"""Question 1: how many labels are required, and a plan to collect them in rounds.

The required n is read from calibrated quantile curves. The metric at each n is a distribution, so
the required n is a distribution too. The n at which the 95 % curve reaches the target is the
optimistic end: with a probability of 5 %, fewer rows do. The n of the 5 % curve is the cautious
end. A target that is not reached within the curve gives null: no curve is extrapolated. (For a
log-loss, the 5 % curve is the optimistic one.)
"""

from typing import Any

import numpy as np

from meta.answering.best_choice import BestChoice
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
    """How many labels are required, from the quantile curve (H, 5) at `sizes` (H,). `encoder` and
    `view` name the space of which it is told."""
    optimistic, cautious = (-1, 0) if metric.is_rate else (0, -1)
    low, middle, high = (
        required_n(sizes, curve[:, column], target, metric)
        for column in (optimistic, MEDIAN, cautious)
    )
    reached = np.array([probability_reached(quantiles, target, metric) for quantiles in curve])
    likely = n_if_reached(sizes, reached)
    if middle is not None:
        status = "reached" if middle == sizes[0] else "reachable"
    else:
        status = "uncertain" if low is not None else "not_reachable"
    if status == "reached":
        likely = np.full(3, sizes[0])
    if_reached = dict(
        zip(("n_if_reached_q05", "n_if_reached", "n_if_reached_q95"), likely, strict=True)
        if likely is not None
        else ()
    )
    return EncoderNeed(
        encoder=encoder,
        view=ViewName(layer=view.layer, pooling=view.pooling),
        reachable=middle is not None,
        status=status,
        q05=low,
        q50=middle,
        q95=high,
        p_reached_now=float(reached[0]),
        p_reachable=float(reached[-1]),
        **{name: int(np.ceil(n - 1e-6)) for name, n in if_reached.items()},
    )


def default_target(curve: np.ndarray, metric: Metric, constant: float) -> float:
    """A target for a user who names none: one point less than the median at the far end of `curve`
    (H, 5), in whole points. It is always better than `constant`, the score of the constant
    answer."""
    end = float(curve[-1, MEDIAN])
    if metric.is_rate:
        least = float(np.floor(round(100 * constant, 6))) + 1
        return min(max(float(np.floor(round(100 * end - 1, 6))), least), 100.0) / 100
    most = float(np.ceil(round(100 * constant, 6))) - 1
    return max(min(float(np.ceil(round(100 * end + 1, 6))), most), 0.0) / 100


def data_needed(forecasts: Forecasts, target: float) -> DataNeeded:
    """Question 1: what the best choice of a space at each size requires, and the same among the
    spaces of each encoder."""
    metric, sizes, best = forecasts.metric, forecasts.sizes, forecasts.best_choice
    need = _need(forecasts, best, target)
    encoders = dict.fromkeys(f.space.info.ref for f in forecasts.in_order)
    return DataNeeded(
        **need.model_dump(),
        searched_up_to=int(sizes[-1]),
        plan=labelling_plan(need, sizes, best.curve, target=target, metric=metric),
        by_encoder=[_need(forecasts, forecasts.best_choice_of(ref), target) for ref in encoders],
    )


def _need(forecasts: Forecasts, choice: BestChoice, target: float) -> EncoderNeed:
    """What `choice` requires. It is told of the space that is chosen where the median reaches the
    target, or at the largest size where it does not."""
    metric, sizes = forecasts.metric, forecasts.sizes
    median = required_n(sizes, choice.curve[:, MEDIAN], target, metric)
    space = forecasts.spaces[choice.at(sizes, median or sizes[-1])]
    return encoder_need(
        space.info.ref, space.view, sizes, choice.curve, target=target, metric=metric
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
