import json
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from meta.priors.encoders import (
    FACT_COLUMNS,
    FILE,
    OTHER_KIND,
    TASK_LEVEL_SD,
    EncoderPrior,
    TriedEncoder,
    from_json,
    load_prior,
)

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def small(means=(0.10, 0.0, -0.10), sd=0.02, interaction=0.0, sensitivities=(1.0,), kinds=None):
    """A prior of three encoders. `kinds` are those of the tasks (default: all of no kind); the
    levels on tasks of the kind "topic" are those on others, in the reverse order."""
    names = ["org/big", "org/middle", "org/small"]
    table = pd.DataFrame({"n_tasks": 20.0}, index=names)
    for name in FACT_COLUMNS:
        table[name] = 1.0
    table["n_parameters"] = [1e9, 1e8, 1e7]
    levels = pd.DataFrame({"topic": means[::-1], OTHER_KIND: means}, index=names)
    tasks = pd.DataFrame(
        {
            "kind": kinds or [OTHER_KIND] * len(sensitivities),
            "weight": 1.0 / len(sensitivities),
            "level": 0.6,
            "sensitivity": sensitivities,
            "interaction_sd": interaction,
        }
    )
    return EncoderPrior(table, levels, levels * 0.0 + sd, tasks, 0.1, 8.0, 0.05)


def test_one_tried_encoder_sets_the_tasks_level_for_all():
    table = small().update({"org/middle": TriedEncoder(0.7, 0.01)}).set_index("encoder")
    assert table.loc["org/big", "mean"] == pytest.approx(0.8, abs=0.006)
    assert table.loc["org/small", "mean"] == pytest.approx(0.6, abs=0.006)
    assert table.loc["org/middle", "mean"] == pytest.approx(0.7, abs=0.006)
    # untried: its own level, the tried one's level and its noise, all independent
    assert table.loc["org/big", "sd"] == pytest.approx(
        np.sqrt(0.02**2 + 0.02**2 + 0.01**2), rel=0.02
    )
    assert table.loc["org/middle", "sd"] == pytest.approx(0.01, rel=0.02)


def test_probability_of_beating_the_best_tried_is_that_of_the_gap():
    from scipy.stats import norm

    table = small().update({"org/middle": TriedEncoder(0.7, 1e-4)}).set_index("encoder")
    assert table.loc["org/big", "p_beats_best_tried"] == pytest.approx(
        norm.cdf(0.1 / np.hypot(0.02, 0.02)), abs=0.001
    )
    assert table.loc["org/middle", "p_beats_best_tried"] == 0.0
    assert table.loc["org/small", "p_beats_best_tried"] < 0.001


def test_conditioning_agrees_with_draws_from_the_model():
    prior = small(sd=0.05, interaction=0.04, sensitivities=(0.5, 1.5))
    evidence = {"org/middle": TriedEncoder(0.62, 0.03), "org/small": TriedEncoder(0.60, 0.03)}
    rng = np.random.default_rng(0)
    n = 2_000_000
    sensitivity = rng.choice(prior.tasks["sensitivity"], n)[:, None]
    means = prior.means[OTHER_KIND].to_numpy()
    level = 0.6 + TASK_LEVEL_SD * rng.standard_normal(n)[:, None]
    accuracy = level + sensitivity * (means + rng.standard_normal((n, 3)) * np.hypot(0.05, 0.04))
    seen = np.array([0.62, 0.60])
    weight = np.exp(-0.5 * (((accuracy[:, 1:] - seen) / 0.03) ** 2).sum(axis=1))
    weight /= weight.sum()
    mean = weight @ accuracy
    sd = np.sqrt(weight @ (accuracy - mean) ** 2)
    best = 1 + int(mean[1:].argmax())
    table = prior.update(evidence).set_index("encoder").loc[["org/big", "org/middle", "org/small"]]
    assert table["mean"].to_numpy() == pytest.approx(mean, abs=0.005)
    assert table["sd"].to_numpy() == pytest.approx(sd, rel=0.05)
    assert table.loc["org/big", "p_beats_best_tried"] == pytest.approx(
        weight @ (accuracy[:, 0] > accuracy[:, best]), abs=0.02
    )


def test_more_evidence_never_leaves_one_less_certain_of_it():
    prior = small(interaction=0.03)
    sds = [
        prior.update({"org/middle": TriedEncoder(0.7, sd)})
        .set_index("encoder")
        .loc["org/middle", "sd"]
        for sd in (0.1, 0.05, 0.01)
    ]
    assert sds == sorted(sds, reverse=True)


def test_evidence_overrules_the_table():
    table = small(interaction=0.05).update(
        {"org/big": TriedEncoder(0.60, 0.005), "org/small": TriedEncoder(0.75, 0.005)}
    )
    assert table.loc[0, "encoder"] == "org/small"


def test_an_unknown_encoder_has_the_level_of_its_size():
    prior = small()
    (large, unknown), (sd, _) = prior.levels(["my/own", "lsa:64"], [1e9, None], OTHER_KIND)
    assert large == pytest.approx(0.1) and unknown == 0.0 and sd == 0.05
    sizes = (1e7, 1e9)
    chances = [
        prior.update({"mine": TriedEncoder(0.6, 0.01, size)})
        .set_index("encoder")
        .loc["org/middle", "p_beats_best_tried"]
        for size in sizes
    ]
    assert chances[0] > 0.9 and chances[1] < 0.1


