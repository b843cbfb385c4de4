"""The sentences of the six questions must not mislead: what is said when a probe is weak, a target
cheap, or there is nothing to compare."""

import pytest
from report_sample import answers, data_needed, said

from meta.metric import Metric
from meta.report.compared_spaces import ComparedSpace, ForecastSpace
from meta.report.questions.q1_need import plan_words
from meta.report.questions.q5_model import neoberta_words
from meta.report.questions.q6_settings import setting_rows
from meta.schema import CurvePoint, Hyperparameters

FINETUNE = {"learning_rate": 2e-5, "epochs": 20, "source": "published runs"}


def gains(middle: float) -> dict:
    gain = {"q05": -0.1, "q50": middle, "q95": 0.1, "extrapolated": False}
    return {"ordinary": gain, "contrastive": gain}


def test_many_suspects_are_called_a_weak_probe():
    suspect = answers()["suspect_labels"][0]
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


@pytest.mark.parametrize(
    ("metric", "constant", "target"), [(Metric.ACCURACY, 0.53, 0.54), (Metric.LOG_LOSS, 0.69, 0.68)]
)
def test_a_default_target_that_no_forecast_meets_is_not_said_to_be_forecast(
    metric, constant, target
):
    need = answers()["data_needed"] | {
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


def test_a_plan_that_ends_at_an_even_chance_says_so():
    first, *_, last = answers()["data_needed"]["plan"]

    def words(p_reached: float | None, **changes) -> str:
        return plan_words(data_needed(plan=[first, last | {"p_reached": p_reached}], **changes))

    assert "as likely missed as met; the cautious end of the interval lies at 3,177 rows" in words(
        0.5, q50=578, q95=3177
    )
    assert "beyond the 3,200 rows looked at" in words(0.5, q50=578, q95=None)
    assert "short of the target" in words(0.0, q50=None)
    assert words(0.95, q50=578) == words(None, q50=578) == plan_words(data_needed(plan=[])) == ""


def test_a_single_space_without_layers_is_not_called_the_cheapest():
    model = answers()["model"] | {"encoder": "lsa:64", "layers": 0, "parameters": 100}
    alone = said("model", model=model, encoders=answers()["encoders"][:1], screened=[])
    assert "only space given" in alone and "cheapest" not in alone
    assert "cheapest" in said("model", model=model)


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [(0.61, 0.80, "is not worth it here"), (0.798, 0.80, "may be worth it here")],
)
def test_pretraining_a_neoberta_is_judged_by_the_forecasts(own, other, verdict):
    def point(n_train: int, value: float) -> CurvePoint:
        return CurvePoint(n_train=n_train, q05=value, q25=value, q50=value, q75=value, q95=value)

    def space(name: str, now: float, later: float | None = None) -> ForecastSpace:
        return ForecastSpace(
            name=name,
            view="layer 1, mean pooling",
            layer=1,
            p_best=0.2,
            held_out=now,
            p_best_16x=0.2,
            curve=[point(200, now), point(3200, now + 0.1 if later is None else later)],
            measured=(),
            colour=0,
        )

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
    loss[2] = space("deep", 0.8, later=0.2)  # behind now, ahead with more labels
    assert "may be worth it here" in neoberta_words(
        loss, [], {"deep": 1}, n_tokens=None, metric=Metric.LOG_LOSS
    )
    by_reference = neoberta_words(
        [*spaces[:3], space("neoberta:3f", own)], [], {}, n_tokens=None, metric=Metric.ACCURACY
    )
    assert verdict in by_reference and "tokens" not in by_reference
    without = {"n_tokens": 1000, "metric": Metric.ACCURACY}
    left_behind = ComparedSpace("deep", "layer 1, mean pooling", layer=1, p_best=0.0, held_out=0.3)
    assert "No NeoBERTa was compared here" in neoberta_words(spaces[:3], [], {}, **without)
    assert "got no forecast" in neoberta_words(spaces[:3], [left_behind], {"deep": 1}, **without)
    assert "Only NeoBERTas" in neoberta_words(spaces[3:], [], {"deep": 1}, **without)


def test_fine_tuning_that_should_not_help_is_not_advised():
    worse = {**FINETUNE, "gain": gains(-0.05)}
    better = {**FINETUNE, "gain": gains(0.02)}
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
    finetune = {**FINETUNE, "gain": gains(0.02)}
    sentence = said("settings", hyperparameters={"probe": {"C": 0.1}, "finetune": finetune})
    assert "over the probe, by published runs on other data: ordinary fine-tuning +2.0" in sentence


def test_both_recipes_of_fine_tuning_are_named_the_better_one_first():
    gain = gains(-0.03)
    gain["contrastive"] = gain["contrastive"] | {"q50": 0.01}
    settings = {"probe": {"C": 0.1}, "finetune": FINETUNE | {"gain": gain}}
    sentence = said("settings", hyperparameters=settings)
    assert "do not expect" not in sentence, "one of them beats the probe"
    assert sentence.index("contrastive fine-tuning (SetFit) +1.0") < sentence.index(
        "ordinary fine-tuning \u22123.0"
    )


def test_truth_values_among_the_settings_are_yes_or_no():
    settings = {
        "probe": {"C": 1.0, "C_is_at_end": False, "source": "leave-one-out"},
        "finetune": {"reason": "nothing to train", "source": "rule"},
    }
    rows = setting_rows(Hyperparameters.model_validate(settings))
    assert [(row.name, row.value) for row in rows] == [
        ("regularisation C", "1"),
        ("C at the end of the grid", "no"),
        ("note", "nothing to train"),
    ]
    assert [row.source for row in rows[1:]] == [
        "measured by leave-one-out",
        "rule of thumb, not measured",
    ]


def test_the_best_model_is_not_called_good_enough_on_a_chance_below_one_half():
    model = answers()["model"] | {"p_within_tolerance": 0.31}
    best = said("model", model=model | {"metric_q50": 0.8, "best_q50": 0.8})
    assert "no model is a safe choice yet" in best and "cheapest" not in best


def test_a_smaller_model_that_may_not_be_as_good_is_told_with_the_rows_that_would_tell():
    unsafe = {
        "encoder": "hf:all-MiniLM-L6-v2",
        "view": {"layer": 3, "pooling": "mean"},
        "layers": 3,
        "parameters": 17_000_000,
        "p_within_tolerance": 0.38,
        "n_to_tell": 900,
    }
    model = answers()["model"] | {"metric_q50": 0.8, "best_q50": 0.8, "p_within_tolerance": 0.6}
    told = said("model", model=model | {"unsafe": unsafe})
    assert "is the best, and no cheaper one is safe yet" in told
    assert "layer 3, mean pooling" in told and "38\u00a0% only; about 900 labelled rows" in told
    never = said("model", model=model | {"unsafe": unsafe | {"n_to_tell": None}})
    assert "may never be told" in never
