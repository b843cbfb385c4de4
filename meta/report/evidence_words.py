"""How far to trust a forecast, in sentences made of the evaluation's own numbers.

A sentence is empty where its numbers are missing: nothing is said that was not measured.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from meta.metric import NBSP
from meta.report.evaluation_data import Evaluation
from meta.report.study_data import MeasuredPoint
from meta.report.wording import percent, points
from meta.schema import CurvePoint, DataNeeded, Evidence

FORECASTERS = {
    "metamodel": "metamodel",
    "anchor": "mean of the 2- and 3-parameter laws",
    "loo": "leave-one-out, carried forward",
    "last": "last held-out point, carried forward",
    "pow2": "power law, 2 parameters",
    "pow3": "power law, 3 parameters",
    "pow4": "power law, 4 parameters",
    "octaves": "power law on the last two octaves",
    "encoder_mean": "mean of the encoder on other tasks",
}
KEPT = 2
"""Per cent: coverage this near to what was promised counts as kept."""
NOTABLE_BIAS = 1.0
"""Points: a smaller mean signed error is not spoken of."""


def row_count_words(evidence: Evidence, need: DataNeeded) -> str:
    """How often row counts like that of the first answer were right, by horizon; empty where the
    answer names no row count."""
    if need.status not in ("reachable", "uncertain"):
        return ""
    estimator, row_count = (
        ("q50", need.q50)
        if need.n_if_reached is None and need.status == "reachable"
        else ("n_if_reached", need.n_if_reached)
    )
    right = [
        (percent(shares[estimator]), f"{horizon.removesuffix('x')} times")
        for horizon, shares in evidence.held_out_required_n_within_2x.items()
        if estimator in shares
    ]
    if row_count is None or not right:
        return ""
    first, *others = right
    return (
        "On tasks left out, row counts like this were within a factor of two of the truth in"
        f" {first[0]} of the cases that needed {first[1]} the"
        f" rows{''.join(f', in {share} of those that needed {much}' for share, much in others)}."
    )


def held_words(evaluation: Evaluation) -> str:
    """What the 50 % and the 90 % intervals held: `45 % and 93 %`."""
    held = evaluation.at_all_horizons
    if not {"50", "90"} <= set(held):
        return ""
    return " and ".join(percent(held[level].coverage) for level in ("50", "90"))


def coverage_words(evaluation: Evaluation) -> str:
    """Which intervals were too narrow, which wider than needed, with what they held."""
    verdicts: dict[str, list[str]] = {"too narrow": [], "about right": [], "wider than needed": []}
    for level, held in evaluation.at_all_horizons.items():
        excess = round(100 * held.coverage) - float(level)
        verdict = (
            "too narrow"
            if excess < -KEPT
            else "wider than needed"
            if excess > KEPT
            else "about right"
        )
        verdicts[verdict].append(f"the {level}{NBSP}% intervals (held {percent(held.coverage)})")
    said = "; ".join(
        f"{verdict}: {' and '.join(intervals)}"
        for verdict, intervals in verdicts.items()
        if intervals
    )
    return f"{said[0].upper()}{said[1:]}." if said else ""


def bias_words(forecasts: Sequence[tuple[Sequence[CurvePoint], Sequence[MeasuredPoint]]]) -> str:
    """Whether forecasts err to one side. `forecasts` are pairs of a curve and what was measured
    afterwards; they are compared where the curve reaches. Empty where the mean signed error is
    below `NOTABLE_BIAS` points."""
    errors, n_inside = [], 0
    for curve, measured in forecasts:
        octaves = np.log2([point.n_train for point in curve])
        quantiles = [[point.q05, point.q50, point.q95] for point in curve]
        for point in measured:
            at = np.log2(point.n_train)
            if octaves[0] <= at <= octaves[-1]:
                low, middle, high = (
                    float(np.interp(at, octaves, values)) for values in zip(*quantiles, strict=True)
                )
                errors.append(100 * (middle - point.mean))
                n_inside += low <= point.mean <= high
    mean = sum(errors) / len(errors) if errors else 0.0
    if abs(mean) < NOTABLE_BIAS:
        return ""
    n_same = sum(error * mean > 0 for error in errors)
    return (
        f"On this task the median forecasts are too {'high' if mean > 0 else 'low'}, by"
        f" {points(abs(mean))} points on average ({n_same} of {len(errors)} measured values lie"
        f" {'below' if mean > 0 else 'above'}); the 90{NBSP}% bands hold {n_inside} of"
        f" {len(errors)}."
    )


class ErrorRow(NamedTuple):
    """The errors of one forecaster."""

    label: str
    is_own: bool
    """Of the metamodel."""
    cells: list[tuple[float | None, bool]]
    """By horizon: the error, and whether it is the lowest, to the tenth that is shown."""


def error_rows(errors: Mapping[str, Mapping[str, float]]) -> list[ErrorRow]:
    """The table of errors in points, a row for each forecaster. `errors` are by horizon, then by
    forecaster."""
    lowest = {horizon: points(min(row.values())) for horizon, row in errors.items() if row}
    order = [name for name in FORECASTERS if any(name in row for row in errors.values())]
    order += sorted({name for row in errors.values() for name in row} - set(FORECASTERS))
    return [
        ErrorRow(
            label=_label(name),
            is_own=name == "metamodel",
            cells=[
                (row[name], points(row[name]) == lowest[horizon]) if name in row else (None, False)
                for horizon, row in errors.items()
            ],
        )
        for name in order
    ]


def error_words(errors: Mapping[str, Mapping[str, float]]) -> list[str]:
    """In sentences, for better or worse, how the metamodel compares with the best baseline of each
    horizon. Errors that are equal as the page shows them, to the tenth of a point, are level."""
    verdicts: dict[str, dict[str, str]] = {"lower": {}, "level": {}, "higher": {}}
    for horizon, row in errors.items():
        others = {name: value for name, value in row.items() if name != "metamodel"}
        if "metamodel" not in row or not others:
            continue
        rival, value = min(others.items(), key=lambda item: item[1])
        own, theirs, label = points(row["metamodel"]), points(value), _label(rival)
        if own == theirs:
            verdicts["level"][f"{horizon} ({own} points each)"] = label
        else:
            verdict = "lower" if row["metamodel"] < value else "higher"
            verdicts[verdict][f"{horizon} ({own} points against {theirs})"] = label
    openings = {
        "lower": "The metamodel errs less than every baseline at",
        "level": "The metamodel is level with the best baseline at",
        "higher": "The best baseline errs less than the metamodel at",
    }
    return [
        f"{openings[verdict]} {', '.join(cases)}. The best baseline there:"
        f" {'; '.join(dict.fromkeys(cases.values()))}."
        for verdict, cases in verdicts.items()
        if cases
    ]


def _label(forecaster: str) -> str:
    """A forecaster that a later build added has its own name."""
    return FORECASTERS.get(forecaster, forecaster)
