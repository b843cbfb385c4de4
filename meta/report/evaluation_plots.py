"""The pictures of how good the forecasts were on tasks left out. Inline SVG each."""

from collections.abc import Mapping

from markupsafe import Markup

from meta.metric import Metric
from meta.report.evaluation_data import HeldInterval
from meta.report.study_data import Horizon
from meta.report.svg import (
    DASHES,
    MARKERS,
    MUTED,
    SERIES,
    SURFACE,
    canvas,
    percent_axis,
    size_axis,
    title_above,
)

OUTSIDE = SERIES[5]
"""Colour of forecasts whose interval missed."""


def error_by_horizon(table: Mapping[str, Mapping[str, float]], labels: Mapping[str, str]) -> Markup:
    """Mean absolute error in points by horizon: the metamodel in bold, the baselines beside it.
    `labels` name the forecasters that are drawn, in order. The axis ends early enough for the
    metamodel to be read."""
    horizons = sorted(table, key=_factor)
    factors = [_factor(name) for name in horizons]
    own = {name: table[name]["metamodel"] for name in horizons if "metamodel" in table[name]}
    alt = ", ".join(f"{name}: {value:.1f}" for name, value in own.items())
    with canvas(
        f"Mean error of the metamodel in points: {alt}.",
        400,
        250,
        left=30,
        right=14,
        top=30,
        bottom=40,
    ) as picture:
        axes, highest = picture.axes, 0.0
        for position, forecaster in enumerate(labels):
            pairs = [
                (f, table[name][forecaster])
                for f, name in zip(factors, horizons, strict=True)
                if forecaster in table[name]
            ]
            if not pairs:
                continue
            is_own = forecaster == "metamodel"
            hue, marker = SERIES[position % len(SERIES)], MARKERS[position % len(MARKERS)]
            axes.plot(
                *zip(*pairs, strict=True),
                color=hue,
                marker=marker,
                markeredgecolor=SURFACE,
                linewidth=3 if is_own else 1.5,
                markersize=8 if is_own else 5.5,
                zorder=4 if is_own else 3,
                linestyle="-" if is_own else DASHES[1],
            )
            highest = max(highest, *(value for _, value in pairs))
        limit = 4 * max(own.values(), default=highest)
        axes.set_ylim(0, min(1.05 * highest, max(limit, 1.0)))
        size_axis(axes, [int(factor) for factor in factors])
        axes.set_xticks(factors, horizons)
        axes.set_xlabel("labelled rows forecast, as a multiple of those at hand")
        title_above(picture, "mean absolute error, points")
    return picture.html


def scatter_panel(horizon: Horizon, metric: Metric, limits: tuple[float, float]) -> Markup:
    """Predicted against actual at one horizon: circles where the 90 % interval held what came out,
    crosses where it did not."""
    inside = [point for point in horizon.points if point.low <= point.actual <= point.high]
    outside = [point for point in horizon.points if not point.low <= point.actual <= point.high]
    title = "now (1x)" if horizon.factor == 1 else f"{horizon.factor}x the labels"
    alt = (
        f"{title}: {len(inside)} of {len(horizon.points)} forecasts held what came out within their"
        " 90 % interval."
    )
    with canvas(alt, 270, 262, left=32, top=26, bottom=38) as picture:
        axes = picture.axes
        axes.plot(limits, limits, color=MUTED, linewidth=1)
        axes.plot(
            [p.predicted for p in inside],
            [p.actual for p in inside],
            "o",
            color=SERIES[0],
            alpha=0.5,
            markersize=4,
            mew=0,
        )
        axes.plot(
            [p.predicted for p in outside],
            [p.actual for p in outside],
            "x",
            color=OUTSIDE,
            markersize=5.5,
            mew=1.6,
        )
        axes.set_xlim(*limits)
        axes.set_ylim(*limits)
        if metric.is_rate:
            percent_axis(axes, "x")
            percent_axis(axes, "y")
        axes.set_xlabel("forecast")
        axes.set_title(f"{title}: what came out", fontsize=9.5, x=0.0)
    return picture.html


def coverage(table: Mapping[str, Mapping[str, HeldInterval]]) -> Markup:
    """Achieved coverage by horizon, a line for each promised level beside the promise as a dashed
    line."""
    horizons = sorted(
        {h for row in table.values() for h in row if h != "all"},
        key=_factor,
    )
    words = ", ".join(
        f"{level} % promised, {100 * row['all'].coverage:.0f} % held"
        for level, row in table.items()
        if "all" in row
    )
    with canvas(
        f"Coverage of the intervals: {words}.", 400, 250, left=30, right=40, top=30, bottom=38
    ) as picture:
        axes = picture.axes
        factors = [_factor(name) for name in horizons]
        for position, (level, row) in enumerate(sorted(table.items(), reverse=True)):
            hue = SERIES[position]
            pairs = [
                (f, 100 * row[name].coverage)
                for f, name in zip(factors, horizons, strict=True)
                if name in row
            ]
            axes.axhline(float(level), color=hue, linewidth=1.2, linestyle=(0, (4, 3)))
            axes.plot(
                *zip(*pairs, strict=True),
                color=hue,
                marker=MARKERS[position],
                markeredgecolor=SURFACE,
                markersize=6.5,
            )
            axes.annotate(
                f"{level} %",
                (1, float(level)),
                (4, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                color=hue,
                fontsize=8.5,
                annotation_clip=False,
            )
        axes.set_ylim(min(40.0, axes.get_ylim()[0]), 101)
        size_axis(axes, [int(factor) for factor in factors])
        axes.set_xticks(factors, horizons)
        axes.set_xlabel("multiple of the labels at hand")
        title_above(picture, "held what came out, %")
    return picture.html


def _factor(horizon: str) -> float:
    """4 of `4x`."""
    return float(horizon.rstrip("x"))
