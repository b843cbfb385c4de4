"""What is lost over time: measured on later rows, and taken off the forecasts."""

import numpy as np
import pytest

from meta.answering.over_time import TimeGap, after_the_past, time_gap, time_notes
from meta.metric import Metric

N_ROWS = 400


def drifting(drift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows whose class boundary turns by `drift` (radians) from the first row to the last."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.random(N_ROWS))
    y = rng.integers(0, 2, N_ROWS)
    angles = drift * times
    signal = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (2.0 * y - 1)[:, None] * 1.5
    X = np.concatenate([signal, np.zeros((N_ROWS, 6))], axis=1)
    order = rng.permutation(N_ROWS)
    return (X + rng.standard_normal(X.shape))[order], y[order], times[order]


def test_a_drift_is_seen_and_a_steady_world_is_not():
    X, y, times = drifting(3.0)
    gap = time_gap(X, y, 2, times, Metric.ACCURACY)
    assert gap is not None and gap.after_past < gap.after_any - 0.05 and gap.loss > 0.05
    X, y, times = drifting(0.0)
    steady = time_gap(X, y, 2, times, Metric.ACCURACY)
    assert steady is not None and steady.loss < 0.05
    assert abs(steady.after_past - steady.after_any) < 0.04


@pytest.mark.parametrize("metric", list(Metric))
def test_forecasts_get_worse_and_wider(metric: Metric):
    gap = time_gap(*drifting(3.0)[:2], 2, drifting(3.0)[2], metric)
    assert gap is not None and gap.loss > 0
    curve = np.array([[0.6, 0.65, 0.7, 0.75, 0.8], [0.7, 0.75, 0.8, 0.82, 0.84]])
    later = after_the_past(curve, gap, metric)
    assert (metric.sign * (curve - later)[:, :3] > 0).all()
    assert (np.diff(later, axis=1) > 0).all()
    told = time_notes(gap, metric)
    assert len(told) == 1 and "forecasts are corrected" in told[0] and "\n" not in told[0]


def test_without_a_loss_the_curve_stays_as_it_is():
    curve = np.array([[0.6, 0.65, 0.7, 0.75, 0.8]])
    gap = TimeGap(0.8, 0.79, 100, 0.0, 0.0)
    assert after_the_past(curve, gap, Metric.ACCURACY) is curve
    assert "no loss that is more than chance" in time_notes(gap, Metric.ACCURACY)[0]


def test_few_or_two_times():
    X, y, times = drifting(0.0)
    assert time_gap(X[:20], y[:20], 2, times[:20], Metric.ACCURACY) is None
    assert "too few later rows" in time_notes(None, Metric.ACCURACY)[0]
    halves = (times > 0.5).astype(np.float64)
    gap = time_gap(X, y, 2, halves, Metric.ACCURACY)
    assert gap is None or gap.n_rows == int(halves.sum())


def test_a_group_never_stands_on_both_sides():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.standard_normal((80, 64)), 5, axis=0)
    y = np.repeat(np.arange(80) % 2, 5)
    times = np.tile(np.arange(5.0), 80) + rng.random(400) * 0.01
    groups = np.repeat(np.arange(80), 5)
    free = time_gap(X, y, 2, times, Metric.ACCURACY)
    assert free is not None and free.after_past > 0.9
    apart = time_gap(X, y, 2, times, Metric.ACCURACY, groups=groups)
    assert apart is not None and apart.after_past < 0.65 and apart.after_any < 0.65


def test_later_rows_of_one_class_have_no_auroc_and_no_loss_over_time():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((120, 6))
    labels = np.r_[np.arange(60) % 2, np.zeros(60, dtype=np.int64)]
    assert time_gap(X, labels, 2, np.arange(120), Metric.AUROC, seed=0) is None
