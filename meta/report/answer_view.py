"""What the six sections of a page show, made from the content of answers.json: names, rows, pictures. No HTML is written here.

Reads the mapping tolerantly: answers of the first schema without its later fields still make a page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from meta.answers import TOLERANCE
from meta.curves import RATES
from meta.report import plots
from meta.report.data import LearningCurve, MeasuredPoint, display_name
from meta.report.wording import METRIC_NAMES, gain_words, number, rows_between, six_answers, view_words

MAX_PANELS = 6
"""Encoders drawn side by side in question 2."""
MAX_RANKED = 10
"""Spaces drawn in question 4; the table has all."""
MAX_CLASSES = 12
MARKS = ("●", "■", "▲", "◆", "▼", "✚", "✖", "★")
"""The markers of `meta.report.svg.MARKERS` as letters, for keys outside the pictures."""
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
    "gain.contrastive": "gain over the probe, contrastive fine-tuning of a sentence encoder, then a probe",
}
SOURCES = {
    "leave-one-out": "measured by leave-one-out",
    "published runs": "published runs on other data",
    "rule": "rule of thumb, not measured",
    "measured": "measured",
}


def key_entry(position: int, label: str, mark: str | None = None) -> dict[str, str]:
    """An entry of a key: series colour and marker by number, or a given mark in the same colour."""
    return {"css": f"c{position % 8 + 1}", "mark": mark or MARKS[position % 8], "label": label}


def answer_view(
    answers: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    truth: Sequence[LearningCurve] = (),
    colours: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The template's variable `a`. `truth` are curves measured later, matched by encoder and view (`layer=6,pooling=mean`);
    `colours` number the encoders that the page shows elsewhere too, so that each keeps its colour."""
    known = dict(names or {})
    metric = answers.get("metric", "accuracy")
    spaces = [_space(space, known) for space in answers.get("encoders") or [] if space.get("curve")]
    everyone = dict.fromkeys([*(colours or {}), *(space["name"] for space in spaces)])
    colours = {name: position for position, name in enumerate(everyone)}
    measured = {(display_name(curve.encoder, known), curve.view): curve.points for curve in truth}
    view = {
        "six": six_answers(answers, known),
        "metric": metric,
        "metric_name": METRIC_NAMES.get(metric, metric),
        "is_rate": metric in RATES,
        "n_train": answers.get("n_train"),
        "n_eval": answers.get("n_eval", 1),
        "constant": answers.get("constant_score"),
        "target": answers.get("target"),
        "target_given": answers.get("target_source", "user") == "user",
        "truth": bool(measured),
        "forecast_key": _forecast_key(bool(measured)),
        "classes": _classes(answers.get("class_counts") or {}),
        "picks": answers.get("label_next") or [],
        "batch": answers.get("label_batch"),
        "untried": answers.get("untried") or [],
        "suspects": answers.get("suspect_labels") or [],
        "warnings": answers.get("warnings") or [],
        "settings": _settings(answers.get("hyperparameters") or {}),
        "evidence": answers.get("evidence") or {},
    }
    view |= _need_view(answers, spaces, measured, metric, known)
    view |= _expect_view(spaces, colours, measured, metric)
    view |= _ranking_view(answers, spaces, colours, metric, known)
    view |= _model_view(answers, spaces, colours, metric, known)
    return view


def _space(space: Mapping[str, Any], names: dict[str, str]) -> dict[str, Any]:
    view = space.get("view") or {}
    return {
        "name": display_name(str(space.get("encoder", "")), names),
        "view": view_words(view),
        "truth_view": f"layer={view.get('layer')},pooling={view.get('pooling')}",
        "layer": view.get("layer"),
        "curve": space.get("curve") or [],
        "q50": space["curve"][0]["q50"] if space.get("curve") else None,
        "p_best": space.get("p_best"),
        "p_best_16x": space.get("p_best_16x"),
        "held_out": space.get("measured", (space.get("held_out") or {}).get("accuracy")),
    }


def _forecast_key(has_truth: bool) -> list[dict[str, str]]:
    entries = [key_entry(0, "median forecast", "━"), key_entry(0, "50 % band (dark) and 90 % band (light)", "▒")]
    if has_truth:
        entries.append({"css": "measured", "mark": "◆", "label": "measured afterwards"})
    return entries


def _classes(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) > MAX_CLASSES:
        rest = ordered[MAX_CLASSES - 1 :]
        ordered = [*ordered[: MAX_CLASSES - 1], (f"{len(rest)} more classes, together", sum(n for _, n in rest))]
    most = max((n for _, n in ordered), default=1)
    return [(name, n, n / max(most, 1)) for name, n in ordered]


def _need_view(
    answers: Mapping[str, Any],
    spaces: Sequence[dict[str, Any]],
    measured: Mapping[tuple[str, str], Sequence[MeasuredPoint]],
    metric: str,
    names: dict[str, str],
) -> dict[str, Any]:
    need = answers.get("data_needed") or {}
    n_train = answers.get("n_train") or 0
    limit = need.get("searched_up_to") or 16 * n_train
    shown = {
        "name": display_name(str(need.get("encoder", "")), names),
        "shown_bar": need.get("q05") is not None and need.get("status") != "reached",
        "open_end": need.get("q95") is None,
    }
    wanted = view_words(need.get("view"))
    matching = [space for space in spaces if space["name"] == shown["name"] and wanted in ("", space["view"])]
    plot = None
    if matching:
        space = matching[0]
        truth = measured.get((space["name"], space["truth_view"]), ())
        plot = plots.need_curve(space["curve"], need, answers.get("target"), metric, truth)
    needs = [
        {
            **{name: each.get(name) for name in ("q50", "p_reached_now", "p_reachable")},
            "name": display_name(str(each.get("encoder", "")), names),
            "view": view_words(each.get("view")),
            "span": rows_between(each.get("q05"), each.get("q95"), limit),
        }
        for each in need.get("by_encoder") or []
    ]
    needs.sort(key=lambda each: (each["name"] != shown["name"], each["q50"] is None, each["q50"] or 0))
    return {"need": shown, "need_plot": plot, "needs": needs, "plan": need.get("plan") or [], "searched_up_to": limit}


