"""Sentences that must not mislead: what is said when a probe is weak, a target cheap, or there is
nothing to compare."""

import re

import pytest
from html_page import Page
from report_sample import answers, curve

from meta.metric import Metric
from meta.report.data import DepthCurve, EncoderSummary, MeasuredPoint
from meta.report.evidence_words import (
    bias_words,
    coverage_words,
    error_rows,
    error_words,
    held_words,
    row_count_words,
)
from meta.report.model_view import neoberta_words, settings_rows
from meta.report.page import characterize_report, whole_names
from meta.report.six_answers import plan_words, six_answers
from meta.report.study_view import depth_words


def said(question: str, **changes) -> str:
    return next(
        each.sentence
        for each in six_answers({**answers(), **changes}, {})
        if each.anchor == question
    )


def test_many_suspects_are_called_a_weak_probe():
    suspect = {"row": 1, "text": "x", "given": "a", "likely": "b", "score": 0.9}
    assert "2 labels may be wrong" in said("label", suspect_labels=[suspect] * 2)
    many = said("label", suspect_labels=[suspect] * 46)
    assert "disagrees with 46 labels" in many and "may be wrong" not in many


def test_a_target_below_the_commonest_class_is_not_called_enough():
    reached = {**answers()["data_needed"], "status": "reached", "p_reached_now": 0.99}
    assert said("need", data_needed=reached, target=0.88, constant_score=0.48).startswith(
        "You have enough"
    )
    cheap = said("need", data_needed=reached, target=0.88, constant_score=0.95)
    assert cheap.startswith("Aim higher") and "95.0" in cheap
    loss = said(
        "need", data_needed=reached, metric=Metric.LOG_LOSS, target=0.7, constant_score=0.69
    )
    same = said(
        "need", data_needed=reached, metric=Metric.LOG_LOSS, target=0.69, constant_score=0.69
    )
    assert same.startswith("Aim lower"), "as good is not better"
    assert loss.startswith("Aim lower") and "has 0.690" in loss


def test_a_target_that_nobody_named_is_not_called_too_demanding():
    need = {**answers()["data_needed"], "status": "uncertain", "p_reachable": 0.1}
    default = {"data_needed": need, "target": 0.97, "target_source": "default"}
    raised = said("need", **default, constant_score=0.96)
    assert (
        "less demanding" not in raised
        and "just better than an answer that never looks at a text" in raised
    )
    assert "one to two points short of the forecast at the far end" in said(
        "need", **default, constant_score=0.5
    )
    named = said("need", **{**default, "target_source": "user"}, constant_score=0.96)
    assert "less demanding" in named and "No target" not in named


def test_a_single_space_without_layers_is_not_called_the_cheapest():
    model = {"encoder": "lsa:64", "layers": 0, "parameters": 100}
    alone = said("model", model=model, encoders=answers()["encoders"][:1], screened=[])
    assert "only space given" in alone and "cheapest" not in alone
    assert "cheapest" in said("model", model=model)


def test_fine_tuning_that_should_not_help_is_not_advised():
    finetune = {"learning_rate": 2e-5, "epochs": 20, "source": "published runs"}
    worse = {**finetune, "gain": {"ordinary": {"q05": -0.1, "q50": -0.05, "q95": 0.1}}}
    better = {**finetune, "gain": {"ordinary": {"q05": -0.1, "q50": 0.02, "q95": 0.1}}}
    probe = {"C": 0.1}
    assert "do not expect it to beat the probe" in said(
        "settings", hyperparameters={"probe": probe, "finetune": worse}
    )
    assert "do not expect" not in said(
        "settings", hyperparameters={"probe": probe, "finetune": better}
    )
    assert "end of the grid" in said(
        "settings", hyperparameters={"probe": probe | {"C_is_at_end": True}, "finetune": better}
    )


def test_the_gain_of_fine_tuning_is_said_of_fine_tuning_and_not_of_c():
    gain = {"ordinary": {"q05": -0.1, "q50": 0.02, "q95": 0.1}}
    finetune = {"learning_rate": 2e-5, "epochs": 20, "source": "published runs", "gain": gain}
    sentence = said("settings", hyperparameters={"probe": {"C": 0.1}, "finetune": finetune})
    assert "fine-tuning gains +2.0 points" in sentence and sentence.endswith("over the probe.")


def test_truth_values_among_the_settings_are_yes_or_no():
    rows = settings_rows({"probe": {"C": 1.0, "C_is_at_end": False, "source": "leave-one-out"}})
    assert [value for _, _, value, _ in rows] == ["1", "no"]


