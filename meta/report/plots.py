"""The pictures of the six answers. Every function takes plain values and returns inline SVG; `alt`
texts say what is seen."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from meta.metric import Metric
from meta.report.data import MeasuredPoint
from meta.report.svg import (
    GOOD,
    GRID,
    INK,
    MARKERS,
    MUTED,
    SERIES,
    SURFACE,
    Picture,
    canvas,
    percent_axis,
    size_axis,
)
from meta.report.wording import count, hundredths, percent, rate, rows_between

BAND, CORE = 0.16, 0.26
"""Opacity of the 90 % band, and of the 50 % band on top of it."""


def metric_axis(picture: Picture, metric: Metric, *, label: bool = True) -> None:
    """The metric upwards: percent for rates; the label stands above the axis, where it need not be
    read sideways."""
    if metric.is_rate:
        percent_axis(picture.axes)
    if label:
        title = f"{metric.words}{', %' if metric.is_rate else ''}"
        picture.axes.set_title(title, fontsize=9.5, fontweight="normal", color=MUTED, pad=8, x=0.0)


def need_curve(
    curve: Sequence[Mapping[str, Any]],
    need: Mapping[str, Any],
    target: float | None,
    metric: Metric,
    measured: Sequence[MeasuredPoint] = (),
) -> Markup:
    """Question 1: the forecast with its bands, the target, and where the two meet with the 90 %
    interval of the meeting point. `measured` are values that came out later, where they are known.
    """
    sizes = [point["n_train"] for point in curve]
    span = rows_between(need.get("q05"), need.get("q95"), need.get("searched_up_to") or sizes[-1])
    alt = (
        f"Forecast from {count(sizes[0])} to {count(sizes[-1])} rows; target {rate(target, metric)}"
        f" met at {span} rows."
    )
    with canvas(alt, 400, 260, left=34, right=14, top=30, bottom=40) as picture:
        axes = picture.axes
        _bands(picture, curve, SERIES[0])
        _measured(picture, measured, sizes)
        axes.set_ymargin(0.07)
        if target is not None:
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


def forecast_panel(
    title: str,
    curve: Sequence[Mapping[str, Any]],
    *,
    metric: Metric,
    y_range: tuple[float, float],
    measured: Sequence[MeasuredPoint] = (),
    colour: int = 0,
) -> Markup:
    """Question 2: one space's forecast, small, on the common scale `y_range`."""
    sizes = [point["n_train"] for point in curve]
    ends = [
        f"{rate(point['q50'], metric)} at {count(point['n_train'])} rows"
        for point in (curve[0], curve[-1])
    ]
    alt = f"{title}: forecast {', '.join(ends)}."
    with canvas(alt, 260, 190, left=30, top=26, bottom=26) as picture:
        _bands(picture, curve, SERIES[colour % len(SERIES)])
        _measured(picture, measured, sizes)
        picture.axes.set_ylim(*y_range)
        size_axis(picture.axes, octaves(sizes), max_ticks=5)
        picture.axes.set_xlim(sizes[0] / 1.08, sizes[-1] * 1.08)
        metric_axis(picture, metric, label=False)
        picture.axes.set_title(title, fontsize=9.5, x=0.0)
    return picture.html


