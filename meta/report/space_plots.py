"""The pictures that compare embedding spaces: their ranking, and the layers of each encoder. Inline
SVG each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from meta.metric import HALF_A_POINT, Metric
from meta.report.compared_spaces import ForecastSpace
from meta.report.svg import (
    GRID,
    MARKERS,
    MUTED,
    SERIES,
    SURFACE,
    canvas,
    metric_axis,
    metric_label,
    percent_axis,
)
from meta.report.wording import hundredths, percent, rate


def ranking(spaces: Sequence[ForecastSpace], metric: Metric) -> Markup:
    """Question 4: the forecast of each space at the present size as a dot with its 50 % and 90 %
    intervals, and the probability that it is the best. The best space comes first."""
    alt = "; ".join(f"{space.label}: {rate(space.q50, metric)}" for space in spaces[:6])
    height = 46 + 33 * len(spaces)
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
        for row, space in enumerate(spaces):
            hue, y, now = SERIES[space.colour % len(SERIES)], row + 0.68, space.curve[0]
            axes.plot([now.q05, now.q95], [y, y], color=hue, linewidth=1.4)
            axes.plot([now.q25, now.q75], [y, y], color=hue, linewidth=4.2)
            axes.plot(
                now.q50,
                y,
                MARKERS[space.colour % len(MARKERS)],
                color=hue,
                markersize=7,
                markeredgecolor=SURFACE,
            )
            axes.annotate(
                space.label,
                (0, row + 0.22),
                (2, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
            )
            axes.annotate(
                percent(space.p_best),
                (1, y),
                (58, 0),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                va="center",
                ha="right",
                annotation_clip=False,
            )
            axes.axhline(row + 1, color=GRID, linewidth=0.8)
        axes.set_ylim(len(spaces), 0)
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
        axes.annotate(
            metric_label(metric),
            (0, 1),
            (2, 10),
            xycoords="axes fraction",
            textcoords="offset points",
            color=MUTED,
        )
    return picture.html


@dataclass(frozen=True)
class EncoderByLayer:
    """The metric at each layer of an encoder that was read."""

    name: str
    values: Mapping[int, float]
    colour: int


def least_good_enough(encoders: Sequence[EncoderByLayer], metric: Metric) -> float:
    """The value half a point short of the best one."""
    best = max(
        (value for encoder in encoders for value in encoder.values.values()),
        key=lambda value: metric.sign * value,
    )
    return best - metric.sign * HALF_A_POINT


def depth(encoders: Sequence[EncoderByLayer], metric: Metric, alt: str) -> Markup:
    """The metric by layer, a line for each encoder. What lies within half a point of the best value
    has a grey ground."""
    good_enough = least_good_enough(encoders, metric)
    with canvas(alt, 400, 250, left=34, top=30, bottom=38) as picture:
        axes = picture.axes
        for encoder in encoders:
            layers = sorted(encoder.values)
            axes.plot(
                layers,
                [encoder.values[layer] for layer in layers],
                color=SERIES[encoder.colour % len(SERIES)],
                marker=MARKERS[encoder.colour % len(MARKERS)],
                markeredgecolor=SURFACE,
                mew=0.7,
                markersize=7.5,
                clip_on=False,
                zorder=3,
            )
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
            f"grey: within {hundredths(metric).half} of the best",
            (1, 1),
            (0, 8),  # above the picture, where no mark lies
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right",
            color=MUTED,
            annotation_clip=False,
        )
        deepest = max(layer for encoder in encoders for layer in encoder.values)
        axes.set_xticks(np.unique(np.linspace(0, deepest, min(deepest, 6) + 1).round().astype(int)))
        axes.set_xlabel("layer that is read (0: before the first layer)")
        metric_axis(picture, metric)
    return picture.html
