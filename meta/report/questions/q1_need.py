"""Question 1: how much data do I need?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from meta.metric import NBSP
from meta.report.compared_spaces import ForecastSpace
from meta.report.evidence_words import row_count_words
from meta.report.forecast_plots import need_curve
from meta.report.wording import (
    count,
    display_name,
    hundredths,
    percent,
    rate,
    rows_between,
    space_words,
    view_words,
)
from meta.schema import AnswersContent, DataNeeded, EncoderNeed

OPEN_CHANCE = 0.3
"""A target with less chance than this is called unlikely."""
SAFE_CHANCE = 0.9
"""A labelling plan that ends with less is said to be no safe one."""


def sentence(answers: AnswersContent, names: Mapping[str, str]) -> str:
    """The answer, followed by how often such row counts were right."""
    right = row_count_words(answers.evidence, answers.data_needed)
    return f"{_row_count(answers, names)} {right}".rstrip()


def _row_count(answers: AnswersContent, names: Mapping[str, str]) -> str:
    need = answers.data_needed
    if need.status == "reached":
        return _reached(answers, names)
    target = f"{rate(answers.target, answers.metric)} {answers.metric.words}"
    aim = _default_aim(answers)
    limit, chance = count(need.searched_up_to), percent(need.p_reachable)
    space = space_words(need.encoder, need.view, names)
    likely = _if_reached(need)
    if need.status == "not_reachable":
        return (
            f"{target} is not reachable with these encoders and up to {limit} labelled"
            f" rows (probability {chance}).{aim}"
        )
    if need.status == "uncertain" and (not likely or need.p_reachable < OPEN_CHANCE):
        advice = "" if aim else "a less demanding target or "
        about = f" If it is reached, then with {likely}." if likely else ""
        word = "unlikely" if need.p_reachable < OPEN_CHANCE else "uncertain"
        now = f", {percent(need.p_reached_now)} with those you have" if not likely else ""
        return (
            f"{target} is {word} with up to {limit} labelled rows (probability {chance}{now}):"
            f" plan on {advice}a better encoder.{about}{aim}"
        )
    if not likely:
        # the chance hardly rises with labels, or the answers are of an earlier build
        span = rows_between(need.q05, need.q95, need.searched_up_to)
        return (
            f"About {count(need.q50)} labelled rows (90{NBSP}% interval: {span}) should give"
            f" {target}, in {space}; it is reached"
            f" within {limit} with probability {chance}, and with the {count(answers.n_train)} you"
            f" have with {percent(need.p_reached_now)}.{aim}"
        )
    return (
        f"If {target} is reached, then with {likely}, in {space}; it is reached within {limit} with"
        f" probability {chance}. You have {count(answers.n_train)}.{aim}"
    )


def _if_reached(need: EncoderNeed) -> str:
    """The required rows, given that the target is reached; empty where nothing is known of them.
    Answers of earlier builds have no interval of it."""
    if need.n_if_reached is None:
        return ""
    about = f"about {count(need.n_if_reached)} labelled rows"
    if need.n_if_reached_q05 is None or need.n_if_reached_q95 is None:
        return about
    low, high = count(need.n_if_reached_q05), count(need.n_if_reached_q95)
    return f"{about} (90{NBSP}% interval: {low} to {high})"


def _default_aim(answers: AnswersContent) -> str:
    """Where a target that nobody named comes from; empty for one that was named."""
    if answers.target_source != "default":
        return ""
    if abs(answers.target - answers.constant_score) <= 0.01 + 1e-9:
        is_met = answers.data_needed.q50 is not None
        forecast = "so, hardly more, is" if is_met else "better than"
        return (
            " No target was given: this one is just better than an answer that never looks at a"
            f" text ({rate(answers.constant_score, answers.metric)}), and {forecast} the best"
            " forecast at the far end."
        )
    return (
        f" No target was given: this one is {hundredths(answers.metric).one_to_two} short of the"
        " forecast at the far end."
    )


def _reached(answers: AnswersContent, names: Mapping[str, str]) -> str:
    """The answer where the labelled rows at hand reach the target more likely than not."""
    need, metric = answers.data_needed, answers.metric
    space = space_words(need.encoder, need.view, names)
    if answers.target_source == "default":
        return (
            f"More of the same would hardly help: up to {count(need.searched_up_to)} labelled rows,"
            f" {space}, is forecast to gain no more than about {hundredths(metric).one} over your"
            f" {count(answers.n_train)}. Give the {metric.words} that you need as the target."
        )
    target, constant = answers.target, answers.constant_score
    enough = (
        f"with your {count(answers.n_train)} labelled rows in {space}, {rate(target, metric)}"
        f" {metric.words} is more likely than not (probability {percent(need.p_reached_now)})"
    )
    if metric.sign * target <= metric.sign * constant:
        aim = f"Aim {'higher' if metric.is_rate else 'lower'}"
        return (
            f"{aim}: {enough}, but an answer that never looks at a text has"
            f" {rate(constant, metric)}."
        )
    return f"You have enough: {enough}."


def plan_words(need: DataNeeded) -> str:
    """What it means that a labelling plan ends with a chance that is far from certain; empty where
    the chance is good, or where there is no plan."""
    chance = need.plan[-1].p_reached if need.plan else None
    if chance is None or chance >= SAFE_CHANCE:
        return ""
    if need.q50 is None:
        return (
            f"The plan ends where forecasts end, at {count(need.searched_up_to)} rows: likelier"
            " than not, short of the target."
        )
    safe = (
        f"at {count(need.q95)} rows"
        if need.q95 is not None
        else f"beyond the {count(need.searched_up_to)} rows looked at"
    )
    return (
        "The plan ends at the median forecast, where the target is as likely missed as met; "
        f"the cautious end of the interval lies {safe}."
    )


def _span_if_reached(need: EncoderNeed) -> str:
    if need.n_if_reached_q05 is None or need.n_if_reached_q95 is None:
        return count(need.n_if_reached)
    ends = f"{count(need.n_if_reached_q05)} to {count(need.n_if_reached_q95)}"
    return f"{count(need.n_if_reached)} ({ends})"


@dataclass(frozen=True)
class NeedRow:
    """The rows that one encoder needs, at its best space."""

    name: str
    view: str
    if_reached: str
    """The rows with which the target is met, if it is: a count with its interval, in words."""
    need: EncoderNeed


@dataclass(frozen=True)
class NeedView:
    """What the section shows."""

    line: str
    """The spaces that the line is the forecast of, one after the other as labels are added."""
    plot: Markup | None
    """None where the answers have no forecast of that encoder."""
    has_bar: bool
    """The picture marks the interval of the row count."""
    has_open_bar: bool
    """The cautious end of that interval lies beyond the picture."""
    rows: list[NeedRow]
    """The encoder that needs the fewest rows comes first."""
    plan_words: str


def view(
    answers: AnswersContent, spaces: Sequence[ForecastSpace], names: Mapping[str, str]
) -> NeedView:
    """The section's content. `spaces` are those with a forecast."""
    need = answers.data_needed
    name, wanted = display_name(need.encoder, names), view_words(need.view)
    drawn = [space for space in spaces if (space.name, space.view) == (name, wanted)]
    chosen = list(dict.fromkeys(space_words(p.encoder, p.view, names) for p in answers.best_curve))
    if drawn and answers.best_curve:
        # what was measured of one space does not belong to a curve of several
        measured = drawn[0].measured if len(chosen) == 1 else ()
        drawn = [replace(drawn[0], curve=answers.best_curve, measured=measured)]
    rows = [
        NeedRow(
            name=display_name(each.encoder, names),
            view=view_words(each.view),
            if_reached=_span_if_reached(each),
            need=each,
        )
        for each in need.by_encoder
    ]
    rows.sort(key=lambda row: (row.name != name, row.need.q50 is None, row.need.q50 or 0))
    return NeedView(
        line=" and then ".join(chosen) if chosen else name,
        plot=need_curve(drawn[0], need, answers.target, answers.metric) if drawn else None,
        has_bar=need.q05 is not None and need.status != "reached",
        has_open_bar=need.q95 is None,
        rows=rows,
        plan_words=plan_words(need),
    )
