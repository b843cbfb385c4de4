import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta.metamodel.power_laws import FORECASTS, forecast, power_law
from meta.metric import Metric

SIZES = np.array([[32.0, 64.0, 128.0, 256.0]])


def law(sizes, a, b, c):
    return a + b * sizes**-c


@pytest.mark.parametrize(("a", "b", "c"), [(0.1, 2.0, 0.6), (0.3, 5.0, 1.0), (0.0, 1.0, 0.3)])
def test_pow3_recovers_its_own_law_far_ahead(a, b, c):
    predicted = forecast(SIZES, law(SIZES, a, b, c), np.array([4096.0]))
    assert predicted["pow3"][0] == pytest.approx(law(4096.0, a, b, c), abs=0.015)
    assert predicted["octaves"][0] == pytest.approx(law(4096.0, a, b, c), abs=0.02)


def test_pow2_recovers_a_law_without_asymptote():
    predicted = forecast(SIZES, law(SIZES, 0.0, 1.5, 0.4), np.array([1024.0]))
    assert predicted["pow2"][0] == pytest.approx(law(1024.0, 0.0, 1.5, 0.4), abs=0.005)


def test_pow4_fits_a_shifted_law_better_than_pow3():
    losses = 0.1 + 40.0 * (SIZES + 64.0) ** -1.2
    truth = 0.1 + 40.0 * (2048.0 + 64.0) ** -1.2
    predicted = forecast(SIZES, losses, np.array([2048.0]))
    assert abs(predicted["pow4"][0] - truth) < 0.01
    assert abs(predicted["pow4"][0] - truth) <= abs(predicted["pow3"][0] - truth)


def test_last_and_loo_are_carried_forward_and_missing_points_are_skipped():
    losses = np.array([[np.nan, 0.5, 0.4, 0.3], [0.6, np.nan, np.nan, 0.2]])
    predicted = forecast(np.repeat(SIZES, 2, axis=0), losses, np.array([512.0, 512.0]))
    assert predicted["loo"].tolist() == [0.3, 0.2]
    assert predicted["last"].tolist() == [0.4, 0.6]


def test_a_single_point_is_carried_by_every_law():
    losses = np.array([[np.nan, np.nan, np.nan, 0.25]])
    predicted = forecast(SIZES, losses, np.array([1024.0]))
    assert all(predicted[name][0] == pytest.approx(0.25) for name in FORECASTS)


def test_without_the_point_at_n_there_is_no_forecast():
    with pytest.raises(ValueError, match="last point"):
        forecast(SIZES, np.array([[0.5, 0.4, 0.3, np.nan]]), np.array([512.0]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=4, max_size=4), st.floats(1.0, 64.0))
def test_laws_never_rise_never_diverge_and_never_go_below_zero(losses, ratio):
    near, far = 256.0 * ratio, 512.0 * ratio
    curve = np.array([losses, losses])
    predicted = forecast(np.repeat(SIZES, 2, axis=0), curve, np.array([near, far]))
    for name in FORECASTS:
        at_near, at_far = predicted[name]
        assert 0.0 <= at_far <= at_near + 1e-9
        assert at_near <= 4.0  # a fit cannot leave the range of what it saw by much


def test_chunks_give_what_one_call_gives():
    rng = np.random.default_rng(0)
    losses = np.sort(rng.random((5000, 4)), axis=1)[:, ::-1]
    sizes = np.repeat(SIZES, 5000, axis=0)
    known = np.isfinite(losses)
    horizons = np.full(5000, 1024.0)
    whole = power_law(sizes, losses, known, horizons)
    assert whole[4990:] == pytest.approx(
        power_law(sizes[4990:], losses[4990:], known[4990:], horizons[4990:])
    )


def test_loss_and_metric_are_each_others_inverse():
    values = np.array([0.0, 0.4, 1.0])
    for metric in (Metric.ACCURACY, Metric.LOG_LOSS):
        assert metric.from_loss(metric.to_loss(values)) == pytest.approx(values)
    assert Metric.ACCURACY.from_loss(np.array([1.2])) == 0.0
