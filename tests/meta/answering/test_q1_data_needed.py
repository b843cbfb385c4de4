import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta.answering.forecasts import horizons
from meta.answering.q1_data_needed import (
    default_target,
    encoder_need,
    labelling_plan,
    required_n,
)
from meta.metamodel.quantile_curves import n_if_reached
from meta.metric import Metric
from probes.encoders.base import View

SIZES = horizons(100)
MEAN = View(6, "mean")


def power_curve(spread: float = 0.04) -> np.ndarray:
    """(9, 5) quantiles. The median is 1 − 2 n^-0.5: 0.8 at n = 100, 0.9 at 400, 0.95 at 1600."""
    median = 1 - 2 * SIZES**-0.5
    return median[:, None] + spread * np.array([-1.0, -0.4, 0.0, 0.4, 1.0])


def test_horizons_hold_the_powers_of_two():
    assert SIZES.tolist() == [100, 141, 200, 283, 400, 566, 800, 1131, 1600]
    assert {10, 20, 40, 80, 160} <= set(horizons(10).tolist())


def test_required_n_is_exact_on_the_grid_and_interpolates_in_log_n():
    assert required_n(SIZES, power_curve()[:, 2], 0.9, Metric.ACCURACY) == 400
    assert required_n(np.array([100, 400]), np.array([0.8, 0.9]), 0.85, Metric.ACCURACY) == 200
    assert required_n(SIZES, power_curve()[:, 2], 0.5, Metric.ACCURACY) == 100
    assert required_n(SIZES, power_curve()[:, 2], 0.96, Metric.ACCURACY) is None


def test_required_n_of_a_loss_that_falls():
    assert required_n(np.array([100, 400]), np.array([0.8, 0.4]), 0.6, Metric.LOG_LOSS) == 200
    assert required_n(np.array([100, 400]), np.array([0.8, 0.4]), 0.3, Metric.LOG_LOSS) is None


@settings(max_examples=30, deadline=None)
@given(
    st.floats(0.01, 0.2), st.floats(0.5, 0.99), st.sampled_from([Metric.ACCURACY, Metric.LOG_LOSS])
)
def test_the_interval_of_the_required_n_is_ordered_and_agrees_with_its_status(
    spread: float, target: float, metric: str
):
    curve = power_curve(spread) if metric == "accuracy" else 1 - power_curve(spread)[:, ::-1]
    target = target if metric == "accuracy" else 1 - target
    need = encoder_need("e", MEAN, SIZES, curve, target=target, metric=metric)
    known = [n for n in (need.q05, need.q50, need.q95) if n is not None]
    assert known == sorted(known)
    assert all(a is not None or b is None for a, b in ((need.q05, need.q50), (need.q50, need.q95)))
    assert need.reachable == (need.q50 is not None) == (need.status in ("reached", "reachable"))
    assert 0 <= need.p_reached_now <= need.p_reachable <= 1
    assert (need.p_reachable >= 0.5 - 1e-6) == need.reachable


def test_statuses():
    def status(target: float) -> str:
        return encoder_need(
            "e", MEAN, SIZES, power_curve(), target=target, metric=Metric.ACCURACY
        ).status

    assert [status(t) for t in (0.79, 0.9, 0.97, 0.999)] == [
        "reached",
        "reachable",
        "uncertain",
        "not_reachable",
    ]


def test_the_size_if_reached_is_where_half_of_the_gain_in_chance_is_made():
    sizes = np.array([100, 200, 400, 800])
    assert n_if_reached(sizes, np.array([0.0, 0.1, 0.2, 0.4]))[1] == pytest.approx(400)
    assert n_if_reached(sizes, np.array([0.2, 0.4, 0.8, 1.0]))[1] == pytest.approx(200 * 2**0.5)
    assert n_if_reached(sizes, np.array([0.5, 0.5, 0.5, 0.51])) is None


def test_the_size_if_reached_is_the_median_over_curves_that_get_there():
    rng = np.random.default_rng(0)
    level, target = rng.normal(0, 0.03, 20_000), 0.955
    median = power_curve()[:, 2]
    curves = np.clip(median + level[:, None], 0, 1)
    first = np.array(
        [SIZES[curve >= target][0] if (curve >= target).any() else 0 for curve in curves]
    )
    later = first[first > SIZES[0]]
    found = n_if_reached(SIZES, (curves >= target).mean(axis=0))[1]
    assert np.median(later) / 2**0.5 <= found <= np.median(later), (
        "sizes are half octaves, the first that is there is later"
    )


