"""Question 5: which model (depth, size) is best? Is a NeoBERTa worth pretraining in its place?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import yaml
from markupsafe import Markup

from meta.metric import HALF_A_POINT, Metric
from meta.report.compared_spaces import ComparedSpace, ForecastSpace
from meta.report.space_plots import EncoderByLayer, depth
from meta.report.svg import KeyEntry, key_entry
from meta.report.wording import (
    count,
    display_name,
    hundredths,
    number,
    parameters,
    percent,
    rate,
    space_words,
)
from meta.schema import AnswersContent, UnsafeModel

SAFE_CHANCE = 0.5
"""A model that is as good as the best with a smaller probability is called no safe choice."""


def sentence(answers: AnswersContent, names: Mapping[str, str]) -> str:
    """The cheapest model that is good enough."""
    model = answers.model
    name = display_name(model.encoder, names)
    pooling = f"{model.view.pooling} pooling"
    cost = f"{parameters(model.parameters)} parameters"
    if model.milliseconds_per_text is not None:
        cost += f", {number(model.milliseconds_per_text)} ms a text"
    half = hundredths(answers.metric).half
    verdict = (
        f"is the cheapest whose median forecast is within {half} of the"
        f" best (probability that it truly is so close: {percent(model.p_within_tolerance)})"
    )
    unsafe = ""
    if model.p_within_tolerance < SAFE_CHANCE and model.metric_q50 == model.best_q50:
        verdict = (
            "has the best median forecast, but no model is a safe choice yet (probability that it"
            f" is truly within {half} of the best: {percent(model.p_within_tolerance)})"
        )
    if model.unsafe is not None:
        if model.metric_q50 == model.best_q50:
            verdict = "is the best, and no cheaper one is safe yet"
        unsafe = _unsafe(model.unsafe, half, names)
    if model.layers:
        cut = (
            f" cut off after layer {model.layers}"
            if model.layers != model.encoder_layers
            else f" with all its {model.layers} layers"
        )
        return f"{name}{cut} ({pooling}; {cost}) {verdict}.{unsafe}"
    if model.encoder_layers:
        return (
            f"{name}, its input embeddings alone ({pooling}, none of its"
            f" {model.encoder_layers} layers; {cost}), {verdict}.{unsafe}"
        )
    if len(answers.encoders) + len(answers.screened) == 1:
        return (
            f"{name} ({cost}) was the only space given, and has no layers to cut: name more"
            " encoders to compare."
        )
    return f"{name} ({pooling}; {cost}) {verdict}; it has no layers to cut.{unsafe}"


def _unsafe(model: UnsafeModel, half: str, names: Mapping[str, str]) -> str:
    """What is known of a smaller model that may not be as good."""
    tell = (
        f"about {count(model.n_to_tell)} labelled rows would tell"
        if model.n_to_tell is not None
        else "that may never be told, so close are they"
    )
    return (
        f" {space_words(model.encoder, model.view, names)} ({parameters(model.parameters)}"
        f" parameters), is forecast within {half} of it, which is true with probability"
        f" {percent(model.p_within_tolerance)} only; {tell}."
    )


@dataclass(frozen=True)
class ModelView:
    """What the section shows beside the model itself."""

    name: str
    configuration: str
    """Of a NeoBERTa to pretrain, as YAML."""
    worth: str
    """Whether pretraining it is worth it."""
    depth_plot: Markup | None
    """None where the forecasts are of a single layer."""
    depth_key: list[KeyEntry]


def view(
    answers: AnswersContent,
    spaces: Sequence[ForecastSpace],
    screened: Sequence[ComparedSpace],
    names: Mapping[str, str],
    pretrained: Mapping[str, int],
) -> ModelView:
    """The section's content. `spaces` are those with a forecast, `screened` those without;
    `pretrained` are the study's own NeoBERTas with their tokens of pretraining."""
    model = answers.model
    encoders = by_layer(spaces, answers.metric)
    plot = None
    if sum(len(encoder.values) for encoder in encoders) > 1:
        alt = "Median forecast by layer: " + "; ".join(
            f"{encoder.name}, layers {sorted(encoder.values)}" for encoder in encoders
        )
        plot = depth(encoders, answers.metric, alt)
    return ModelView(
        name=display_name(model.encoder, names),
        configuration=yaml.safe_dump(model.neoberta, sort_keys=False, allow_unicode=True),
        worth=neoberta_words(
            spaces,
            screened,
            pretrained,
            n_tokens=model.neoberta_tokens,
            metric=answers.metric,
        ),
        depth_plot=plot,
        depth_key=(
            [key_entry(encoder.colour, encoder.name) for encoder in encoders] if plot else []
        ),
    )


def by_layer(spaces: Sequence[ForecastSpace], metric: Metric) -> list[EncoderByLayer]:
    """The best median forecast of each encoder at each of its layers."""
    medians: dict[str, dict[int, list[float]]] = {}
    for space in spaces:
        medians.setdefault(space.name, {}).setdefault(space.layer, []).append(space.q50)
    colours = {space.name: space.colour for space in spaces}
    return [
        EncoderByLayer(
            name=name,
            values={
                layer: max(values, key=lambda value: metric.sign * value)
                for layer, values in layers.items()
            },
            colour=colours[name],
        )
        for name, layers in medians.items()
    ]


def neoberta_words(
    spaces: Sequence[ForecastSpace],
    screened: Sequence[ComparedSpace],
    pretrained: Mapping[str, int],
    *,
    n_tokens: int | None,
    metric: Metric,
) -> str:
    """Whether pretraining a NeoBERTa is worth it. The forecasts of the NeoBERTas that were compared
    (those in `pretrained`, and references `neoberta:...`) are set against those of the other
    encoders. The proposed configuration asks for `n_tokens`."""

    def is_own(space: ComparedSpace) -> bool:
        return space.name in pretrained or space.name.startswith("neoberta:")

    own = [space for space in spaces if is_own(space)]
    others = [space for space in spaces if not is_own(space)]
    if not own and any(map(is_own, screened)):
        return (
            "Here it is not worth it: the NeoBERTas compared trail so far behind that they got no"
            " forecast."
        )
    if not own:
        return (
            "Worth it where no encoder at hand suits your texts (language, licence, size). No"
            " NeoBERTa was compared here, so nothing on this page says that one would do better."
        )
    if not others:
        return (
            "Only NeoBERTas were compared: try an encoder that exists already before you pretrain"
            " one."
        )
    sign = metric.sign

    def best(group: Sequence[ForecastSpace], end: int) -> float:
        return max((space.curve[end].q50 for space in group), key=lambda value: sign * value)

    mine, theirs = ([best(group, end) for end in (0, -1)] for group in (own, others))
    is_behind = all(
        sign * (other - value) > HALF_A_POINT for value, other in zip(mine, theirs, strict=True)
    )
    n_now, n_last = (count(own[0].curve[end].n_train) for end in (0, -1))
    said = (
        f"By these forecasts it {'is not' if is_behind else 'may be'} worth it here: the best"
        f" NeoBERTa compared comes to {rate(mine[0], metric)} with {n_now} labelled rows and"
        f" {rate(mine[1], metric)} with {n_last}, the best other encoder to"
        f" {rate(theirs[0], metric)} and {rate(theirs[1], metric)}."
    )
    if pretrained and n_tokens:
        seen = parameters(max(pretrained.values()))
        said += (
            f" (Those compared saw {seen} tokens of text; this configuration asks for"
            f" {parameters(n_tokens)}.)"
        )
    return said
