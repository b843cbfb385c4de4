import json
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from meta.priors.encoders import (
    FACT_COLUMNS,
    FILE,
    EncoderPrior,
    TriedEncoder,
    from_json,
    load_prior,
)

MINILM = "sentence-transformers/all-MiniLM-L6-v2"


def small(means=(0.10, 0.0, -0.10), sd=0.02, interaction=0.0, sensitivities=(1.0,)):
    table = pd.DataFrame(
        {"mean": means, "sd": sd, "n_tasks": 20.0}, index=["org/big", "org/middle", "org/small"]
    )
    for name in FACT_COLUMNS:
        table[name] = 1.0
    table["n_parameters"] = [1e9, 1e8, 1e7]
    return EncoderPrior(
        table, np.array(sensitivities), np.full(len(sensitivities), interaction), 0.1, 8.0, 0.05
    )


def test_one_tried_encoder_sets_the_tasks_level_for_all():
    table = small().update({"org/middle": TriedEncoder(0.7, 0.01)}).set_index("encoder")
    assert table.loc["org/big", "mean"] == pytest.approx(0.8, abs=0.001)
    assert table.loc["org/small", "mean"] == pytest.approx(0.6, abs=0.001)
    assert table.loc["org/middle", "mean"] == pytest.approx(0.7, abs=0.001)
    # untried: its own level, the tried one's level and its noise, all independent
    assert table.loc["org/big", "sd"] == pytest.approx(
        np.sqrt(0.02**2 + 0.02**2 + 0.01**2), rel=0.01
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
    sensitivity = rng.choice(prior.sensitivities, n)[:, None]
    means = prior.encoders["mean"].to_numpy()
    level = 0.5 + rng.standard_normal(n)[:, None]
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
    assert prior.level("my/own", n_parameters=1e9) == (pytest.approx(0.1), 0.05)
    mean, sd = prior.level("lsa:64")
    assert mean == 0.0
    assert sd > 0.05
    assert "lsa:64" in set(prior.update({"lsa:64": TriedEncoder(0.5, 0.02)})["encoder"])


def test_references_are_matched_to_names():
    prior = load_prior()
    assert prior.name_of(f"hf:{MINILM}@main#layer=6,pooling=mean") == MINILM
    assert prior.name_of("hf:/models/all-MiniLM-L6-v2/") == MINILM
    assert prior.name_of("neoberta:checkpoint") is None


def test_nothing_tried_and_one_encoder_twice_are_refused():
    with pytest.raises(ValueError, match="nothing was tried"):
        small().update({})
    with pytest.raises(ValueError, match="two references"):
        small().update(
            {"org/big": TriedEncoder(0.5, 0.1), "hf:org/big#layer=1": TriedEncoder(0.5, 0.1)}
        )
    with pytest.raises(ValueError, match="language"):
        load_prior("klingon")


def test_suggestions_are_open_known_untried_likely_and_small_enough():
    prior = load_prior()
    found = prior.suggestions(
        {f"hf:{MINILM}": TriedEncoder(0.8, 0.02)}, max_parameters=2e8, n_best=4
    )
    assert 1 <= len(found) <= 4
    assert (found["n_parameters"] <= 2e8).all()
    assert (found["open_weights"] == 1).all()
    assert MINILM not in set(found["encoder"])
    assert found["p_beats_best_tried"].is_monotonic_decreasing
    assert found["p_beats_best_tried"].between(0.5, 1.0).all()
    best = prior.encoders["mean"].idxmax()
    assert prior.suggestions({best: TriedEncoder(0.9, 0.01)}, min_probability=0.9).empty


@pytest.mark.parametrize("language", ["english", "other"])
def test_the_table_that_ships_is_small_complete_and_ordered_as_one_would_expect(language):
    assert files("meta").joinpath(FILE).stat().st_size < 300_000
    table = load_prior(language).encoders
    assert len(table) > 200
    assert table.index.is_unique
    assert (table["sd"] > 0).all()
    assert table["mean"].abs().max() < 0.6
    large = "intfloat/multilingual-e5-large"
    assert load_prior(language).level(large) == (table.loc[large, "mean"], table.loc[large, "sd"])


def test_multilingual_encoders_lead_on_other_languages_only():
    english, other = load_prior("english"), load_prior("other")
    assert other.level("intfloat/multilingual-e5-base")[0] - other.level(MINILM)[0] > 0.05
    assert english.level("intfloat/multilingual-e5-base")[0] - english.level(MINILM)[0] < 0.05


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
