import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from meta.groups import group_weights, weighted_quantile
from meta.metamodel.conformal import (
    calibration_factors,
    effective_groups,
    guaranteed_level,
    interval,
    small_sample_factor,
    stretch,
)
from meta.metric import MEDIAN, QUANTILES


def test_groups_weigh_alike_whatever_their_size():
    groups = np.array(["a"] * 9 + ["b"])
    weights = group_weights(groups)
    assert weights.sum() == pytest.approx(1.0)
    assert weights[groups == "a"].sum() == pytest.approx(0.5)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.floats(0.01, 1.0))
def test_weighted_quantile_is_the_inverse_of_the_distribution(values, level):
    values = np.array(values)
    found = weighted_quantile(values, np.ones(len(values)), level)
    assert found == pytest.approx(np.quantile(values, level, method="inverted_cdf"))
    assert np.mean(values <= found) >= level - 1e-9


def test_small_sample_factor_falls_to_one():
    factors = [small_sample_factor(n, 0.95) for n in (3, 9, 30, 10**6)]
    assert factors == sorted(factors, reverse=True)
    assert factors[1] == pytest.approx(
        1.8595 / 1.6449 * np.sqrt(10 / 9), abs=1e-3
    )  # Student with 8 degrees of freedom
    assert factors[-1] == pytest.approx(1.0, abs=1e-5)
    assert small_sample_factor(9, 0.05) == small_sample_factor(9, 0.95)


def test_effective_groups_is_g_where_rows_repeat_and_many_where_groups_do_not_matter():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(10), 50)
    assert effective_groups(rng.normal(size=10)[groups], groups) == pytest.approx(10.0)
    assert effective_groups(rng.normal(size=500), groups) > 100
    with pytest.raises(ValueError, match="2 groups"):
        effective_groups(np.ones(5), np.zeros(5))


def test_nothing_guarantees_more_than_g_over_g_plus_one():
    scores, groups = np.arange(9.0), np.arange(9)
    assert guaranteed_level(scores, groups, np.inf) == pytest.approx(0.9)
    assert guaranteed_level(scores, groups, 3.5) == pytest.approx(0.9 * 4 / 9)


def gaussian_tasks(n_tasks, spread_of_task, seed, n_rows=40):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_tasks), n_rows)
    error = (rng.normal(size=n_tasks) * spread_of_task)[groups] + rng.normal(size=len(groups)) * (
        1 - spread_of_task**2
    ) ** 0.5
    return error, groups


@pytest.mark.parametrize("spread_of_task", [0.0, 0.5, 0.9])
def test_too_narrow_quantiles_are_stretched_to_their_level_on_new_tasks(spread_of_task):
    """The quantiles of twelve tasks are half as wide as they should be. After calibration,
    intervals of 90 % cover about 90 % of new tasks."""
    quantiles_of_unit = np.array(norm.ppf(QUANTILES)) * 0.5
    covered = []
    for seed in range(60):
        error, groups = gaussian_tasks(12, spread_of_task, seed)
        factors, guaranteed = calibration_factors(
            np.tile(quantiles_of_unit, (len(error), 1)), error, groups
        )
        assert np.all(guaranteed <= 12 / 13 + 1e-9)
        low, high = quantiles_of_unit[0] * factors[0], quantiles_of_unit[-1] * factors[-1]
        new = gaussian_tasks(60, spread_of_task, seed + 1000)[0]
        covered.append(np.mean((new >= low) & (new <= high)))
    assert 0.87 <= np.mean(covered) <= 0.95


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.3, 5.0), min_size=5, max_size=5))
def test_stretching_keeps_the_median_and_the_order(factors):
    factors = np.array(factors)
    factors[MEDIAN] = 1.0
    quantiles = np.array([[0.1, 0.3, 0.4, 0.45, 0.9]])
    stretched = stretch(quantiles, factors)
    assert np.all(np.diff(stretched, axis=1) >= 0)
    assert 0.4 in stretched


def test_intervals_between_levels_are_those_of_a_normal():
    quantiles = norm.ppf(np.array([QUANTILES])) * 0.1 + 0.5
    for level in (0.5, 0.8, 0.9):
        low, high = interval(quantiles, level)
        assert low[0] == pytest.approx(0.5 - 0.1 * norm.ppf(0.5 + level / 2))
        assert high[0] == pytest.approx(0.5 + 0.1 * norm.ppf(0.5 + level / 2))
    with pytest.raises(ValueError, match=r"0\.95"):
        interval(quantiles, 0.95)


def test_factors_near_a_place_are_those_of_the_rows_there():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 40)
    is_hard = rng.random(1200) < 0.5
    error = rng.standard_normal(1200) * np.where(is_hard, 3.0, 1.0)
    quantiles = np.tile(norm.ppf(QUANTILES), (1200, 1))
    hard, _ = calibration_factors(quantiles, error, groups, is_hard * 1.0)
    easy, _ = calibration_factors(quantiles, error, groups, ~is_hard * 1.0)
    assert hard[0] / easy[0] == pytest.approx(3.0, rel=0.2) and hard[-1] / easy[
        -1
    ] == pytest.approx(3.0, rel=0.2)
    alone, guaranteed = calibration_factors(quantiles[is_hard], error[is_hard], groups[is_hard])
    np.testing.assert_allclose(hard, alone)
    assert np.all(guaranteed <= 30 / 31 + 1e-9)
