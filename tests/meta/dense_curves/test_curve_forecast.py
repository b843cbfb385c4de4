import numpy as np
import pandas as pd
import pytest

from meta.dense_curves.forecast import CurveForecaster, ForecastSettings
from meta.metamodel.conformal import interval
from meta.metric import MEDIAN

QUICK = ForecastSettings(n_rounds=60, eta=0.1, max_depth=4, spread_rounds=40)


def made_up(n_groups=60, n_rows=40, seed=0, group_sd=0.02):
    """Rows of several groups. The error of the anchor is the sum of a function of the inputs, a
    constant of the group, and noise whose size depends on one input."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), n_rows)
    x, noise = rng.uniform(-1, 1, len(groups)), rng.uniform(0.005, 0.05, len(groups))
    anchor = rng.uniform(0.3, 0.6, len(groups))
    shift = group_sd * rng.standard_normal(n_groups)[groups]
    truth = np.clip(
        anchor + 0.1 * np.sign(x) + shift + noise * rng.standard_normal(len(groups)), 0, 1
    )
    return pd.DataFrame({"x": x, "noise": noise}), anchor, truth, groups


def test_held_out_groups_are_foretold_and_covered():
    inputs, anchor, truth, groups = made_up()
    model = CurveForecaster.fit(inputs, anchor, truth, groups, QUICK)
    new_inputs, new_anchor, new_truth, new_groups = made_up(seed=1)
    quantiles = model.predict(new_inputs, new_anchor)
    assert (
        np.abs(quantiles[:, MEDIAN] - new_truth).mean()
        < 0.4 * np.abs(new_anchor - new_truth).mean()
    )
    low, high = interval(quantiles, 0.9)
    coverage = pd.Series((new_truth >= low) & (new_truth <= high)).groupby(new_groups).mean().mean()
    assert 0.86 <= coverage <= 0.96
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert quantiles.min() >= 0
    assert quantiles.max() <= 1


def test_intervals_are_wider_where_the_noise_is():
    inputs, anchor, truth, groups = made_up()
    quantiles = CurveForecaster.fit(inputs, anchor, truth, groups, QUICK).predict(inputs, anchor)
    width = quantiles[:, -1] - quantiles[:, 0]
    loud = inputs["noise"] > 0.04
    quiet = inputs["noise"] < 0.015
    assert width[loud].mean() > 1.3 * width[quiet].mean()


def test_the_same_seed_gives_the_same_forecast_and_columns_go_by_name():
    inputs, anchor, truth, groups = made_up(n_groups=20)
    first, second = (CurveForecaster.fit(inputs, anchor, truth, groups, QUICK) for _ in range(2))
    np.testing.assert_array_equal(
        first.predict(inputs, anchor), second.predict(inputs[["noise", "x"]], anchor)
    )
    with pytest.raises(KeyError):
        first.predict(inputs[["x"]], anchor)


def test_guarantees_are_stated_and_below_the_nominal():
    model = CurveForecaster.fit(*made_up(), QUICK)
    assert model.guaranteed[MEDIAN] == 0.5
    assert 0.8 < model.guaranteed[-1] <= 60 / 61


def test_too_few_groups_are_refused():
    inputs, anchor, truth, groups = made_up(n_groups=3)
    with pytest.raises(ValueError, match="groups are needed"):
        CurveForecaster.fit(inputs, anchor, truth, groups, QUICK)
