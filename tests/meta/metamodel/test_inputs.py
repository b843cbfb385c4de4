"""The inputs of the metamodel: the noise that no forecast can avoid, and the inputs of both
stages."""

import numpy as np
import pytest
from synthetic_observations import observations

from meta.metamodel.fitting import FitInputs
from meta.metamodel.inputs import N_NOISE_TERMS, anchor, linear_inputs, noise_terms
from meta.metamodel.observations import power_law_forecasts
from meta.metamodel.power_laws import FORECASTS
from meta.metric import Metric


def terms(metric=Metric.ACCURACY, **changes):
    frame = observations(n_tasks=2).assign(**changes)
    known = power_law_forecasts(frame, metric)
    return noise_terms(frame, known, anchor(frame, known, metric), metric)


@pytest.mark.parametrize("metric", [Metric.ACCURACY, Metric.LOG_LOSS])
def test_noise_terms_are_finite_variances(metric):
    found = terms(metric)
    assert found.shape == (len(observations(n_tasks=2)), N_NOISE_TERMS)
    assert np.isfinite(found).all() and (found >= 0).all()
    assert found[:, 2] == pytest.approx(1e-4), "a floor of a hundredth"


def test_growth_unseen_counts_with_the_square_of_the_octaves_ahead_and_what_is_left_to_learn():
    frame = observations(n_tasks=2)
    known = power_law_forecasts(frame, Metric.ACCURACY)
    octaves = np.log2(frame["horizon"] / frame["n_train"]).to_numpy()
    left = np.maximum(1 - anchor(frame, known, Metric.ACCURACY), 0.01)
    assert octaves.max() >= 2 and terms()[:, 1] == pytest.approx(0.01 * octaves**2 * left)


def test_power_laws_that_differ_mean_more_noise_in_rates():
    frame = observations(n_tasks=2)
    known = power_law_forecasts(frame, Metric.ACCURACY)
    laws = np.arcsin(np.sqrt(1 - known[["pow2", "pow3", "pow4"]].to_numpy()))
    assert terms()[:, 4] == pytest.approx(laws.var(axis=1)) and laws.var(axis=1).max() > 1e-5


def test_a_loss_of_few_nats_in_all_is_a_noisy_one():
    frame = observations(n_tasks=2)
    known = power_law_forecasts(frame, Metric.LOG_LOSS)
    loss = anchor(frame, known, Metric.LOG_LOSS)
    assert terms(Metric.LOG_LOSS)[:, 4] == pytest.approx(
        0.1 / (frame["n_train"].to_numpy() * np.maximum(loss, 0.005))
    )
    nothing = noise_terms(frame, known, np.zeros(len(frame)), Metric.LOG_LOSS)
    assert np.isfinite(nothing).all() and (nothing[:, 4] == 0.1 / (frame["n_train"] * 0.005)).all()


def test_the_noise_of_a_rate_on_its_scale_is_that_of_n_rows_whatever_the_rate():
    frame = observations(n_tasks=2)
    assert terms()[:, 0] == pytest.approx(1 / (4 * frame["n_train"].to_numpy()))
    rng = np.random.default_rng(0)
    for rate in (0.3, 0.5, 0.9):  # the variance of arcsin of the root of a share of 400 rows
        drawn = np.arcsin(np.sqrt(rng.binomial(400, rate, 20_000) / 400))
        assert drawn.var() == pytest.approx(1 / 1600, rel=0.05)


def test_few_rows_of_each_class_mean_more_noise():
    per_class = 40 / observations(n_tasks=2)["n_train"].to_numpy()
    assert terms(n_classes=40.0)[:, 3] == pytest.approx(0.1 * 0.25 * per_class)


def test_estimates_that_differ_beyond_the_noise_of_the_evaluation_rows_mean_more_noise():
    told = {"ridge_loo_accuracy": 0.8, "eval_doc_accuracy": 0.8, "eval_atc_accuracy": 0.8}
    assert terms(**told)[:, 5] == pytest.approx(0.0, abs=1e-15)
    apart = terms(**{**told, "eval_doc_accuracy": 0.6})[:, 5]
    angles = np.arcsin(np.sqrt([0.8, 0.6, 0.8]))
    n_eval = 2.0 ** observations(n_tasks=2)["log2_n_eval"].to_numpy()
    assert (
        apart == pytest.approx(np.maximum(angles.var() - 0.25 / n_eval, 0.0))
        and apart.max() > 0.001
    )
    for few in (
        {"log2_n_eval": 0.0},
        {"log2_n_eval": 3.0},
        {"log2_n_eval": np.nan},
    ):  # 1 row, 8 rows, no evaluation sample
        assert (terms(**{**told, "eval_doc_accuracy": 0.6}, **few)[:, 5] == 0.0).all()


def test_the_linear_stage_is_told_the_accuracy_of_rows_that_are_not_single():
    frame = observations(n_tasks=2).assign(share_single_rows=0.2)
    found = linear_inputs(frame, power_law_forecasts(frame, Metric.ACCURACY), Metric.ACCURACY)
    now = frame["ridge_loo_accuracy"].to_numpy()
    assert found["not_single_gap"].to_numpy() == pytest.approx(now / 0.8 - now)
    assert found["error_by_single"].to_numpy() == pytest.approx(0.2 * (1 - now))


@pytest.mark.parametrize("metric", [Metric.ACCURACY, Metric.LOG_LOSS])
def test_trees_get_the_anchor_and_the_distances_from_it_in_the_metrics_own_units(metric):
    frame = observations(n_tasks=2)
    known, inputs = power_law_forecasts(frame, metric), FitInputs.of(frame, metric).inputs
    anchored = anchor(frame, known, metric)
    assert inputs["anchor"].to_numpy() == pytest.approx(anchored, rel=1e-6)
    for law in FORECASTS:
        assert inputs[f"{law}_gap"].to_numpy() == pytest.approx(
            metric.from_loss(known[law].to_numpy()) - anchored, abs=1e-6
        )
