"""Question 5: the cheapest model that is good enough, and a NeoBERTa to train in its place.

A model is an encoder without the layers above the one that is read; they are never computed. It is
good enough if its median forecast is within half a point of the best one, and if that is true more
likely than not. The cheapest model takes the least time per text, or has the fewest parameters
where times were not measured.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from meta.answering.forecasts import Forecasts, SpaceForecast
from meta.metric import HALF_A_POINT, Metric
from meta.schema import ModelAnswer, UnsafeModel, ViewName
from neoberta.config import HEAD_SIZE, ModelConfig, PretrainConfig
from probes.encoders.base import EncoderInfo, View

BYTES_PER_PARAMETER = 4
"""Of float32."""
MAX_NEOBERTA_LAYERS = 12
"""Depth of the deepest NeoBERTa that is proposed."""
TOKENS_PER_PARAMETER = 20
"""Budget of tokens for pretraining, by the rule of Hoffmann et al. 2022 (arXiv 2203.15556). The
rule is for causal models; here it is a first guess."""


LEAST_CHANCE = 0.5
"""A smaller model is proposed only where it is as good with at least this probability."""
TELLING_CHANCE = 0.8
"""One could tell whether a smaller model is as good where that is so with this probability, or with
the probability that remains."""
MAX_TIMES_TO_TELL = 64.0
"""No number of rows to tell is given beyond this many times the present ones."""


@dataclass(frozen=True)
class ModelOption:
    """A model to choose from: an encoder, cut off above the layer of one of its spaces."""

    info: EncoderInfo
    view: View
    q50: float
    """Median forecast of the metric at the present n."""
    p_within_tolerance: float
    """Probability that it is within `HALF_A_POINT` of the best."""
    milliseconds_whole: float | None
    """Milliseconds per text of the whole encoder. None where they were not measured."""


def model_answer(forecasts: Forecasts) -> tuple[SpaceForecast, ModelAnswer]:
    """Question 5: the forecast of the chosen space, and the answer about it."""
    options = [
        ModelOption(
            forecasts.spaces[i].info,
            forecasts.spaces[i].view,
            forecasts.by_space[i].median_now,
            float(forecasts.probabilities.within_tolerance[i]),
            forecasts.by_space[i].encoder.milliseconds_per_text,
        )
        for i in forecasts.ranked
    ]
    position, model = choose_model(options, forecasts.metric)
    hoped_for = cheapest(options, near_the_best(options, forecasts.metric))
    if options[hoped_for].p_within_tolerance < LEAST_CHANCE and hoped_for != position:
        gap = forecasts.metric.sign * (
            forecasts.probabilities.draws[:, forecasts.ranked[0]]
            - forecasts.probabilities.draws[:, forecasts.ranked[hoped_for]]
        )
        model = model.model_copy(
            update={"unsafe": _unsafe(options[hoped_for], gap, int(forecasts.sizes[0]))}
        )
    return forecasts.in_order[position], model


def _unsafe(option: ModelOption, gap: np.ndarray, n_train: int) -> UnsafeModel:
    """What is said of a smaller model that may not be as good. `gap` (draws,) is by how much it is
    worse than the best."""
    return UnsafeModel(
        encoder=option.info.ref,
        view=ViewName(layer=option.view.layer, pooling=option.view.pooling),
        layers=min(option.view.layer, option.info.n_layers),
        parameters=truncated_parameters(option.info, option.view.layer),
        p_within_tolerance=option.p_within_tolerance,
        n_to_tell=n_to_tell(float(np.mean(gap)), float(np.std(gap)), n_train),
    )


def n_to_tell(gap: float, sd: float, n_train: int) -> int | None:
    """The number of labelled rows with which one could tell whether a `gap` with the standard
    deviation `sd` is within `HALF_A_POINT`: more than `n_train`, or None beyond
    `MAX_TIMES_TO_TELL`. The variance is taken to fall as one over the number of rows."""
    deviations = abs(gap - HALF_A_POINT) / max(sd, 1e-12)
    times = max((float(norm.ppf(TELLING_CHANCE)) / max(deviations, 1e-12)) ** 2, 1.0)
    return int(np.ceil(times * n_train)) + 1 if times <= MAX_TIMES_TO_TELL else None


def truncated_parameters(info: EncoderInfo, layer: int) -> int:
    """Number of parameters of an encoder that is cut off above `layer`.

    A layer is taken to be a standard transformer block with 12 h² + 13 h parameters: four attention
    matrices, and two or three feed-forward matrices, which have the same size together.
    """
    if info.n_layers == 0:
        return info.n_parameters
    block = 12 * info.hidden_size**2 + 13 * info.hidden_size
    # layers that share their weights have fewer than the formula says
    blocks = min(block * info.n_layers, info.n_parameters)
    return int(
        info.n_parameters - blocks * (info.n_layers - min(layer, info.n_layers)) / info.n_layers
    )


def cost(option: ModelOption) -> tuple[float, float, int]:
    """A key to sort by: the smaller, the cheaper. Its parts are the milliseconds per text (or
    millions of parameters where they were not measured), the number of parameters, and the
    layer."""
    n_parameters = truncated_parameters(option.info, option.view.layer)
    ms = scaled_milliseconds(option)
    return (ms if ms is not None else n_parameters / 1e6, n_parameters, option.view.layer)


def scaled_milliseconds(option: ModelOption) -> float | None:
    """Milliseconds per text of the encoder, cut off above the layer of the option. The time of the
    whole encoder is multiplied by the share of layers that are computed; the embedding layer counts
    as half a layer. None where the time was not measured."""
    if option.milliseconds_whole is None:
        return None
    n_layers = option.info.n_layers
    share = 1.0 if n_layers == 0 else (min(option.view.layer, n_layers) + 0.5) / (n_layers + 0.5)
    return option.milliseconds_whole * share


def near_the_best(options: Sequence[ModelOption], metric: Metric) -> list[int]:
    """The positions of the options whose median is within `HALF_A_POINT` of the best. Raises
    ValueError when there is no option."""
    if not options:
        raise ValueError("no forecast space to choose from")
    best = max(metric.sign * option.q50 for option in options)
    return [
        i
        for i, option in enumerate(options)
        if metric.sign * option.q50 >= best - HALF_A_POINT - 1e-9
    ]


def cheapest(options: Sequence[ModelOption], among: Sequence[int]) -> int:
    """The position of the cheapest option at the positions `among`. Times are compared only if all
    these options have one."""
    timed = all(options[i].milliseconds_whole is not None for i in among)
    return min(among, key=lambda i: cost(options[i])[0 if timed else 1 :])


def choose_model(options: Sequence[ModelOption], metric: Metric) -> tuple[int, ModelAnswer]:
    """The position of the cheapest option that is good enough, and the answer about it. Raises
    ValueError when there is no option.

    An option is good enough if its median is within `HALF_A_POINT` of the best, and if it truly is
    so close with a probability of at least `LEAST_CHANCE`. The best option itself always is.
    """
    near = near_the_best(options, metric)
    best = max(near, key=lambda i: metric.sign * options[i].q50)
    chosen = cheapest(
        options,
        [i for i in near if i == best or options[i].p_within_tolerance >= LEAST_CHANCE],
    )
    option = options[chosen]
    layers = min(option.view.layer, option.info.n_layers)
    n_parameters = truncated_parameters(option.info, layers)
    ms = scaled_milliseconds(option)
    source = (
        "not measured"
        if ms is None
        else "measured"
        if layers == option.info.n_layers
        else "scaled by depth"
    )
    neoberta, neoberta_source = neoberta_configuration(option)
    return chosen, ModelAnswer(
        encoder=option.info.ref,
        view=ViewName(layer=option.view.layer, pooling=option.view.pooling),
        layers=layers,
        encoder_layers=option.info.n_layers,
        hidden_size=option.info.hidden_size,
        parameters=n_parameters,
        memory_mb=n_parameters * BYTES_PER_PARAMETER / 1e6,
        milliseconds_per_text=ms,
        milliseconds_source=source,
        metric_q50=option.q50,
        best_q50=options[best].q50,
        p_within_tolerance=option.p_within_tolerance,
        neoberta=neoberta,
        neoberta_source=neoberta_source,
    )


def neoberta_configuration(option: ModelOption) -> tuple[dict[str, Any], str]:
    """A pretraining configuration for a NeoBERTa of the option's depth and width, and where its
    numbers come from, in words.

    The configuration holds only fields of `neoberta.config.PretrainConfig` that are set here; the
    others keep their defaults. The width is rounded to whole attention heads.
    """
    width = int(np.clip(round(option.info.hidden_size / HEAD_SIZE), 2, 12)) * HEAD_SIZE
    depth = int(np.clip(option.view.layer, 2, MAX_NEOBERTA_LAYERS))
    source = (
        "depth and width of the chosen space; pretraining settings by rule: confirm with neoberta"
        " search"
    )
    if option.info.n_layers == 0:
        source = (
            "the chosen space has no layers: the smallest NeoBERTa worth comparing with it, by rule"
        )
    model = ModelConfig(n_layers=depth, hidden_size=width)
    n_tokens = TOKENS_PER_PARAMETER * model.n_parameters(0)["body"]
    lr = float(np.clip(2e-3 * (256 / width) ** 0.5, 3e-4, 3e-3))
    config = PretrainConfig(model=model, n_tokens=n_tokens, lr=float(f"{lr:.1e}"), mask_rate=0.3)
    return config.model_dump(mode="json", exclude_unset=True), source
