"""Sentences that must not mislead: what is said when a probe is weak, a target cheap, or there is nothing to compare."""

from report_sample import answers

from meta.report.wording import six_answers


def said(question: str, **changes) -> str:
    return next(each.sentence for each in six_answers({**answers(), **changes}, {}) if each.anchor == question)


def test_many_suspects_are_called_a_weak_probe():
    suspect = {"row": 1, "text": "x", "given": "a", "likely": "b", "score": 0.9}
    assert "2 labels may be wrong" in said("label", suspect_labels=[suspect] * 2)
    many = said("label", suspect_labels=[suspect] * 46)
    assert "disagrees with 46 labels" in many and "may be wrong" not in many


def test_a_target_below_the_commonest_class_is_not_called_enough():
    reached = {**answers()["data_needed"], "status": "reached", "p_reached_now": 0.99}
    assert said("need", data_needed=reached, target=0.88, constant_score=0.48).startswith("You have enough")
    cheap = said("need", data_needed=reached, target=0.88, constant_score=0.95)
    assert cheap.startswith("Aim higher") and "95.0" in cheap
    loss = said("need", data_needed=reached, metric="log_loss", target=0.7, constant_score=0.69)
    same = said("need", data_needed=reached, metric="log_loss", target=0.69, constant_score=0.69)
    assert same.startswith("Aim lower"), "as good is not better"
    assert loss.startswith("Aim lower") and "has 0.690" in loss


def test_a_target_that_nobody_named_is_not_called_too_demanding():
    need = {**answers()["data_needed"], "status": "uncertain", "p_reachable": 0.1}
    default = {"data_needed": need, "target": 0.97, "target_source": "default"}
    raised = said("need", **default, constant_score=0.96)
    assert "less demanding" not in raised and "just better than an answer that never looks at a text" in raised
    assert "a point short of the forecast at the far end" in said("need", **default, constant_score=0.5)
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
    assert "do not expect it to beat the probe" in said("settings", hyperparameters={"probe": probe, "finetune": worse})
    assert "do not expect" not in said("settings", hyperparameters={"probe": probe, "finetune": better})
    assert "end of the grid" in said("settings", hyperparameters={"probe": probe | {"C_is_at_end": True}, "finetune": better})