def ranking(
    rows: Sequence[tuple[str, Mapping[str, Any], float]], metric: Metric, colours: Sequence[int]
) -> Markup:
    """Question 4: each space's forecast at the present size as a dot with its 50 % and 90 %
    intervals, and the probability that it is the best. `rows` are (name, curve point, p_best), best
    first; `colours` number the encoders."""
    alt = "; ".join(f"{name}: {rate(point['q50'], metric)}" for name, point, _ in rows[:6])
    height = 46 + 33 * len(rows)
    with canvas(
        f"Forecast of each embedding space. {alt}.",
        400,
        height,
        left=8,
        right=64,
        top=26,
        bottom=28,
    ) as picture:
        axes = picture.axes
        for row, ((name, point, p_best), colour) in enumerate(zip(rows, colours, strict=True)):
            hue, y = SERIES[colour % len(SERIES)], row + 0.68
            low, high = point["q05"], point["q95"]
            axes.plot([low, high], [y, y], color=hue, linewidth=1.4)
            axes.plot(
                [point.get("q25", low), point.get("q75", high)], [y, y], color=hue, linewidth=4.2
            )
            axes.plot(
                point["q50"],
                y,
                MARKERS[colour % len(MARKERS)],
                color=hue,
                markersize=7,
                markeredgecolor=SURFACE,
            )
            axes.annotate(
                name,
                (0, row + 0.22),
                (2, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
            )
            axes.annotate(
                percent(p_best),
                (1, y),
                (58, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                ha="right",
                annotation_clip=False,
            )
            axes.axhline(row + 1, color=GRID, linewidth=0.8)
        axes.set_ylim(len(rows), 0)
        axes.set_yticks([])
        axes.set_xmargin(0.04)
        if metric.is_rate:
            percent_axis(axes, "x")
        axes.annotate(
            "chance of best",
            (1, 1),
            (58, 10),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=MUTED,
            annotation_clip=False,
        )
        metric_axis_below = metric.words + (", %" if metric.is_rate else "")
        axes.annotate(
            metric_axis_below,
            (0, 1),
            (2, 10),
            xycoords="axes fraction",
            textcoords="offset points",
            color=MUTED,
        )
    return picture.html


def depth(
    series: Sequence[tuple[str, Sequence[tuple[int, float]], int]],
    metric: Metric,
    *,
    good_enough: float | None,
    alt: str,
) -> Markup:
    """Question 5: quality by layer of each encoder. `series` are (name, (layer, value) pairs,
    colour number); `good_enough` is the edge of what is within half a point of the best."""
    with canvas(alt, 400, 250, left=34, top=30, bottom=38) as picture:
        axes = picture.axes
        for _, pairs, colour in series:
            layers, values = zip(*sorted(pairs), strict=True)
            hue, marker = SERIES[colour % len(SERIES)], MARKERS[colour % len(MARKERS)]
            axes.plot(
                layers,
                values,
                color=hue,
                marker=marker,
                markeredgecolor=SURFACE,
                mew=0.7,
                markersize=7.5,
                clip_on=False,
                zorder=3,
            )
        if good_enough is not None:
            low, high = axes.get_ylim()
            edge = high if metric.is_rate else low
            axes.axhspan(
                good_enough,
                edge + (edge - good_enough) * 0.02,
                color=MUTED,
                alpha=0.15,
                linewidth=0,
            )
            axes.annotate(
                f"grey: within {hundredths(metric)[1]} of the best",
                (1, 1),
                (0, 8),  # above the picture, where no mark lies
                xycoords="axes fraction",
                textcoords="offset points",
                ha="right",
                color=MUTED,
                annotation_clip=False,
            )
        deepest = max(layer for _, pairs, _ in series for layer, _ in pairs)
        axes.set_xticks(np.unique(np.linspace(0, deepest, min(deepest, 6) + 1).round().astype(int)))
        axes.set_xlabel("layer that is read (0: before the first layer)")
        metric_axis(picture, metric)
    return picture.html


def common_range(
    curves: Sequence[Sequence[Mapping[str, Any]]], measured: Sequence[MeasuredPoint] = ()
) -> tuple[float, float]:
    """One scale for several forecasts: from the lowest 5 % to the highest 95 % quantile, with a
    little air."""
    values = [point[name] for curve in curves for point in curve for name in ("q05", "q95")] + [
        point.mean for point in measured
    ]
    low, high = min(values), max(values)
    air = 0.04 * (high - low) + 1e-3
    return low - air, high + air


def _bands(picture: Picture, curve: Sequence[Mapping[str, Any]], hue: str) -> None:
    sizes = [point["n_train"] for point in curve]
    axes = picture.axes
    axes.fill_between(
        sizes, *([p[q] for p in curve] for q in ("q05", "q95")), color=hue, alpha=BAND, linewidth=0
    )
    if all("q25" in point and "q75" in point for point in curve):
        axes.fill_between(
            sizes,
            *([p[q] for p in curve] for q in ("q25", "q75")),
            color=hue,
            alpha=CORE,
            linewidth=0,
        )
    axes.plot(sizes, [point["q50"] for point in curve], color=hue, linewidth=2.2, zorder=3)


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


def _required(
    picture: Picture, need: Mapping[str, Any], target: float, sizes: Sequence[int]
) -> None:
    """The required n as a broad bar behind the target line, from its 5 % to its 95 % quantile, up
    to the edge where it does not end; the median as a dot, read off on the axis below."""
    low, middle, high = (need.get(name) for name in ("q05", "q50", "q95"))
    if low is None or need.get("status") == "reached":
        return
    end = high if high is not None else sizes[-1] * 1.06
    picture.axes.plot(
        [low, end],
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
