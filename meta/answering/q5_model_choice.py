"""Question 5: the cheapest model that is good enough, and the NeoBERTa to train in its place.

Good enough is a median forecast within half a point of the best; cheapest is the least time per
text, where it was measured, else the fewest parameters, of the encoder cut off above the layer that
is read: what lies above is never computed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from meta.answering.forecasts import Forecasts, SpaceForecast
from meta.metric import TOLERANCE, Metric
from meta.schema import ModelAnswer, ViewName
from neoberta.config import HEAD_SIZE, ModelConfig, PretrainConfig
from probes.encoders.base import EncoderInfo, View

BYTES_PER_PARAMETER = 4
MAX_NEOBERTA_LAYERS = 12
TOKENS_PER_PARAMETER = 20
"""Pretraining budget by rule: Hoffmann et al. 2022 (arXiv 2203.15556); there for causal models,
here a place to begin."""


@dataclass(frozen=True)
class ModelOption:
    """A forecast space as question 5 sees it."""

    info: EncoderInfo
    view: View
    q50: float
    """Median forecast of the metric at the present n."""
    p_within_tolerance: float
    milliseconds_whole: float | None
    """Per text, of the whole encoder."""


def model_answer(forecasts: Forecasts) -> tuple[SpaceForecast, ModelAnswer]:
    """Question 5: the cheapest of the forecast spaces that is good enough, and what is said of
    it."""
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
    return forecasts.in_order[position], model


def truncated_parameters(info: EncoderInfo, layer: int) -> int:
    """Parameters of an encoder cut off above `layer`, taking a layer to be a standard transformer
    block of 12 h² + 13 h (four attention matrices, and two or three feed-forward ones that come to
    the same)."""
    if info.n_layers == 0:
        return info.n_parameters
    block = 12 * info.hidden_size**2 + 13 * info.hidden_size
    blocks = min(
        block * info.n_layers, info.n_parameters
    )  # shared layers have fewer than the formula says
    return int(
        info.n_parameters - blocks * (info.n_layers - min(layer, info.n_layers)) / info.n_layers
    )


def cost(option: ModelOption) -> tuple[float, float, int]:
    """Order of cheapness: scaled time per text (parameters stand in where nothing was measured),
    parameters, depth."""
    n_parameters = truncated_parameters(option.info, option.view.layer)
    ms = scaled_milliseconds(option)
    return (ms if ms is not None else n_parameters / 1e6, n_parameters, option.view.layer)


def scaled_milliseconds(option: ModelOption) -> float | None:
    """The whole encoder's time by the share of layers that are computed; the embedding layer counts
    as half a layer."""
    if option.milliseconds_whole is None:
        return None
    n_layers = option.info.n_layers
    share = 1.0 if n_layers == 0 else (min(option.view.layer, n_layers) + 0.5) / (n_layers + 0.5)
    return option.milliseconds_whole * share


def choose_model(options: Sequence[ModelOption], metric: Metric) -> tuple[int, ModelAnswer]:
    """(position, answer): the cheapest option within `TOLERANCE` of the best. Times are compared
    only when all of these have one. Raises ValueError when there is no option."""
    if not options:
        raise ValueError("no forecast space to choose from")
    sign = metric.sign
    best = max(sign * option.q50 for option in options)
    good = [i for i, option in enumerate(options) if sign * option.q50 >= best - TOLERANCE - 1e-9]
    timed = all(options[i].milliseconds_whole is not None for i in good)
    chosen = min(good, key=lambda i: cost(options[i])[0 if timed else 1 :])
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
        best_q50=sign * best,
        p_within_tolerance=option.p_within_tolerance,
        neoberta=neoberta,
        neoberta_source=neoberta_source,
    )


def neoberta_configuration(option: ModelOption) -> tuple[dict[str, Any], str]:
    """What to set in a pretraining configuration (`neoberta.config.PretrainConfig`; the rest are
    its defaults) for a NeoBERTa of the chosen depth and width, widths rounded to whole heads; and
    where the numbers come from."""
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
