"""The pictures of a study: what was measured, how the pretraining went, what the meta-search tried.
Inline SVG each."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from meta.metric import Metric
from meta.report.study_data import LearningCurve, PretrainedModel, RegularisationCurve
from meta.report.svg import (
    DASHES,
    GOOD,
    INK,
    MARKERS,
    SERIES,
    SURFACE,
    canvas,
    metric_axis,
    short_count,
    size_axis,
    title_above,
)
from meta.report.wording import count, number, rate
from meta.search import Candidate


def learning_panel(
    task: str,
    curves: Sequence[LearningCurve],
    colours: Mapping[str, int],
    metric: Metric,
    y_range: tuple[float, float],
    constant: float | None = None,
) -> Markup:
    """One task: every encoder's measured learning curve, mean with a band of one standard deviation
    over seeds, and what an answer has that never looks at a text as a dashed line."""
    best = max(curves, key=lambda curve: curve.points[-1].mean)
    end = best.points[-1]
    alt = (
        f"{task}: {best.encoder} reaches {rate(end.mean, metric)} with {count(end.n_train)}"
        " labelled rows."
    )
    with canvas(alt, 270, 200, left=30, top=26, bottom=26) as picture:
        for curve in curves:
            colour = colours[curve.encoder]
            hue, sizes = SERIES[colour % len(SERIES)], [point.n_train for point in curve.points]
            low, high = ([p.mean + sign * p.sd for p in curve.points] for sign in (-1, 1))
            picture.axes.fill_between(sizes, low, high, color=hue, alpha=0.14, linewidth=0)
            picture.axes.plot(
                sizes,
                [point.mean for point in curve.points],
                color=hue,
                marker=MARKERS[colour % len(MARKERS)],
                markeredgecolor=SURFACE,
                linestyle=DASHES[colour // len(SERIES) % len(DASHES)],
            )
        if constant is not None:
            picture.axes.axhline(
                constant, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=4
            )
        size_axis(
            picture.axes,
            sorted({point.n_train for curve in curves for point in curve.points}),
            max_ticks=5,
        )
        picture.axes.set_ylim(*y_range)
        metric_axis(picture, metric, label=False)
        picture.axes.set_title(task, fontsize=9.5, x=0.0)
    return picture.html


def regularisation(curves: Sequence[RegularisationCurve], metric: Metric) -> Markup:
    """Quality by C, one line for each size, and the level that choosing C by leave-one-out reached
    as a dotted line."""
    alt = "; ".join(
        f"with {count(c.n_train)} rows the best C is {c.C[c.values.index(max(c.values))]:g}"
        for c in curves
    )
    with canvas(
        f"Quality by regularisation: {alt}.", 400, 250, left=34, right=62, top=30, bottom=38
    ) as picture:
        axes = picture.axes
        for position, curve in enumerate(curves):
            hue = SERIES[position % len(SERIES)]
            axes.plot(
                curve.C, curve.values, color=hue, marker=MARKERS[position], markeredgecolor=SURFACE
            )
            axes.annotate(
                f"{count(curve.n_train)} rows",
                (curve.C[-1], curve.values[-1]),
                (7, 0),
                textcoords="offset points",
                va="center",
                color=hue,
                annotation_clip=False,
            )
            if curve.chosen is not None:
                axes.axhline(curve.chosen, color=hue, linewidth=1, linestyle=(0, (1, 2)))
        axes.set_xscale("log")
        decades = [
            10.0**e
            for e in range(-12, 13)
            if curves[0].C[0] <= 1.001 * 10.0**e and 10.0**e <= 1.001 * curves[0].C[-1]
        ]
        axes.xaxis.set_major_locator(FixedLocator(decades[:: max(1, (len(decades) + 5) // 6)]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("C (left: strongly regularised, right: hardly)")
        metric_axis(picture, metric)
    return picture.html


def pretraining(models: Sequence[PretrainedModel], colours: Mapping[str, int]) -> Markup:
    """Training loss by tokens seen, a line for each model (all have losses), and as a dashed line
    that of guessing by word frequency."""
    alt = "; ".join(f"{model.name} ends at {model.losses[-1][1]:.2f} nats" for model in models)
    with canvas(
        f"Pretraining loss: {alt}.", 400, 240, left=34, right=12, top=30, bottom=38
    ) as picture:
        axes = picture.axes
        for model in models:
            axes.plot(
                *zip(*model.losses, strict=True),
                color=SERIES[colours[model.name] % len(SERIES)],
                linewidth=1.8,
            )
        unigram = next((model.unigram_loss for model in models if model.unigram_loss), None)
        if unigram is not None:
            axes.axhline(
                unigram, color=INK, linewidth=1.1, linestyle=(0, (4, 3)), zorder=4
            )  # named in the caption
        axes.xaxis.set_major_locator(_few_ticks())
        axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
        axes.set_xlabel("tokens seen")
        title_above(picture, "loss, nats a hidden token")
    return picture.html


def search(candidates: Sequence[Candidate], metric: Metric) -> Markup:
    """The meta-search: what each candidate is predicted to reach, with its 90 % interval, by its
    number of parameters; the chosen one is a diamond."""
    chosen = next((candidate for candidate in candidates if candidate.chosen), None)
    alt = f"{len(candidates)} candidates" + (
        f"; chosen: {chosen.n_layers} layers of {chosen.hidden_size}" if chosen else ""
    )
    with canvas(f"Meta-search: {alt}.", 400, 240, left=34, right=14, top=30, bottom=40) as picture:
        axes = picture.axes
        for candidate in candidates:
            hue, size = (GOOD, 10.0) if candidate.chosen else (SERIES[0], 6.5)
            x, marker = candidate.n_parameters, "D" if candidate.chosen else "o"
            axes.plot(
                [x, x],
                [candidate.predicted_low, candidate.predicted_high],
                color=hue,
                linewidth=1.4,
            )
            axes.plot(
                x,
                candidate.predicted,
                marker,
                color=hue,
                markersize=size,
                markeredgecolor=SURFACE,
                zorder=4,
            )
        if chosen is not None:
            axes.annotate(
                "chosen",
                (chosen.n_parameters, chosen.predicted),
                (9, 0),
                textcoords="offset points",
                va="center",
                fontweight="bold",
            )
        axes.set_xmargin(0.09)
        axes.xaxis.set_major_locator(_few_ticks())
        axes.xaxis.set_major_formatter(lambda value, _: short_count(value))
        axes.set_xlabel("parameters")
        metric_axis(picture, metric)
    return picture.html


def _few_ticks() -> MaxNLocator:
    return MaxNLocator(5)
