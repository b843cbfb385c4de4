"""Quantiles along the horizon and the scale that they are learnt on."""

import numpy as np
import pytest

from meta.metamodel.quantile_curves import (
    LEAST_LOSS,
    MOST_LOSS,
    bounded,
    monotone,
    off_scale,
    on_scale,
    sorted_quantiles,
)
from meta.metric import METRICS, RATES


@pytest.mark.parametrize("metric", METRICS)
def test_the_scale_is_undone(metric):
    values = np.linspace(LEAST_LOSS, 1.0, 50)
    assert off_scale(on_scale(values, metric), metric) == pytest.approx(values)
    assert (np.diff(on_scale(values, metric)) > 0).all()


@pytest.mark.parametrize("metric", RATES)
def test_what_is_added_on_the_scale_leaves_rates_within_their_range(metric):
    wild = bounded(
        on_scale(np.array([0.02, 0.5, 0.99]), metric)[:, None] + np.linspace(-3, 3, 5), metric
    )
    values = off_scale(wild, metric)
    assert values.min() == 0.0 and values.max() == pytest.approx(1.0)
    assert (np.diff(values, axis=1) >= 0).all(), "order is kept"


def test_no_forecast_of_a_loss_is_beyond_what_a_probability_of_nothing_costs():
    wild = bounded(
        on_scale(np.array([0.02, 1.0]), "log_loss")[:, None] + np.array([-9.0, 0.0, 9.0]),
        "log_loss",
    )
    values = off_scale(wild, "log_loss")
    assert values.max() == pytest.approx(MOST_LOSS) and (values > 0).all()


def test_a_small_step_near_the_ceiling_does_not_reach_it():
    near = off_scale(
        on_scale(np.array([0.98]), "accuracy") + 0.05, "accuracy"
    )  # 0.05 is the noise of 100 rows
    assert 0.98 < near[0] < 0.995


def test_quantiles_are_sorted_and_curves_get_no_worse():
    rng = np.random.default_rng(0)
    anchored, scale = on_scale(rng.uniform(0.4, 0.9, 12), "accuracy"), np.full(12, 0.1)
    quantiles = sorted_quantiles(anchored, scale, rng.standard_normal((12, 5)), "accuracy")
    assert (np.diff(quantiles, axis=1) >= 0).all()
    sample, octaves = np.repeat(np.arange(3), 4), np.tile(np.arange(4.0), 3)
    for metric, sign in (("accuracy", 1), ("log_loss", -1)):
        curves = monotone(quantiles, sample, octaves, metric)
        assert (sign * np.diff(curves.reshape(3, 4, 5), axis=1) >= -1e-12).all()
        assert (np.diff(curves, axis=1) >= -1e-12).all()
