"""Question 2: how well can I expect to do?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from meta.metric import NBSP, Metric
from meta.report.compared_spaces import ForecastSpace, best_of_each_encoder
from meta.report.evidence_words import bias_words
from meta.report.forecast_plots import common_range, forecast_panel, octaves
from meta.report.wording import between, count, rate, space_words
from meta.schema import AnswersContent, BestPoint, CurvePoint, RankedView

MAX_PANELS = 6
"""Encoders drawn side by side."""


def sentence(answers: AnswersContent, names: Mapping[str, str]) -> str:
    """The forecast of the best choice of a space, now and at the far end of its curve. Answers of
    earlier builds have no best choice at each size: there it is the first space."""
    first, metric = answers.encoders[0], answers.metric
    curve: Sequence[CurvePoint] = answers.best_curve or first.curve
    now, last = curve[0], curve[-1]
    space = _space(now, first, names)
    later = _space(last, first, names)
    far = (
        f"; {rate(last.q50, metric)} ({between(last.q05, last.q95, metric)}) with"
        f" {count(last.n_train)}{f', in {later}' if later != space else ''}"
    )
    return (
        f"Expect {rate(now.q50, metric)} {metric.words} with the {count(now.n_train)} rows you have"
        f", in {space} (90{NBSP}% interval:"
        f" {between(now.q05, now.q95, metric)}){far if len(curve) > 1 else ''}."
        f"{_measured(answers)}"
    )


def _space(point: CurvePoint, first: RankedView, names: Mapping[str, str]) -> str:
    """The space of a point of the curve, in words; `first` where the point names none."""
    if isinstance(point, BestPoint):
        return space_words(point.encoder, point.view, names)
    return space_words(first.encoder, first.view, names)


def _measured(answers: AnswersContent) -> str:
    """What labelled evaluation rows said, and what was forecast without them; empty where there are
    none."""
    given, metric = answers.eval_labels, answers.metric
    if given is None:
        return ""
    before = given.before
    return (
        f" Your {count(given.n_labelled)} labelled evaluation rows measure"
        f" {rate(given.estimate, metric)} ({between(given.q05, given.q95, metric)});"
        f" without them the forecast was {rate(before.q50, metric)}"
        f" ({between(before.q05, before.q95, metric)})."
    )


@dataclass(frozen=True)
class ForecastRow:
    """A space with its forecast at the sizes of the table."""

    space: ForecastSpace
    points: list[CurvePoint]


@dataclass(frozen=True)
class ExpectView:
    """What the section shows, of the best space of each encoder."""

    panels: list[Markup]
    sizes: list[int]
    rows: list[ForecastRow]
    bias: str
    """Whether the forecasts erred to one side; empty where that is not known."""


def view(spaces: Sequence[ForecastSpace], metric: Metric) -> ExpectView:
    """The section's content. `spaces` are ordered, the best first."""
    drawn = best_of_each_encoder(spaces)[:MAX_PANELS]
    sizes = octaves([point.n_train for point in drawn[0].curve])
    came_out = [
        point
        for space in drawn
        for point in space.measured
        if sizes[0] <= point.n_train <= sizes[-1]
    ]
    y_range = common_range([space.curve for space in drawn], came_out)
    return ExpectView(
        panels=[forecast_panel(space, metric, y_range) for space in drawn],
        sizes=sizes,
        rows=[
            ForecastRow(space, [point for point in space.curve if point.n_train in sizes])
            for space in drawn
        ],
        bias=bias_words([(space.curve, space.measured) for space in drawn]),
    )
