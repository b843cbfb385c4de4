"""The pictures of a forecast, with what came out later where that is known. Inline SVG each."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from meta.metric import Metric
from meta.report.compared_spaces import ForecastSpace
from meta.report.study_data import MeasuredPoint
from meta.report.svg import (
    GOOD,
    INK,
    MUTED,
    SERIES,
    SURFACE,
    Picture,
    canvas,
    metric_axis,
    size_axis,
)
from meta.report.wording import count, rate, rows_between
from meta.schema import CurvePoint, DataNeeded

BAND, CORE = 0.16, 0.26
"""Opacity of the 90 % band, and of the 50 % band on top of it."""


def need_curve(space: ForecastSpace, need: DataNeeded, target: float, metric: Metric) -> Markup:
    """Question 1: the forecast with its bands, the target, and the 90 % interval of the row count
    at which the two meet."""
    curve = space.curve
    sizes = [point.n_train for point in curve]
    span = rows_between(need.q05, need.q95, need.searched_up_to)
    alt = (
        f"Forecast from {count(sizes[0])} to {count(sizes[-1])} rows; target {rate(target, metric)}"
        f" met at {span} rows."
    )
    with canvas(alt, 400, 260, left=34, right=14, top=30, bottom=40) as picture:
        axes = picture.axes
        _bands(picture, curve, SERIES[0])
        _measured(picture, space.measured, sizes)
        axes.set_ymargin(0.07)
        axes.axhline(target, color=INK, linewidth=1.4, linestyle=(0, (4, 3)), zorder=5)
        axes.annotate(
            f"target {rate(target, metric)}",
            (1, target),
            (-3, 8),  # to the right: the axis is named on the left; above the bar
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            fontweight="bold",
            zorder=8,
        )
        _required(picture, need, target, sizes)
        size_axis(axes, octaves(sizes))
        axes.set_xlim(sizes[0] / 1.06, sizes[-1] * 1.06)
        axes.set_xlabel("labelled rows")
        metric_axis(picture, metric)
    return picture.html


def forecast_panel(space: ForecastSpace, metric: Metric, y_range: tuple[float, float]) -> Markup:
    """Question 2: the forecast of one space, small, on the common scale `y_range`."""
    curve = space.curve
    sizes = [point.n_train for point in curve]
    ends = [
        f"{rate(point.q50, metric)} at {count(point.n_train)} rows"
        for point in (curve[0], curve[-1])
    ]
    alt = f"{space.name}: forecast {', '.join(ends)}."
    with canvas(alt, 260, 190, left=30, top=26, bottom=26) as picture:
        _bands(picture, curve, SERIES[space.colour % len(SERIES)])
        _measured(picture, space.measured, sizes)
        picture.axes.set_ylim(*y_range)
        size_axis(picture.axes, octaves(sizes), max_ticks=5)
        picture.axes.set_xlim(sizes[0] / 1.08, sizes[-1] * 1.08)
        metric_axis(picture, metric, label=False)
        picture.axes.set_title(space.name, fontsize=9.5, x=0.0)
    return picture.html


def common_range(
    curves: Sequence[Sequence[CurvePoint]], measured: Sequence[MeasuredPoint] = ()
) -> tuple[float, float]:
    """One scale for several forecasts: from the lowest 5 % to the highest 95 % quantile, with a
    little air."""
    values = [value for curve in curves for point in curve for value in (point.q05, point.q95)]
    values += [point.mean for point in measured]
    low, high = min(values), max(values)
    air = 0.04 * (high - low) + 1e-3
    return low - air, high + air


def _bands(picture: Picture, curve: Sequence[CurvePoint], hue: str) -> None:
    """The 90 % band, the 50 % band on top of it, and the median."""
    sizes = [point.n_train for point in curve]
    bands = (
        ([point.q05 for point in curve], [point.q95 for point in curve], BAND),
        ([point.q25 for point in curve], [point.q75 for point in curve], CORE),
    )
    for low, high, opacity in bands:
        picture.axes.fill_between(sizes, low, high, color=hue, alpha=opacity, linewidth=0)
    picture.axes.plot(sizes, [point.q50 for point in curve], color=hue, linewidth=2.2, zorder=3)


def _measured(picture: Picture, measured: Sequence[MeasuredPoint], sizes: Sequence[int]) -> None:
    shown = [point for point in measured if sizes[0] * 0.95 <= point.n_train <= sizes[-1] * 1.05]
    if shown:
        picture.axes.plot(
            [point.n_train for point in shown],
            [point.mean for point in shown],
            "D",
            color=GOOD,
            markeredgecolor=SURFACE,
            markersize=7,
            zorder=7,  # in sight where it meets the forecast's own mark
        )


def _required(picture: Picture, need: DataNeeded, target: float, sizes: Sequence[int]) -> None:
    """The required row count as a broad bar behind the target line, from its 5 % to its 95 %
    quantile. A bar without an end runs to the edge. A dot marks the median, and a line leads from
    it to the axis below."""
    if need.q05 is None or need.status == "reached":
        return
    middle = need.q50
    end = need.q95 if need.q95 is not None else sizes[-1] * 1.06
    picture.axes.plot(
        [need.q05, end],
        [target, target],
        color=MUTED,
        alpha=0.5,
        linewidth=10,
        solid_capstyle="butt",
        zorder=4,
    )
    if middle is not None:
        picture.axes.plot(
            middle, target, "o", color=INK, markeredgecolor=SURFACE, markersize=10, zorder=6
        )
        bottom = picture.axes.get_ylim()[0]
        picture.axes.plot([middle, middle], [bottom, target], color=INK, linewidth=1, zorder=5)
        picture.axes.set_ylim(bottom=bottom)
        is_right = (
            middle > (sizes[0] * sizes[-1] ** 3) ** 0.25
        )  # in the last quarter of the logarithmic axis
        picture.axes.annotate(
            f"{count(middle)} rows",
            (middle, 0),
            (-5 if is_right else 5, 6),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if is_right else "left",
            fontweight="bold",
            zorder=8,
        )


def octaves(sizes: Sequence[int]) -> list[int]:
    """The sizes that are (about) the first times a power of two."""
    ratios = np.log2(np.asarray(sizes, dtype=np.float64) / sizes[0])
    return [
        size for size, ratio in zip(sizes, ratios, strict=True) if abs(ratio - round(ratio)) < 0.02
    ]
