"""What questions 5 and 6 show: the model, its depth, whether to pretrain a NeoBERTa in its place,
and the hyperparameters."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from meta.metric import TOLERANCE, Metric
from meta.report import plots
from meta.report.data import display_name
from meta.report.svg import key_entry
from meta.report.wording import count, gain_words, parameters, rate, setting

SETTING_NAMES = {
    "C": "regularisation C",
    "C_low": "C worth trying, from",
    "C_high": "C worth trying, to",
    "C_is_at_end": "C at the end of the grid",
    "probe": "kind of probe",
    "feature_scale": "feature scale",
    "temperature": "temperature of the probabilities",
    "learning_rate": "learning rate",
    "epochs": "epochs",
    "batch_size": "batch size",
    "warmup_ratio": "warm-up, share of steps",
    "weight_decay": "weight decay",
    "frozen_layers": "layers to freeze",
    "reason": "note",
    "learning_rate_low": "learning rate worth trying, from",
    "learning_rate_high": "learning rate worth trying, to",
    "gain.ordinary": "gain over the probe, ordinary fine-tuning",
    "gain.contrastive": (
        "gain over the probe, contrastive fine-tuning of a sentence encoder, then a probe"
    ),
}
SOURCES = {
    "leave-one-out": "measured by leave-one-out",
    "published runs": "published runs on other data",
    "rule": "rule of thumb, not measured",
    "measured": "measured",
}


def model_view(
    answers: Mapping[str, Any],
    spaces: Sequence[dict[str, Any]],
    screened: Sequence[dict[str, Any]],
    *,
    colours: Mapping[str, int],
    names: dict[str, str],
    pretrained: Mapping[str, int],
) -> dict[str, Any]:
    """The part of the template's variable `a` for question 5; `spaces` are those with a forecast,
    `screened` those without."""
    model, metric = answers.get("model"), Metric(answers.get("metric", Metric.ACCURACY))
    view: dict[str, Any] = {"model": None, "depth_plot": None, "depth_key": []}
    if model:
        optional = (
            "memory_mb",
            "metric_q50",
            "best_q50",
            "hidden_size",
            "parameters",
            "layers",
            "encoder_layers",
        )
        optional += ("neoberta", "neoberta_source")
        view["model"] = {name: model.get(name) for name in optional} | {
            "configuration": yaml.safe_dump(
                dict(model.get("neoberta") or {}), sort_keys=False, allow_unicode=True
            ),
            "name": display_name(str(model.get("encoder", "")), names),
            "pooling": (model.get("view") or {}).get("pooling"),
            "milliseconds": model.get("milliseconds_per_text"),
            "milliseconds_source": model.get("milliseconds_source", "measured"),
            "p_within": model.get("p_within_tolerance"),
            "worth": neoberta_words(
                spaces,
                screened,
                pretrained,
                n_tokens=(model.get("neoberta") or {}).get("n_tokens"),
                metric=metric,
            ),
        }
    sign = metric.sign
    by_layer: dict[str, dict[int, float]] = {}
    for space in spaces:
        if space["layer"] is not None:
            layers = by_layer.setdefault(space["name"], {})
            layers[space["layer"]] = max(
                space["q50"],
                layers.get(space["layer"], space["q50"]),
                key=lambda value: sign * value,
            )
    if sum(len(layers) for layers in by_layer.values()) > 1:
        best = max(
            (value for layers in by_layer.values() for value in layers.values()),
            key=lambda value: sign * value,
        )
        series = [(name, list(layers.items()), colours[name]) for name, layers in by_layer.items()]
        alt = "Median forecast by layer: " + "; ".join(
            f"{name}, layers {sorted(layers)}" for name, layers in by_layer.items()
        )
        view["depth_plot"] = plots.depth(
            series, metric, good_enough=best - sign * TOLERANCE, alt=alt
        )
        view["depth_key"] = [key_entry(colour, name) for name, _, colour in series]
    return view


def neoberta_words(
    spaces: Sequence[dict[str, Any]],
    screened: Sequence[dict[str, Any]],
    pretrained: Mapping[str, int],
    *,
    n_tokens: int | None,
    metric: Metric,
) -> str:
    """Whether pretraining a NeoBERTa is worth it, by the forecasts of those compared (`pretrained`,
    with their tokens, and references `neoberta:...`) and of the others; `n_tokens` is what the
    proposed configuration asks for."""

    def is_own(space: Mapping[str, Any]) -> bool:
        return space["name"] in pretrained or space["name"].startswith("neoberta:")

    own, others = (
        [space for space in spaces if is_own(space)],
        [space for space in spaces if not is_own(space)],
    )
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

    def best(group: Sequence[Mapping[str, Any]], end: int) -> float:
        return max((space["curve"][end]["q50"] for space in group), key=lambda value: sign * value)

    mine, theirs = ([best(group, end) for end in (0, -1)] for group in (own, others))
    is_behind = all(
        sign * (other - value) > TOLERANCE for value, other in zip(mine, theirs, strict=True)
    )
    n_now, n_last = (count(own[0]["curve"][end]["n_train"]) for end in (0, -1))
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


def settings_rows(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    """Question 6 as a table: what for, setting, value, where it comes from."""
    titles = {"probe": "linear probe", "finetune": "fine-tuning"}
    rows = []
    for group, values in groups.items():
        source = str(values.get("source", ""))
        rows += [
            (
                titles.get(group, group),
                SETTING_NAMES.get(name, name),
                setting(value),
                SOURCES.get(source, source or "not stated"),
            )
            for name, value in values.items()
            if name not in ("source", "gain", "epochs_extrapolated")
        ]
        rows += [
            (
                titles.get(group, group),
                SETTING_NAMES.get(f"gain.{kind}", kind),
                gain_words(gain),
                SOURCES.get(source, source),
            )
            for kind, gain in (values.get("gain") or {}).items()
        ]
    return rows
