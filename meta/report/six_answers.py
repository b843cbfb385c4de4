"""The six answers in six plain sentences."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

from meta.metric import Metric
from meta.report.data import display_name
from meta.report.evidence_words import row_count_words
from meta.report.wording import (
    BLANK,
    NBSP,
    between,
    count,
    gain_words,
    hundredths,
    number,
    parameters,
    percent,
    rate,
    rows_between,
    view_words,
)

MANY_SUSPECTS = 0.1
"""Above this share of the labelled rows doubted labels tell of a weak probe, not of weak labels."""
OPEN_CHANCE = 0.3
"""A target with less chance than this is called unlikely."""

SAFE_CHANCE = 0.9
"""A labelling plan that ends with less is said to be no safe one."""


class SixAnswer(NamedTuple):
    """A question with its answer in one sentence; `anchor` is the section of the page that explains
    it."""

    anchor: str
    question: str
    sentence: str


def six_answers(answers: Mapping[str, Any], names: Mapping[str, str]) -> list[SixAnswer]:
    """The six questions, each with its answer in a plain sentence, the first with how often such
    row counts were right. A part that `answers` lacks is said to be missing."""
    missing = "This part is missing from the answers."
    right = row_count_words(answers.get("evidence") or {}, answers.get("data_needed") or {})
    return [
        SixAnswer(
            "need",
            "How much data do I need?",
            f"{_need(answers, names) or missing} {right}".rstrip(),
        ),
        SixAnswer("expect", "How well can I expect to do?", _expect(answers) or missing),
        SixAnswer("label", "What type of data do I need?", _label(answers)),
        SixAnswer("spaces", "Which embedding space is best?", _space(answers, names) or missing),
        SixAnswer("model", "Which model (depth, size) is best?", _model(answers, names) or missing),
        SixAnswer("settings", "Which hyperparameters?", _settings(answers) or missing),
    ]


def _need(answers: Mapping[str, Any], names: Mapping[str, str]) -> str:
    need = answers.get("data_needed")
    if not need:
        return ""
    metric, n_train = Metric(answers.get("metric", Metric.ACCURACY)), answers.get("n_train")
    name = metric.words
    target = f"{rate(answers.get('target'), metric)} {name}"
    aim = _default_aim(answers, metric)
    limit = need.get("searched_up_to") or 16 * (n_train or 0)
    status = need.get("status") or ("reachable" if need.get("reachable") else "not_reachable")
    encoder = display_name(str(need.get("encoder", "")), dict(names))
    if status == "reached":
        return _reached(answers, encoder)
    if status == "reachable":
        span = rows_between(need.get("q05"), need.get("q95"), limit)
        about = f"About {count(need.get('q50'))} labelled rows should give {target} with {encoder}"
        return f"{about} (90{NBSP}% interval: {span}); you have {count(n_train)}.{aim}"
    chance = (
        f" (probability {percent(need['p_reachable'])})"
        if need.get("p_reachable") is not None
        else ""
    )
    if status == "uncertain":
        is_open = (need.get("p_reachable") or 0) >= OPEN_CHANCE
        likely = need.get("n_if_reached")
        about = (
            f" If it can be reached, then with about {count(likely)}." if likely is not None else ""
        )
        return (
            f"{target} is {'uncertain' if is_open else 'unlikely'} with up to {count(limit)}"
            f" labelled rows{chance}: plan on {'' if aim else 'a less demanding target or '}a"
            f" better encoder.{about}{aim}"
        )
    return (
        f"{target} is not reachable with these encoders and up to {count(limit)} labelled"
        f" rows{chance}.{aim}"
    )


def plan_words(need: Mapping[str, Any], searched_up_to: int) -> str:
    """What it means that a labelling plan ends with a chance that is far from certain; empty where
    it is not, or no plan is."""
    chance = need["plan"][-1].get("p_reached") if need.get("plan") else None
    if chance is None or chance >= SAFE_CHANCE:
        return ""
    if need.get("q50") is None:
        return (
            f"The plan ends where forecasts end, at {count(searched_up_to)} rows: likelier than"
            " not, short of the target."
        )
    cautious = need.get("q95")
    safe = (
        f"at {count(cautious)} rows"
        if cautious is not None
        else f"beyond the {count(searched_up_to)} rows looked at"
    )
    return (
        "The plan ends at the median forecast, where the target is as likely missed as met; "
        f"the cautious end of the interval lies {safe}."
    )


def _default_aim(answers: Mapping[str, Any], metric: Metric) -> str:
    """Where a target that nobody named comes from; empty for one that was named."""
    target, constant = answers.get("target"), answers.get("constant_score")
    if answers.get("target_source") != "default" or target is None:
        return ""
    if constant is not None and abs(target - constant) <= 0.01 + 1e-9:
        is_met = (answers.get("data_needed") or {}).get("q50") is not None
        forecast = "so, hardly more, is" if is_met else "better than"
        return (
            " No target was given: this one is just better than an answer that never looks at a"
            f" text ({rate(constant, metric)}), and {forecast} the best forecast at the far end."
        )
    return (
        f" No target was given: this one is {hundredths(metric)[2]} short of the forecast at the"
        " far end."
    )


def _reached(answers: Mapping[str, Any], encoder: str) -> str:
    """The first answer where the target is more likely than not with the rows that are there."""
    need, metric, n_train = (
        answers["data_needed"],
        Metric(answers.get("metric", Metric.ACCURACY)),
        answers.get("n_train"),
    )
    name = metric.words
    if answers.get("target_source") == "default":
        limit = need.get("searched_up_to") or 16 * (n_train or 0)
        return (
            f"More of the same would hardly help: up to {count(limit)} labelled rows, {encoder} is"
            f" forecast to gain no more than about {hundredths(metric)[0]} over your"
            f" {count(n_train)}. Name the {name} that you need with --target."
        )
    target, constant = answers.get("target"), answers.get("constant_score")
    chance = (
        f" (probability {percent(need['p_reached_now'])})"
        if need.get("p_reached_now") is not None
        else ""
    )
    enough = (
        f"with your {count(n_train)} labelled rows and {encoder}, {rate(target, metric)} {name} is"
        f" more likely than not{chance}"
    )
    if None not in (target, constant) and (
        target <= constant if metric.is_rate else target >= constant
    ):
        aim = f"Aim {'higher' if metric.is_rate else 'lower'}"
        return (
            f"{aim}: {enough}, but an answer that never looks at a text has"
            f" {rate(constant, metric)}."
        )
    return f"You have enough: {enough}."


def _expect(answers: Mapping[str, Any]) -> str:
    spaces = answers.get("encoders") or []
    curve = spaces[0].get("curve") if spaces else None
    if not curve:
        return ""
    metric, now, last = Metric(answers.get("metric", Metric.ACCURACY)), curve[0], curve[-1]
    far = (
        f", and {rate(last['q50'], metric)} ({between(last['q05'], last['q95'], metric)}) with"
        f" {count(last['n_train'])}"
    )
    return (
        f"Expect {rate(now['q50'], metric)} {metric.words} with the"
        f" {count(now['n_train'])} rows you have "
        f"(90{NBSP}% interval:"
        f" {between(now['q05'], now['q95'], metric)}){far if len(curve) > 1 else ''}."
        f"{_measured(answers, metric)}"
    )


def _measured(answers: Mapping[str, Any], metric: Metric) -> str:
    """What labelled evaluation rows said, and what was forecast without them; empty where there are
    none."""
    given = answers.get("eval_labels")
    if not given:
        return ""
    before = given["before"]
    return (
        f" Your {count(given['n_labelled'])} labelled evaluation rows measure"
        f" {rate(given['estimate'], metric)} ({between(given['q05'], given['q95'], metric)});"
        f" without them the forecast was {rate(before['q50'], metric)}"
        f" ({between(before['q05'], before['q95'], metric)})."
    )


def _label(answers: Mapping[str, Any]) -> str:
    picks, suspects = answers.get("label_next") or [], answers.get("suspect_labels") or []
    if picks:
        reasons = Counter(pick.get("reason", "") for pick in picks).most_common()
        kinds = {
            "uncovered region": "of kinds with few or no labels",
            "uncertain": "uncertain",
            "rare class": "likely of a rare class",
            "typical": "typical of many",
        }
        rows = f"{len(picks)} proposed rows" if len(picks) > 1 else "proposed row"
        first = f"Label the {rows} next ({', '.join(f'{n} {kinds.get(r, r)}' for r, n in reasons)})"
    elif answers.get("label_batch"):
        first = (
            "The probe hesitates over none of the unlabelled rows, so none is proposed for"
            " labelling"
        )
    elif answers.get("n_eval"):
        first = "All evaluation rows have a label already, so none can be proposed for labelling"
    else:
        first = "No unlabelled rows were given, so none can be proposed for labelling"
    look = "1 label may" if len(suspects) == 1 else f"{len(suspects)} labels may"
    if len(suspects) > MANY_SUSPECTS * (answers.get("n_train") or 0):
        return (
            f"{first}; the probe disagrees with {len(suspects)} labels, too many to be errors: look"
            " at the first ones only, most are rows that are hard for it."
        )
    return (
        f"{first}; {look} be wrong and should be checked."
        if suspects
        else f"{first}; no label looks wrong."
    )


def _space(answers: Mapping[str, Any], names: Mapping[str, str]) -> str:
    spaces = answers.get("encoders") or []
    if not spaces:
        return ""
    n_compared, best = (
        len(spaces) + len(answers.get("screened") or []),
        max(spaces, key=lambda space: space.get("p_best") or 0),
    )
    name = f"{display_name(best['encoder'], dict(names))}, {view_words(best.get('view'))}"
    if n_compared == 1:
        return f"{name}, was the only one given: name more encoders to compare.{_untried(answers)}"
    sentence = (
        f"{name}, is the best space of the {n_compared} compared with probability"
        f" {percent(best.get('p_best'))}."
    )
    return f"{sentence}{_untried(answers)}"


def _untried(answers: Mapping[str, Any]) -> str:
    """The likeliest encoder that was not tried; empty where none is likely to be better."""
    likeliest = next(iter(answers.get("untried") or []), None)
    if not likeliest:
        return ""
    return (
        " Not tried, and by published results better with probability"
        f" {percent(likeliest['p_beats_best_tried'])}: {likeliest['encoder']}."
    )


def _model(answers: Mapping[str, Any], names: Mapping[str, str]) -> str:
    model, spaces = (
        answers.get("model"),
        [*(answers.get("encoders") or []), *(answers.get("screened") or [])],
    )
    if not model:
        return ""
    cost = f"{parameters(model.get('parameters'))} parameters"
    if model.get("milliseconds_per_text") is not None:
        cost += f", {number(model['milliseconds_per_text'])} ms a text"
    name = display_name(str(model.get("encoder", "")), dict(names))
    chance = ""
    if model.get("p_within_tolerance") is not None:
        chance = f" (probability that it truly is so close: {percent(model['p_within_tolerance'])})"
    near = hundredths(Metric(answers.get("metric", Metric.ACCURACY)))[1]
    cheapest = f"is the cheapest whose median forecast is within {near} of the best{chance}"
    if not model.get("layers"):
        if len(spaces) == 1 and not model.get("encoder_layers"):
            return (
                f"{name} ({cost}) was the only space given, and has no layers to cut: name more"
                " encoders to compare."
            )
        if model.get("encoder_layers"):
            pooling = (model.get("view") or {}).get("pooling", BLANK)
            alone = (
                f"its input embeddings alone ({pooling} pooling, none of its"
                f" {model['encoder_layers']} layers; {cost})"
            )
            return f"{name}, {alone}, {cheapest}."
        return f"{name} ({cost}) {cheapest}; it has no layers to cut."
    return f"{name} cut off after layer {model['layers']} ({cost}) {cheapest}."


def _settings(answers: Mapping[str, Any]) -> str:
    settings = answers.get("hyperparameters")
    if not settings:
        return ""
    probe, finetune = settings.get("probe") or {}, settings.get("finetune") or {}
    end = " (the end of the grid: try beyond it)" if probe.get("C_is_at_end") else ""
    sentence = f"Use C = {number(probe.get('C', BLANK))} for a linear probe{end}"
    if "learning_rate" not in finetune:
        return (
            f"{sentence}; fine-tuning does not apply to the space of answer 5, which has no layers"
            " to train."
        )
    lr, epochs = number(finetune["learning_rate"]), finetune.get("epochs", BLANK)
    sentence += f"; to fine-tune, start with learning rate {lr} and {epochs} epochs"
    if finetune.get("source") == "rule":
        return f"{sentence} (a rule of thumb)."
    gain = (finetune.get("gain") or {}).get("ordinary")
    if not gain:
        return f"{sentence}."
    if gain["q50"] <= 0:
        return (
            f"{sentence}, but do not expect it to beat the probe with so few labels: published runs"
            f" on other data say {gain_words(gain)}."
        )
    return (
        f"{sentence}; by published runs on other data, fine-tuning gains {gain_words(gain)} over"
        " the probe."
    )
