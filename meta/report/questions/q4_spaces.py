"""Question 4: which embedding space is best?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from meta.metric import Metric
from meta.report.compared_spaces import ForecastSpace
from meta.report.space_plots import ranking
from meta.report.wording import hundredths, percent, space_words
from meta.schema import AnswersContent

MAX_RANKED = 10
"""Spaces drawn; the table has all."""
NAMED_CHANCE = 0.4
"""With more labels a space is called the favourite only where it has at least this chance to be the
best one."""


def sentence(answers: AnswersContent, names: Mapping[str, str]) -> str:
    """The space with the best forecast, its probability to be the best one, and the likeliest
    encoder that was not tried."""
    n_compared = len(answers.encoders) + len(answers.screened)
    best = answers.encoders[0]
    name = space_words(best.encoder, best.view, names)
    if n_compared == 1:
        return f"{name}, was the only one given: name more encoders to compare.{_untried(answers)}"
    return (
        f"{name}, is the best space of the {n_compared} compared with probability"
        f" {percent(best.p_best)}, and within {hundredths(answers.metric).half} of the best with"
        f" {percent(best.p_within_tolerance)}.{_untried(answers)}"
    )


def _untried(answers: AnswersContent) -> str:
    """The likeliest encoder that was not tried; empty where none is likely to be better."""
    if not answers.untried:
        return ""
    likeliest = answers.untried[0]
    return (
        " Not tried, and by published results better with probability"
        f" {percent(likeliest.p_beats_best_tried)}: {likeliest.encoder}."
    )


@dataclass(frozen=True)
class RankingView:
    """What the section shows."""

    plot: Markup
    n_drawn: int
    """Spaces in the picture."""
    later_favourite: ForecastSpace | None
    """The space that is likely the best with 16 times the labels, where it is another than now."""


def view(spaces: Sequence[ForecastSpace], metric: Metric) -> RankingView:
    """The section's content. `spaces` are those with a forecast, the best first."""
    drawn = spaces[:MAX_RANKED]
    now = max(spaces, key=lambda space: space.p_best)
    later = max(spaces, key=lambda space: space.p_best_16x)
    has_changed = later is not now and later.p_best_16x >= NAMED_CHANCE
    return RankingView(
        plot=ranking(drawn, metric),
        n_drawn=len(drawn),
        later_favourite=later if has_changed else None,
    )
