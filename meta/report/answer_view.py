"""What the six sections of a page show, made from the content of answers.json: names, rows,
pictures. No HTML is written here.

Reads the mapping tolerantly: answers of the first schema without its later fields still make a
page.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from meta.metric import Metric
from meta.report import plots
from meta.report.data import LearningCurve, MeasuredPoint, display_name
from meta.report.evidence_words import bias_words, held_words
from meta.report.model_view import model_view, settings_rows
from meta.report.six_answers import plan_words, six_answers
from meta.report.wording import hundredths, rows_between, view_words

MAX_PANELS = 6
"""Encoders drawn side by side in question 2."""
MAX_RANKED = 10
"""Spaces drawn in question 4; the table has all."""
MAX_CLASSES = 12
NAMED_CHANCE = 0.4
"""A space with less chance to be the best one far ahead is not called the favourite there."""


def answer_view(
    answers: Mapping[str, Any],
    names: Mapping[str, str] | None = None,
    truth: Sequence[LearningCurve] = (),
    *,
    colours: Mapping[str, int] | None = None,
    evaluation: Mapping[str, Any] | None = None,
    pretrained: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The template's variable `a`. `truth` are curves measured later, matched by encoder and view
    (`layer=6,pooling=mean`); `colours` number the encoders that the page shows elsewhere too, so
    that each keeps its colour; `evaluation` has the tables of
    `meta.metamodel.evaluation.evaluation_tables`; `pretrained` are the study's own NeoBERTas with
    their tokens of pretraining."""
    known = dict(names or {})
    metric = Metric(answers.get("metric", Metric.ACCURACY))
    spaces = [_space(space, known) for space in answers.get("encoders") or [] if space.get("curve")]
    everyone = dict.fromkeys([*(colours or {}), *(space["name"] for space in spaces)])
    colours = {name: position for position, name in enumerate(everyone)}
    measured = {(display_name(curve.encoder, known), curve.view): curve.points for curve in truth}
    view = {
        "six": six_answers(answers, known),
        "metric": metric,
        "metric_name": metric.words,
        "is_rate": metric.is_rate,
        "short": hundredths(metric)[2],
        "half": hundredths(metric)[1],
        "n_train": answers.get("n_train"),
        "n_eval": answers.get("n_eval", 1),
        "n_eval_labelled": (answers.get("eval_labels") or {}).get("n_labelled"),
        "constant": answers.get("constant_score"),
        "target": answers.get("target"),
        "target_given": answers.get("target_source", "user") == "user",
        "truth": bool(measured),
        "held": held_words(evaluation or {}),
        "classes": _classes(answers.get("class_counts") or {}),
        "picks": answers.get("label_next") or [],
        "batch": answers.get("label_batch"),
        "untried": answers.get("untried") or [],
        "suspects": answers.get("suspect_labels") or [],
        "warnings": answers.get("warnings") or [],
        "settings": settings_rows(answers.get("hyperparameters") or {}),
        "evidence": answers.get("evidence") or {},
    }
    view |= _need_view(answers, spaces, measured, metric, known)
    view |= _expect_view(spaces, colours, measured, metric)
    view |= _ranking_view(answers, spaces, colours, metric, known)
    screened = view["screened"]
    view |= model_view(
        answers, spaces, screened, colours=colours, names=known, pretrained=pretrained or {}
    )
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


def _classes(counts: Mapping[str, int]) -> list[tuple[str, int, float]]:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    if len(ordered) > MAX_CLASSES:
        rest = ordered[MAX_CLASSES - 1 :]
        ordered = [
            *ordered[: MAX_CLASSES - 1],
            (f"{len(rest)} more classes, together", sum(n for _, n in rest)),
        ]
    most = max((n for _, n in ordered), default=1)
    return [(name, n, n / max(most, 1)) for name, n in ordered]


def _need_view(
    answers: Mapping[str, Any],
    spaces: Sequence[dict[str, Any]],
    measured: Mapping[tuple[str, str], Sequence[MeasuredPoint]],
    metric: Metric,
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
    matching = [
        space
        for space in spaces
        if space["name"] == shown["name"] and wanted in ("", space["view"])
    ]
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
    needs.sort(
        key=lambda each: (each["name"] != shown["name"], each["q50"] is None, each["q50"] or 0)
    )
    return {
        "need": shown,
        "need_plot": plot,
        "needs": needs,
        "plan": need.get("plan") or [],
        "searched_up_to": limit,
    } | {"plan_words": plan_words(need, limit)}


def _expect_view(
    spaces: Sequence[dict[str, Any]],
    colours: Mapping[str, int],
    measured: Mapping[tuple[str, str], Sequence[MeasuredPoint]],
    metric: Metric,
) -> dict[str, Any]:
    best: dict[str, dict[str, Any]] = {}
    for space in spaces:  # the best first
        best.setdefault(space["name"], space)
    first = list(best.values())[:MAX_PANELS]
    if not first:
        return {"panels": [], "forecasts": [], "sizes": [], "bias": ""}
    truths = [measured.get((space["name"], space["truth_view"]), ()) for space in first]
    sizes = plots.octaves([point["n_train"] for point in first[0]["curve"]])
    reached = [
        point for truth in truths for point in truth if sizes[0] <= point.n_train <= sizes[-1]
    ]
    y_range = plots.common_range([space["curve"] for space in first], reached)
    panels = [
        plots.forecast_panel(
            space["name"],
            space["curve"],
            metric=metric,
            y_range=y_range,
            measured=truth,
            colour=colours[space["name"]],
        )
        for space, truth in zip(first, truths, strict=True)
    ]
    rows = [
        {**space, "points": [point for point in space["curve"] if point["n_train"] in sizes]}
        for space in first
    ]
    bias = bias_words([(space["curve"], truth) for space, truth in zip(first, truths, strict=True)])
    return {"panels": panels, "forecasts": rows, "sizes": sizes, "bias": bias}


def _ranking_view(
    answers: Mapping[str, Any],
    spaces: Sequence[dict[str, Any]],
    colours: Mapping[str, int],
    metric: Metric,
    names: dict[str, str],
) -> dict[str, Any]:
    screened = [_space(space, names) for space in answers.get("screened") or []]
    view: dict[str, Any] = {
        "spaces": spaces,
        "screened": screened,
        "n_compared": len(spaces) + len(screened),
    }
    shown = spaces[:MAX_RANKED]
    view |= {"ranking_plot": None, "crossing": None, "n_drawn": len(shown)}
    if not spaces:
        return view
    rows = [
        (f"{s['name']}, {s['view']}" if s["view"] else s["name"], s["curve"][0], s["p_best"] or 0.0)
        for s in shown
    ]
    view["ranking_plot"] = plots.ranking(rows, metric, [colours[space["name"]] for space in shown])
    now = max(spaces, key=lambda space: space["p_best"] or 0)
    later = max(spaces, key=lambda space: space["p_best_16x"] or 0)
    if later is not now and (later["p_best_16x"] or 0) >= NAMED_CHANCE:
        view["crossing"] = {"name": f"{later['name']}, {later['view']}", "p": later["p_best_16x"]}
    return view