def test_a_row_count_is_followed_by_how_often_such_counts_were_right():
    tables = {
        "held_out_required_n_within_2x": {
            "4x": {"q50": 0.22, "n_if_reached": 0.49},
            "16x": {"q50": 0.08},
        }
    }
    reachable = row_count_words(tables, {"status": "reachable", "q50": 578})
    assert (
        "a factor of two of the truth in 22\u00a0% of the cases that needed 4 times the rows, "
        "in 8\u00a0% of those that needed 16 times." in reachable
    )
    uncertain = row_count_words(tables, {"status": "uncertain", "q50": None, "n_if_reached": 900})
    assert "in 49\u00a0% of" in uncertain and "16" not in uncertain, (
        "of the estimator that made this count"
    )
    for need in (
        {"status": "reached", "q50": 200},
        {"status": "uncertain", "n_if_reached": None},
        {},
    ):
        assert row_count_words(tables, need) == "", "no row count is named"
    assert row_count_words({}, {"status": "reachable", "q50": 578}) == ""
    assert said("need").endswith("in 71\u00a0% of the cases that needed 4 times the rows."), (
        "in the terminal, too"
    )


def test_a_plan_that_ends_at_an_even_chance_says_so():
    plan = [{"round": 1, "p_reached": 0.2}, {"round": 2, "p_reached": 0.5}]
    assert (
        "as likely missed as met; the cautious end of the interval lies at 3,177 rows"
        in plan_words({"plan": plan, "q50": 578, "q95": 3177}, 3200)
    )
    assert "beyond the 3,200 rows looked at" in plan_words(
        {"plan": plan, "q50": 578, "q95": None}, 3200
    )
    assert "short of the target" in plan_words({"plan": [{"p_reached": 0.0}], "q50": None}, 3200)
    assert (
        plan_words({"plan": [{"p_reached": 0.95}], "q50": 578}, 3200)
        == plan_words({"plan": []}, 3200)
        == ""
    )


def test_what_looks_equal_is_called_level_and_is_bold_twice():
    errors = {
        "4x": {"metamodel": 4.76, "loo": 4.82, "pow2": 7.4},
        "16x": {"metamodel": 7.39, "loo": 7.26, "pow2": 9.0},
    }
    assert error_words(errors) == [
        (
            "The metamodel is level with the best baseline at 4x (4.8 points each). The best"
            " baseline there: leave-one-out, carried forward."
        ),
        (
            "The best baseline errs less than the metamodel at 16x (7.4 points against 7.3). The"
            " best baseline there: leave-one-out, carried forward."
        ),
    ]
    bold = {
        row["label"]: [is_lowest for _, is_lowest in row["cells"]] for row in error_rows(errors)
    }
    assert bold == {
        "metamodel": [True, False],
        "leave-one-out, carried forward": [True, True],
        "power law, 2 parameters": [False, False],
    }
    assert error_words({"1x": {"metamodel": 1.96, "loo": 2.04}})[0].startswith(
        "The metamodel is level"
    )
    assert error_words({"1x": {"metamodel": 1.94, "loo": 2.04}})[0].startswith(
        "The metamodel errs less"
    )


def test_narrow_bands_are_called_so_at_every_level():
    coverage = {
        level: {"all": {"coverage": held}}
        for level, held in (("50", 0.447), ("80", 0.81), ("90", 0.928))
    }
    assert (
        coverage_words(coverage)
        == "Too narrow: the 50\u00a0% intervals (held 45\u00a0%); about right: the 80\u00a0%"
        " intervals (held 81\u00a0%); wider than needed: the 90\u00a0% intervals (held"
        " 93\u00a0%)."
    )
    assert held_words({"coverage": coverage}) == "45\u00a0% and 93\u00a0%"
    assert coverage_words({}) == held_words({}) == ""