def test_encoders_are_known_by_weights_or_by_the_hub():
    prior = load_prior()
    (weights,) = prior.weights
    assert prior.name_of(weights, "") == prior.name_of(weights, "some/other") == MINILM
    assert prior.name_of("f" * 16, MINILM) is None, "its weights are known to be others"
    e5 = "intfloat/multilingual-e5-base"
    assert prior.name_of("f" * 16, e5) == prior.name_of("", e5) == e5
    assert prior.name_of("f" * 16, "") is None and prior.name_of("", "no/such") is None


def test_the_kind_of_the_task_chooses_among_the_levels():
    prior = small(sensitivities=(1.0, 1.0), kinds=["topic", OTHER_KIND])
    tried = {"org/middle": TriedEncoder(0.6, 0.01)}
    for kind, best in (("topic", "org/small"), (OTHER_KIND, "org/big")):
        assert prior.update(tried, {kind: 1.0}).loc[0, "encoder"] == best
    unsure = prior.update(tried, {"topic": 0.6, OTHER_KIND: 0.4}).set_index("encoder")
    assert unsure.loc["org/small", "p_beats_best_tried"] == pytest.approx(0.6, abs=0.01)
    with pytest.raises(ValueError, match="'klingon': one of topic, other"):
        prior.update(tried, {"klingon": 1.0})


def test_what_is_proposed_is_corrected_by_what_came_true():
    prior = replace(small(interaction=0.05), proposal_calibration=(-0.4, 0.7))
    tried = {"org/middle": TriedEncoder(0.6, 0.01)}
    model = prior.update(tried).set_index("encoder").loc["org/big", "p_beats_best_tried"]
    proposed = prior.suggestions(tried).set_index("encoder")["p_beats_best_tried"]
    assert 0.5 < proposed["org/big"] < model
    assert proposed["org/big"] == pytest.approx(expit(-0.4 + 0.7 * logit(model)), abs=1e-6)


def test_nothing_tried_and_an_unknown_language_are_refused():
    with pytest.raises(ValueError, match="nothing was tried"):
        small().update({})
    with pytest.raises(ValueError, match="language"):
        load_prior("klingon")


def test_suggestions_are_open_known_untried_likely_and_small_enough():
    prior = load_prior()
    found = prior.suggestions({MINILM: TriedEncoder(0.8, 0.02)}, max_parameters=2e8, n_best=4)
    assert 1 <= len(found) <= 4
    assert (found["n_parameters"] <= 2e8).all()
    assert (found["open_weights"] == 1).all()
    assert MINILM not in set(found["encoder"])
    assert found["p_beats_best_tried"].is_monotonic_decreasing
    assert found["p_beats_best_tried"].between(0.5, 1.0).all()
    best = prior.means[OTHER_KIND].idxmax()
    assert prior.suggestions({best: TriedEncoder(0.9, 0.01)}, min_probability=0.9).empty


@pytest.mark.parametrize("language", ["english", "other"])
def test_the_table_that_ships_is_small_complete_and_ordered_as_one_would_expect(language):
    assert files("meta").joinpath(FILE).stat().st_size < 300_000
    prior = load_prior(language)
    assert len(prior.encoders) > 200 and prior.encoders.index.is_unique
    assert {"sentiment", "topic", "intent", "toxicity", OTHER_KIND} <= set(prior.kinds)
    assert (prior.sds > 0).all(axis=None) and prior.means.abs().max(axis=None) < 0.6
    assert prior.tasks.groupby("kind")["weight"].sum().to_numpy() == pytest.approx(1.0, abs=1e-3)
    slope = prior.proposal_calibration[1]
    assert 0.3 < slope <= 1.2 and len(prior.reliability) >= 4


def test_multilingual_encoders_lead_on_other_languages_only():
    e5 = "intfloat/multilingual-e5-base"
    lead = {
        language: means[0] - means[1]
        for language in ("english", "other")
        for means in [load_prior(language).levels([e5, MINILM], [None, None], OTHER_KIND)[0]]
    }
    assert lead["other"] > 0.05 and lead["english"] < 0.05


def test_another_schema_is_refused():
    stored = json.loads(files("meta").joinpath(FILE).read_text())
    with pytest.raises(ValueError, match="schema"):
        from_json({**stored, "schema": 99}, "english")


def test_sensitivity_is_learnt_from_how_far_the_tried_lie_apart():
    wide = small(sensitivities=(0.5, 2.0), sd=0.005)
    near = wide.update(
        {"org/middle": TriedEncoder(0.7, 0.005), "org/small": TriedEncoder(0.65, 0.005)}
    ).set_index("encoder")
    far = wide.update(
        {"org/middle": TriedEncoder(0.7, 0.005), "org/small": TriedEncoder(0.5, 0.005)}
    ).set_index("encoder")
    assert near.loc["org/big", "mean"] == pytest.approx(0.75, abs=0.02)
    assert far.loc["org/big", "mean"] == pytest.approx(0.9, abs=0.03)
