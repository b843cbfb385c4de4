"""What the metamodel takes in: the noise that a forecast cannot avoid, and what the linear stage is told of single rows."""

import numpy as np
import pytest
from synthetic_observations import observations

from meta.curves import METRICS
from meta.design import N_NOISE_TERMS, anchor, noise_terms, stack_inputs
from meta.observations import forecasts


def terms(metric="accuracy", **changes):
    frame = observations(n_tasks=2).assign(**changes)
    known = forecasts(frame, metric)
    return noise_terms(frame, known, anchor(frame, known, metric), metric)


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_noise_terms_are_finite_variances(metric):
    assert metric in METRICS
    found = terms(metric)
    assert found.shape == (len(observations(n_tasks=2)), N_NOISE_TERMS)
    assert np.isfinite(found).all() and (found >= 0).all() and (found.sum(axis=1) > 0).all()


def test_the_noise_of_a_rate_on_its_scale_is_that_of_n_rows_whatever_the_rate():
    frame = observations(n_tasks=2)
    assert terms()[:, 0] == pytest.approx(1 / (4 * frame["n_train"].to_numpy()))
    rng = np.random.default_rng(0)
    for rate in (0.3, 0.5, 0.9):  # the variance of arcsin of the root of a share of 400 rows
        drawn = np.arcsin(np.sqrt(rng.binomial(400, rate, 20_000) / 400))
        assert drawn.var() == pytest.approx(1 / 1600, rel=0.05)


def test_more_classes_and_estimates_that_differ_mean_more_noise():
    few, many = terms(n_classes=4.0), terms(n_classes=40.0)
    assert many[:, 3] == pytest.approx(10 * few[:, 3])
    agree = {"ridge_loo_accuracy": 0.8, "eval_doc_accuracy": 0.8, "eval_atc_accuracy": 0.8}
    assert terms(**agree)[:, 5] == pytest.approx(0.0, abs=1e-15)
    assert (terms(**{**agree, "eval_doc_accuracy": 0.6})[:, 5] > 0.001).all()
    assert (terms(**{**agree, "eval_doc_accuracy": np.nan})[:, 5] == 0.0).all(), "nothing told is no doubt told"


def test_the_linear_stage_is_told_the_accuracy_of_rows_that_are_not_single():
    frame = observations(n_tasks=2).assign(share_single_rows=0.2)
    found = stack_inputs(frame, forecasts(frame, "accuracy"), "accuracy")
    now = frame["ridge_loo_accuracy"].to_numpy()
    assert found["not_single_gap"].to_numpy() == pytest.approx(now / 0.8 - now)
    assert found["error_by_single"].to_numpy() == pytest.approx(0.2 * (1 - now))
