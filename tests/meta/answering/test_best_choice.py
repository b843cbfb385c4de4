import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from meta.answering.best_choice import SWITCH_GAIN, best_choice
from meta.metric import MEDIAN, Metric


def curve(start: float, end: float) -> np.ndarray:
    medians = np.linspace(start, end, 5)
    return medians[:, None] + np.array([-0.1, -0.03, 0.0, 0.03, 0.1])


def test_curves_that_cross_change_the_choice_and_the_curve_is_that_of_the_better_one():
    choice = best_choice({7: curve(0.8, 0.84), 2: curve(0.7, 0.9)}, [7, 2], Metric.ACCURACY)
    assert choice.positions == (7, 7, 7, 2, 2)
    np.testing.assert_allclose(choice.curve[:, MEDIAN], [0.8, 0.81, 0.82, 0.85, 0.9])
    sizes = np.array([100, 200, 400, 800, 1600])
    assert [choice.at(sizes, n) for n in (100, 401, 1600, 10_000)] == [7, 2, 2, 2]


def test_the_least_loss_is_the_best_choice():
    choice = best_choice({0: curve(0.8, 0.6), 1: curve(0.7, 0.5)}, [0, 1], Metric.LOG_LOSS)
    assert set(choice.positions) == {1}


def test_a_tie_keeps_the_space_that_was_chosen():
    flat = curve(0.8, 0.8)
    assert best_choice({3: flat, 4: flat}, [4, 3], Metric.ACCURACY).positions == (4,) * 5


def test_no_space_is_refused():
    with pytest.raises(ValueError, match="no space"):
        best_choice({}, [], Metric.ACCURACY)


@given(arrays(float, (3, 4, 5), elements=st.floats(0, 1)), st.sampled_from(Metric))
def test_no_quantile_gets_worse_and_the_median_is_nearly_the_best_one(values, metric):
    order = -1 if not metric.is_rate else 1
    curves = np.sort(np.sort(values, axis=1)[:, ::order], axis=2)
    found = best_choice(dict(enumerate(curves)), range(3), metric).curve
    assert (metric.sign * np.diff(found, axis=0) >= 0).all()
    best = metric.sign * (metric.sign * curves[:, :, MEDIAN]).max(axis=0)
    assert (np.abs(found[:, MEDIAN] - best) <= SWITCH_GAIN + 1e-12).all()
    assert found[0, MEDIAN] == best[0]
    assert (np.diff(found, axis=1) >= 0).all()