def test_forecasts_that_err_to_one_side_are_said_to():
    forecast = curve(0.1, 4, 4)
    at = {point["n_train"]: point for point in forecast}

    def measured(shift: float) -> list[MeasuredPoint]:
        return [
            MeasuredPoint(n_train=size, mean=at[size]["q50"] + shift) for size in (200, 400, 800)
        ]

    low = bias_words([(forecast, measured(0.05)), (forecast, measured(0.01))])
    assert (
        "too low, by 3.0 points on average (6 of 6 measured values lie above)" in low
        and "bands hold 3 of 6" in low
    )
    assert "too high, by 2.0 points" in bias_words([(forecast, measured(-0.02))])
    beyond = [MeasuredPoint(n_train=100, mean=0.1), MeasuredPoint(n_train=100_000, mean=0.1)]
    assert (
        bias_words([(forecast, measured(0.05)), (forecast, measured(-0.05))])
        == bias_words([(forecast, beyond)])
        == ""
    )


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [(0.61, 0.80, "is not worth it here"), (0.798, 0.80, "may be worth it here")],
)
def test_pretraining_a_neoberta_is_judged_by_the_forecasts(own, other, verdict):
    def space(name: str, value: float) -> dict:
        return {
            "name": name,
            "curve": [{"n_train": 200, "q50": value}, {"n_train": 3200, "q50": value + 0.1}],
        }

    spaces = [
        space("hf:x", other),
        space("lsa:256", 0.5),
        space("random:deep", 0.9 * own),
        space("deep", own),
    ]
    judged = neoberta_words(
        spaces, [], {"deep": 200_000}, n_tokens=177_000_000, metric=Metric.ACCURACY
    )
    assert (
        verdict in judged
        and f"{100 * own:.1f}\u00a0% with 200" in judged
        and f"{100 * other:.1f}\u00a0% and" in judged
    )
    assert "saw 200 thousand tokens of text; this configuration asks for 177 million" in judged
    loss = [space("hf:x", 0.3), space("lsa:256", 0.9), space("deep", 0.8)]
    assert "is not worth it here: the best NeoBERTa" in neoberta_words(
        loss, [], {"deep": 1}, n_tokens=None, metric=Metric.LOG_LOSS
    )
    assert "may be worth it here" in neoberta_words(
        loss[1:], [], {"deep": 1}, n_tokens=None, metric=Metric.LOG_LOSS
    )
    loss[2]["curve"][-1]["q50"] = 0.2  # behind now, ahead with more labels
    assert "may be worth it here" in neoberta_words(
        loss, [], {"deep": 1}, n_tokens=None, metric=Metric.LOG_LOSS
    )
    by_reference = neoberta_words(
        [*spaces[:3], space("neoberta:3f", own)], [], {}, n_tokens=None, metric=Metric.ACCURACY
    )
    assert verdict in by_reference and "tokens" not in by_reference
    without = {"n_tokens": 1000, "metric": "accuracy"}
    assert "No NeoBERTa was compared here" in neoberta_words(spaces[:3], [], {}, **without)
    assert "got no forecast" in neoberta_words(
        spaces[:3], [{"name": "deep"}], {"deep": 1}, **without
    )
    assert "Only NeoBERTas" in neoberta_words(spaces[3:], [], {"deep": 1}, **without)


def test_layers_that_were_left_out_are_named():
    control = EncoderSummary(name="random:deep", n_layers=4)
    some = DepthCurve(encoder="random:deep", n_train=512, layers=(2, 4), values=(0.4, 0.5))
    assert (
        depth_words(some, control) == "Of random:deep, which has 4 layers, only 2 and 4 were read."
    )
    every = DepthCurve(
        encoder="random:deep", n_train=512, layers=(0, 1, 2, 3, 4), values=(0.4,) * 5
    )
    assert depth_words(every, control) == depth_words(some, None) == ""


def test_names_do_not_end_a_line_and_stay_text():
    html = whole_names(
        "About 578\u00a0rows with hf:all-MiniLM-L6-v2, at 3e-5, one-off <i>&</i> <b>a/1</b>"
    )
    assert (
        '<span class="whole">hf:all-MiniLM-L6-v2,</span> at <span class="whole">3e-5,</span>'
        " one-off &lt;i&gt;&amp;&lt;/i&gt; <" in html
    )
    assert html.endswith('<span class="whole">&lt;b&gt;a/1&lt;/b&gt;</span>') and html.startswith(
        "About 578\u00a0rows with "
    )


@pytest.mark.parametrize(
    ("metric", "constant", "target"), [(Metric.ACCURACY, 0.53, 0.54), (Metric.LOG_LOSS, 0.69, 0.68)]
)
def test_a_default_target_that_no_forecast_meets_is_not_said_to_be_forecast(
    metric, constant, target
):
    need = {
        "encoder": "lsa:64",
        "q05": 400,
        "q95": None,
        "searched_up_to": 1600,
        "p_reachable": 0.37,
    }
    given = {
        "metric": metric,
        "target": target,
        "target_source": "default",
        "constant_score": constant,
    }
    beyond = said("need", data_needed=need | {"status": "uncertain", "q50": None}, **given)
    assert (
        "and better than the best forecast at the far end." in beyond
        and "hardly more" not in beyond
    )
    within = said("need", data_needed=need | {"status": "reachable", "q50": 900}, **given)
    assert "and so, hardly more, is the best forecast at the far end." in within