def _expect_view(
    spaces: Sequence[dict[str, Any]],
    colours: Mapping[str, int],
    measured: Mapping[tuple[str, str], Sequence[MeasuredPoint]],
    metric: str,
) -> dict[str, Any]:
    best: dict[str, dict[str, Any]] = {}
    for space in spaces:  # the best first
        best.setdefault(space["name"], space)
    first = list(best.values())[:MAX_PANELS]
    if not first:
        return {"panels": [], "forecasts": [], "sizes": []}
    truths = [measured.get((space["name"], space["truth_view"]), ()) for space in first]
    sizes = plots.octaves([point["n_train"] for point in first[0]["curve"]])
    reached = [point for truth in truths for point in truth if sizes[0] <= point.n_train <= sizes[-1]]
    y_range = plots.common_range([space["curve"] for space in first], reached)
    panels = [
        plots.forecast_panel(
            space["name"], space["curve"], metric=metric, y_range=y_range, measured=truth, colour=colours[space["name"]]
        )
        for space, truth in zip(first, truths, strict=True)
    ]
    rows = [{**space, "points": [point for point in space["curve"] if point["n_train"] in sizes]} for space in first]
    return {"panels": panels, "forecasts": rows, "sizes": sizes}


def _ranking_view(
    answers: Mapping[str, Any],
    spaces: Sequence[dict[str, Any]],
    colours: Mapping[str, int],
    metric: str,
    names: dict[str, str],
) -> dict[str, Any]:
    screened = [_space(space, names) for space in answers.get("screened") or []]
    view: dict[str, Any] = {"spaces": spaces, "screened": screened, "n_compared": len(spaces) + len(screened)}
    view |= {"ranking_plot": None, "crossing": None}
    if not spaces:
        return view
    shown = spaces[:MAX_RANKED]
    rows = [(f"{s['name']}, {s['view']}" if s["view"] else s["name"], s["curve"][0], s["p_best"] or 0.0) for s in shown]
    view["ranking_plot"] = plots.ranking(rows, metric, [colours[space["name"]] for space in shown])
    now = max(spaces, key=lambda space: space["p_best"] or 0)
    later = max(spaces, key=lambda space: space["p_best_16x"] or 0)
    if later is not now and later["p_best_16x"] and later["p_best_16x"] > (now["p_best_16x"] or 0):
        view["crossing"] = {"name": f"{later['name']}, {later['view']}", "p": later["p_best_16x"]}
    return view


def _model_view(
    answers: Mapping[str, Any],
    spaces: Sequence[dict[str, Any]],
    colours: Mapping[str, int],
    metric: str,
    names: dict[str, str],
) -> dict[str, Any]:
    model = answers.get("model")
    view: dict[str, Any] = {"model": None, "depth_plot": None, "depth_key": []}
    if model:
        optional = ("memory_mb", "metric_q50", "best_q50", "hidden_size", "parameters", "layers", "neoberta", "neoberta_source")
        view["model"] = {name: model.get(name) for name in optional} | {
            "configuration": yaml.safe_dump(dict(model.get("neoberta") or {}), sort_keys=False, allow_unicode=True),
            "name": display_name(str(model.get("encoder", "")), names),
            "pooling": (model.get("view") or {}).get("pooling"),
            "milliseconds": model.get("milliseconds_per_text"),
            "milliseconds_source": model.get("milliseconds_source", "measured"),
            "p_within": model.get("p_within_tolerance"),
        }
    sign = 1 if metric in RATES else -1
    by_layer: dict[str, dict[int, float]] = {}
    for space in spaces:
        if space["layer"] is not None:
            layers = by_layer.setdefault(space["name"], {})
            layers[space["layer"]] = max(space["q50"], layers.get(space["layer"], space["q50"]), key=lambda value: sign * value)
    if sum(len(layers) for layers in by_layer.values()) > 1:
        best = max((value for layers in by_layer.values() for value in layers.values()), key=lambda value: sign * value)
        series = [(name, list(layers.items()), colours[name]) for name, layers in by_layer.items()]
        alt = "Median forecast by layer: " + "; ".join(f"{name}, layers {sorted(layers)}" for name, layers in by_layer.items())
        view["depth_plot"] = plots.depth(series, metric, good_enough=best - sign * TOLERANCE, alt=alt)
        view["depth_key"] = [key_entry(colour, name) for name, _, colour in series]
    return view


def _settings(groups: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str, str]]:
    titles = {"probe": "linear probe", "finetune": "fine-tuning"}
    rows = []
    for group, values in groups.items():
        source = str(values.get("source", ""))
        rows += [
            (
                titles.get(group, group),
                SETTING_NAMES.get(name, name),
                number(value),
                SOURCES.get(source, source or "not stated"),
            )
            for name, value in values.items()
            if name not in ("source", "gain", "epochs_extrapolated")
        ]
        rows += [
            (titles.get(group, group), SETTING_NAMES.get(f"gain.{kind}", kind), gain_words(gain), SOURCES.get(source, source))
            for kind, gain in (values.get("gain") or {}).items()
        ]
    return rows
