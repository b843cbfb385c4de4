"""Question 1: required labels, by inverting calibrated quantile curves; and how to get there in
rounds.

The metric at each n is a distribution, so the required n is one too: the n at which the q95 curve
reaches the target is the optimistic end (5 % need fewer), the n of the q05 curve the cautious end.
What is not reached within the horizon is null, never a number made by extrapolating further.
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
"""Mahmood et al. 2022: to collect in a few rounds and to look again beats one guess."""
MIN_ROUND_ROWS = 20
"""A look again after fewer labels would tell nothing new."""


def required_n(sizes: np.ndarray, values: np.ndarray, target: float, metric: Metric) -> int | None:
    """The smallest n at which a monotone curve `values` (H,) over `sizes` (H,) is at `target` or
    better, linear in log n between sizes, rounded up; the first size if it is there from the start;
    None if it never is."""
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
    """Required labels from the quantile curve (H, 5) of one space."""
    hopeful, cautious = (-1, 0) if metric.is_rate else (0, -1)
    low, middle, high = (
        required_n(sizes, curve[:, column], target, metric)
        for column in (hopeful, MEDIAN, cautious)
    )
    reached = np.array([probability_reached(quantiles, target, metric) for quantiles in curve])
    likely = n_if_reached(sizes, reached)
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
        n_if_reached=None if likely is None or status == "reached" else int(np.ceil(likely - 1e-6)),
        p_reached_now=float(reached[0]),
        p_reachable=float(reached[-1]),
    )


def default_target(curves: Sequence[np.ndarray], metric: Metric, constant: float) -> float:
    """A target for a user who names none: a point short of the best median at the far end of the
    curves (H, 5), in whole points. It is better than what an answer that never looks at a text has
    (`constant`), which is no aim."""
    ends = [float(curve[-1, MEDIAN]) for curve in curves]
    if metric.is_rate:
        least = float(np.floor(round(100 * constant, 6))) + 1
        return min(max(float(np.floor(round(100 * max(ends) - 1, 6))), least), 100.0) / 100
    most = float(np.ceil(round(100 * constant, 6))) - 1
    return max(min(float(np.ceil(round(100 * min(ends) + 1, 6))), most), 0.0) / 100


def data_needed(forecasts: Forecasts, target: float) -> DataNeeded:
    """Question 1, with the space that needs the fewest labels, and with each encoder's best one."""
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
    """Position of the space that gets there with the fewest labels (median); if none does, of the
    likeliest to."""
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
    """3 to 5 rounds of growing size up to the median requirement (to the far end where only an
    optimistic quantile gets there), each with the forecast after it; fewer where they would be of
    less than `MIN_ROUND_ROWS` rows. Empty where the target is reached now, and where it is not
    reachable: no number of labels would do. Each round's look can correct the next."""
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