def test_of_a_loss_nats_are_said_and_of_a_rate_points():
    content = answers()
    for space in content["encoders"]:
        space["curve"] = [
            point | {name: 2 * (1 - point[name]) for name in ("q05", "q25", "q50", "q75", "q95")}
            for point in space["curve"]
        ]
    content |= {
        "metric": "log_loss",
        "target": 0.4,
        "target_source": "default",
        "label_batch": {"n_rows": 20, "gain": 0.012},
    }
    content["label_batch"]["strategy"] = "typical rows"
    for status in ("reached", "reachable"):
        content["data_needed"]["status"] = status
        words = Page(characterize_report(content)).words
        assert not re.findall(r".{50}\bpoints?\b", words, re.IGNORECASE)
        assert (
            "0.01 to 0.02 nats short" in words
            and "within 0.005 nats of the best" in words
            and "bring about 0.012 nats" in words
        )
        assert "Error, nats 0.016 0.031 0.056" in words and "one nat less is" in words
    words = Page(characterize_report(answers())).words
    assert (
        "nat" not in re.findall(r"\w+", words.lower())
        and "within half a point of the best" in words
    )


def test_unlabelled_rows_that_were_given_are_not_said_to_be_missing():
    batch = {"n_rows": 0, "gain": 0.0, "strategy": "rows that the probe cannot decide"}
    sure, without = (
        {"label_next": [], "label_batch": batch},
        {"label_next": [], "label_batch": None},
    )
    assert said("label", **sure).startswith("The probe hesitates over none of the unlabelled rows")
    assert said("label", **without).startswith("All evaluation rows have a label already")
    assert said("label", n_eval=0, **without).startswith("No unlabelled rows were given")
    content = answers()
    content["encoders"] = content["encoders"][:1]
    assert "none was given" not in Page(characterize_report(content | sure)).words
    assert "none was given" in Page(characterize_report(content | without | {"n_eval": 0})).words
    given = {
        "n_labelled": 300,
        "estimate": 0.8,
        "q05": 0.7,
        "q95": 0.9,
        "weight": 0.0,
        "before": answers()["encoders"][0]["curve"][0],
    }
    assert (
        "All evaluation rows have a label already."
        in Page(characterize_report(content | without | {"eval_labels": given})).words
    )


def test_encoders_not_tried_are_of_accuracy_whatever_the_metric():
    untried = {
        "encoder": "hf:a/b",
        "p_beats_best_tried": 0.8,
        "q05": 0.7,
        "q50": 0.8,
        "q95": 0.9,
        "parameters": 10**8,
        "n_tasks": 9,
    }
    words = [
        Page(characterize_report(answers() | {"untried": [untried], "metric": name})).words
        for name in ("auroc", "accuracy")
    ]
    assert "This table is of accuracy" in words[0] and "This table is of accuracy" not in words[1]


def test_input_embeddings_alone_are_not_called_an_encoder_without_layers():
    model = answers()["model"] | {
        "layers": 0,
        "encoder_layers": 6,
        "view": {"layer": 0, "pooling": "max"},
    }
    assert "its input embeddings alone (max pooling, none of its 6 layers; " in said(
        "model", model=model
    )
    assert (
        "none of 6: the input embeddings, with max pooling"
        in Page(characterize_report(answers() | {"model": model})).words
    )
    assert "it has no layers to cut" in said("model", model=model | {"encoder_layers": 0})


def test_a_space_that_is_hardly_likelier_than_others_is_not_called_the_favourite():
    def words(p_best_16x: float) -> str:
        first, second, *rest = answers()["encoders"]
        spaces = [
            first | {"p_best": 0.6, "p_best_16x": 0.2},
            second | {"p_best": 0.1, "p_best_16x": p_best_16x},
            *rest,
        ]
        return Page(characterize_report(answers() | {"encoders": spaces})).words

    assert "With 16 times the labels the favourite is" in words(0.45)
    assert "With 16 times the labels the favourite is" not in words(0.35)


def test_evaluation_rows_with_labels_are_not_called_unlabelled():
    content = answers()
    content["encoders"] = content["encoders"][:1]
    interval = {"q05": 0.7, "q50": 0.8, "q95": 0.9}
    assert (
        "unlabelled rows of the kind the classifier will meet."
        in Page(characterize_report(content)).words
    )
    content["eval_labels"] = {
        "n_labelled": 60,
        "estimate": 0.8,
        "q05": 0.7,
        "q95": 0.9,
        "weight": 0.1,
        "before": interval,
    }
    words = Page(characterize_report(content)).words
    assert (
        "rows of the kind the classifier will meet, 60 of them labelled." in words
        and "unlabelled rows of the" not in words
    )
