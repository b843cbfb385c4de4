"""The embedding spaces of the answers, as the page shows them: with display name, colour, and what
was measured later."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from meta.metric import Metric
from meta.report.study_data import MeasuredPoint, MeasuredSpace
from meta.report.wording import display_name, view_words
from meta.schema import AnswersContent, CurvePoint, RankedView, ScreenedView


@dataclass(frozen=True)
class ComparedSpace:
    """A space that was compared."""

    name: str
    """Of its encoder, as the page writes it."""
    view: str
    """Layer and pooling in words."""
    layer: int
    p_best: float
    held_out: float | None
    """The metric in leave-one-out."""

    @property
    def label(self) -> str:
        """Encoder, layer and pooling."""
        return f"{self.name}, {self.view}"


@dataclass(frozen=True)
class ForecastSpace(ComparedSpace):
    """A space that got a forecast."""

    p_best_16x: float
    curve: Sequence[CurvePoint]
    measured: Sequence[MeasuredPoint]
    """What came out later; empty where that is not known."""
    colour: int
    """Of its encoder."""

    @property
    def q50(self) -> float:
        """The median forecast at the present size."""
        return self.curve[0].q50


def shown_forecasts(
    answers: AnswersContent,
    names: Mapping[str, str],
    truth: Iterable[MeasuredSpace] = (),
    colours: Mapping[str, int] | None = None,
) -> list[ForecastSpace]:
    """The spaces with a forecast, in the order of the answers. `truth` has what came out later.
    `colours` number the encoders that the page shows elsewhere too: each keeps its colour."""
    measured = {
        (display_name(space.encoder, names), space.view.layer, space.view.pooling): space.points
        for space in truth
    }
    encoders = [display_name(space.encoder, names) for space in answers.encoders]
    numbers = {
        name: position for position, name in enumerate(dict.fromkeys([*(colours or {}), *encoders]))
    }
    return [
        ForecastSpace(
            name=name,
            view=view_words(space.view),
            layer=space.view.layer,
            p_best=space.p_best,
            held_out=_held_out(space, answers.metric),
            p_best_16x=space.p_best_16x,
            curve=space.curve,
            measured=measured.get((name, space.view.layer, space.view.pooling), ()),
            colour=numbers[name],
        )
        for space, name in zip(answers.encoders, encoders, strict=True)
    ]


def screened_spaces(answers: AnswersContent, names: Mapping[str, str]) -> list[ComparedSpace]:
    """The spaces without a forecast."""
    return [
        ComparedSpace(
            name=display_name(space.encoder, names),
            view=view_words(space.view),
            layer=space.view.layer,
            p_best=space.p_best,
            held_out=_held_out(space, answers.metric),
        )
        for space in answers.screened
    ]


def best_of_each_encoder(spaces: Sequence[ForecastSpace]) -> list[ForecastSpace]:
    """The first space of every encoder; `spaces` are ordered, the best first."""
    first: dict[str, ForecastSpace] = {}
    for space in spaces:
        first.setdefault(space.name, space)
    return list(first.values())


def _held_out(space: RankedView | ScreenedView, metric: Metric) -> float | None:
    """The metric in leave-one-out. Answers of earlier builds have the accuracy alone."""
    if space.measured is None and metric == Metric.ACCURACY:
        return space.held_out.accuracy
    return space.measured
