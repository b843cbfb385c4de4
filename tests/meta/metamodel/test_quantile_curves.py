"""Quantiles over horizons, and the scale on which they are learnt."""

import numpy as np
import pytest

from meta.metamodel.quantile_curves import MAX_LOSS, bounded, monotone, sorted_quantiles
from meta.metric import MIN_LOSS, Metric


@pytest.mark.parametrize("metric", Metric)
def test_the_scale_is_undone(metric):
    values = np.linspace(MIN_LOSS, 1.0, 50)
    assert metric.from_scale(metric.to_scale(values)) == pytest.approx(values)
    assert (np.diff(metric.to_scale(values)) > 0).all()


@pytest.mark.parametrize("metric", [m for m in Metric if m.is_rate])
def test_what_is_added_on_the_scale_leaves_rates_within_their_range(metric):
    wild = bounded(
        metric.to_scale(np.array([0.02, 0.5, 0.99]))[:, None] + np.linspace(-3, 3, 5), metric
    )
    values = metric.from_scale(wild)
    assert values.min() == 0.0 and values.max() == pytest.approx(1.0)
    assert (np.diff(values, axis=1) >= 0).all(), "order is kept"


def test_no_forecast_of_a_loss_is_beyond_what_a_probability_of_nothing_costs():
    wild = bounded(
        Metric.LOG_LOSS.to_scale(np.array([0.02, 1.0]))[:, None] + np.array([-9.0, 0.0, 9.0]),
        Metric.LOG_LOSS,
    )
    values = Metric.LOG_LOSS.from_scale(wild)
    assert values.max() == pytest.approx(MAX_LOSS) and (values > 0).all()


def test_a_small_step_near_the_ceiling_does_not_reach_it():
    near = Metric.ACCURACY.from_scale(
        Metric.ACCURACY.to_scale(np.array([0.98])) + 0.05
    )  # 0.05 is the noise of 100 rows
    assert 0.98 < near[0] < 0.995


def test_quantiles_are_sorted_and_curves_get_no_worse():
    rng = np.random.default_rng(0)
    anchored, scale = Metric.ACCURACY.to_scale(rng.uniform(0.4, 0.9, 12)), np.full(12, 0.1)
    quantiles = sorted_quantiles(anchored, scale, rng.standard_normal((12, 5)), Metric.ACCURACY)
    assert (np.diff(quantiles, axis=1) >= 0).all()
    sample, octaves = np.repeat(np.arange(3), 4), np.tile(np.arange(4.0), 3)
    for metric, sign in ((Metric.ACCURACY, 1), (Metric.LOG_LOSS, -1)):
        curves = monotone(quantiles, sample, octaves, metric)
        assert (sign * np.diff(curves.reshape(3, 4, 5), axis=1) >= -1e-12).all()
        assert (np.diff(curves, axis=1) >= -1e-12).all()