def test_an_uncertain_target_has_a_size_all_the_same():
    need = encoder_need("e", MEAN, SIZES, power_curve(), target=0.97, metric=Metric.ACCURACY)
    assert need.q50 is None and 400 < need.n_if_reached <= 1600
    assert need.n_if_reached_q05 < need.n_if_reached < need.n_if_reached_q95 <= 1600


def test_a_likely_target_has_a_size_without_an_open_end():
    for target in np.arange(0.5, 0.925, 0.01):
        need = encoder_need("e", MEAN, SIZES, power_curve(), target=target, metric=Metric.ACCURACY)
        assert need.p_reachable > 0.8
        at = (need.n_if_reached_q05, need.n_if_reached, need.n_if_reached_q95)
        assert 100 <= at[0] <= at[1] <= at[2] <= 1600
    reached = encoder_need("e", MEAN, SIZES, power_curve(), target=0.3, metric=Metric.ACCURACY)
    assert reached.status == "reached" and reached.n_if_reached == 100


def test_the_default_target_is_a_point_below_the_far_end():
    assert default_target(power_curve(), Metric.ACCURACY, 0.5) == pytest.approx(0.94)
    assert default_target(1 - power_curve()[:, ::-1], Metric.LOG_LOSS, 0.69) == pytest.approx(0.06)


def test_the_default_target_is_above_what_a_constant_answer_has():
    assert default_target(power_curve(), Metric.ACCURACY, 0.97) == pytest.approx(0.98)
    assert default_target(power_curve(), Metric.ACCURACY, 0.3) == pytest.approx(0.94)
    assert default_target(power_curve(), Metric.ACCURACY, 0.998) == 1.0
    assert default_target(power_curve(), Metric.MACRO_F1, 0.97) == pytest.approx(0.98)
    assert default_target(1 - power_curve()[:, ::-1], Metric.LOG_LOSS, 0.03) == pytest.approx(0.02)


def test_the_plan_ends_at_the_requirement_in_three_to_five_growing_rounds():
    need = encoder_need("e", MEAN, SIZES, power_curve(), target=0.9, metric=Metric.ACCURACY)
    plan = labelling_plan(need, SIZES, power_curve(), target=0.9, metric=Metric.ACCURACY)
    assert 3 <= len(plan) <= 5
    assert plan[-1].n_train == need.q50
    assert 100 + sum(each.label for each in plan) == need.q50
    assert all(each.q05 <= each.q50 <= each.q95 for each in plan)
    assert plan[-1].q50 == pytest.approx(0.9, abs=1e-3)
    reached = encoder_need("e", MEAN, SIZES, power_curve(), target=0.7, metric=Metric.ACCURACY)
    assert labelling_plan(reached, SIZES, power_curve(), target=0.7, metric=Metric.ACCURACY) == []
    chances = [each.p_reached for each in plan]
    assert chances == sorted(chances) and chances[-1] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(("more", "n_rounds"), [(1, 1), (13, 1), (45, 2), (61, 3)])
def test_few_labels_are_not_dealt_into_rounds_of_a_handful(more: int, n_rounds: int):
    need = encoder_need(
        "e", MEAN, SIZES, power_curve(), target=0.9, metric=Metric.ACCURACY
    ).model_copy(update={"q50": 100 + more})
    plan = labelling_plan(need, SIZES, power_curve(), target=0.9, metric=Metric.ACCURACY)
    assert (
        len(plan) == n_rounds
        and plan[-1].n_train == 100 + more
        and sum(each.label for each in plan) == more
    )


def test_no_plan_for_what_no_n_would_reach_and_one_to_the_far_end_for_a_slim_chance():
    out_of_reach = encoder_need(
        "e", MEAN, SIZES, power_curve(), target=0.999, metric=Metric.ACCURACY
    )
    assert (
        labelling_plan(out_of_reach, SIZES, power_curve(), target=0.999, metric=Metric.ACCURACY)
        == []
    )
    slim = encoder_need("e", MEAN, SIZES, power_curve(), target=0.97, metric=Metric.ACCURACY)
    plan = labelling_plan(slim, SIZES, power_curve(), target=0.97, metric=Metric.ACCURACY)
    assert plan[-1].n_train == 1600 and 0 < plan[-1].p_reached < 0.5
