import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meta.dense_curves.features import (
    ANCHOR,
    LAW_FAMILIES,
    POWER,
    curve_features,
    fit_law,
    tree_columns,
)
from meta.metamodel.power_laws import power_law

SIZES = np.round(16 * 2 ** np.arange(0, 4.01, 0.25))
"""Sizes from 16 to 256, four in each octave."""
RATIOS = (4, 16)


def power(sizes, level=0.1, slope=2.0, exponent=0.6):
    return level + slope * np.asarray(sizes, dtype=np.float64) ** -exponent


def noisy(n_curves=200, sd=0.01, seed=0):
    """Curves of all shapes with noise, and their true losses at RATIOS."""
    rng = np.random.default_rng(seed)
    level, height = rng.uniform(0.0, 0.3, (n_curves, 1)), rng.uniform(0.2, 0.6, (n_curves, 1))
    exponent, middle = rng.uniform(0.5, 1.5, (n_curves, 1)), 2 ** rng.uniform(3, 8, (n_curves, 1))
    law = lambda sizes: level + height / (1 + (np.asarray(sizes) / middle) ** exponent)  # noqa: E731
    seen = np.maximum(law(SIZES) + sd * rng.standard_normal((n_curves, len(SIZES))), 0.0)
    return seen, law(SIZES[-1] * np.array(RATIOS, dtype=float))


def test_the_best_power_law_is_that_of_meta_curves():
    losses, _ = noisy(50)
    fit = fit_law(
        SIZES,
        losses,
        np.ones(len(SIZES)),
        [("power", c, 0.0) for c in np.geomspace(0.05, 2.0, 40)],
        np.array([16.0]),
    )
    known = np.ones(losses.shape, dtype=bool)
    peer = power_law(
        np.broadcast_to(SIZES, losses.shape), losses, known, np.full(50, SIZES[-1] * 16)
    )
    assert fit.best()[:, 0] == pytest.approx(peer, abs=1e-6)


@pytest.mark.parametrize("family", LAW_FAMILIES)
def test_every_family_finds_its_own_curves_again(family):
    for kind, exponent, scale in LAW_FAMILIES[family][::7]:
        relative, ahead = SIZES / SIZES[-1], np.array([4.0])
        shape = {
            "power": lambda x, e=exponent, s=scale: (x + s) ** -e,
            "sigmoid": lambda x, e=exponent, s=scale: 1 / (1 + (x / s) ** e),
            "exponential": lambda x, e=exponent, s=scale: np.exp(-((x / s) ** e)),
        }[kind]
        losses = (0.1 + 0.05 * shape(relative))[None]
        fit = fit_law(SIZES, losses, np.ones(len(SIZES)), LAW_FAMILIES[family], ahead)
        assert fit.error.min() < 1e-12
        assert fit.best()[0, 0] == pytest.approx(0.1 + 0.05 * shape(ahead)[0], abs=2e-3)


def test_a_law_without_asymptote_has_none():
    fit = fit_law(
        SIZES, power(SIZES)[None], np.ones(len(SIZES)), POWER, np.array([1e6]), asymptote=False
    )
    assert (fit.level == 0).all()


def test_averaging_the_shapes_beats_the_best_one_far_ahead():
    losses, truth = noisy(400, sd=0.015)
    fit = fit_law(
        SIZES, losses, np.ones(len(SIZES)), LAW_FAMILIES["sigmoid"], np.array(RATIOS, dtype=float)
    )
    averaged = np.abs(fit.average(len(SIZES))[0] - truth).mean(axis=0)
    best = np.abs(fit.best() - truth).mean(axis=0)
    assert averaged[1] < 0.95 * best[1]


def test_the_shapes_disagree_more_the_noisier_the_curve_and_the_farther_ahead():
    spreads = [
        curve_features(SIZES, noisy(100, sd)[0], RATIOS)["even_sigmoid_spread"].to_numpy()
        for sd in (0.002, 0.03)
    ]
    quiet, loud = (spread.reshape(-1, 2).mean(axis=0) for spread in spreads)
    assert (loud > quiet).all()
    assert quiet[1] > quiet[0]
    assert loud[1] > loud[0]


def test_roughness_is_the_standard_deviation_of_the_noise():
    rng = np.random.default_rng(0)
    losses = power(SIZES) + 0.01 * rng.standard_normal((300, len(SIZES)))
    rough = curve_features(SIZES, losses, (4,))["roughness"]
    assert np.sqrt((rough**2).mean()) == pytest.approx(0.01, rel=0.1)


def test_levels_falls_and_backtests_are_those_of_the_curve():
    losses = power(SIZES, exponent=POWER[15][1])[None]
    row = curve_features(SIZES, losses, (4,)).iloc[0]
    assert row["last"] == losses[0, -1]
    assert row["highest_seen"] == losses[0, 0]
    assert row["octaves_since_lowest"] == 0
    assert row["share_rising"] == 0
    assert row["drop_2"] == pytest.approx(
        power(128, exponent=POWER[15][1]) - losses[0, -3:].mean(), abs=2e-3
    )
    assert abs(row["missed_4"]) < 1e-6  # a power law forecasts a power law
    assert np.isnan(row["missed_16"])  # one point lies at or below n / 16
    assert row["log2_n"] == 8
    assert row["log2_horizon"] == 10


def test_rows_are_curves_by_horizons():
    losses, _ = noisy(7)
    found = curve_features(SIZES, losses, RATIOS)
    assert len(found) == 14
    assert found["octaves"].tolist() == [2.0, 4.0] * 7
    assert found["last"].to_numpy()[::2] == pytest.approx(losses[:, -1])
    alone = curve_features(SIZES, losses[3:4], RATIOS)
    np.testing.assert_allclose(found.iloc[6:8].to_numpy(), alone.to_numpy(), atol=1e-9)


def test_tree_inputs_are_distances_from_the_anchor():
    found = curve_features(SIZES, noisy(5)[0], RATIOS)
    inputs = tree_columns(found)
    assert ANCHOR not in inputs
    assert inputs["anchor"].equals(found[ANCHOR].rename("anchor"))
    assert inputs["even_power_best"].to_numpy() == pytest.approx(
        (found["even_power_best"] - found[ANCHOR]).to_numpy()
    )
    assert (inputs["highest"] >= inputs["lowest"]).all()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(0.0, 1.0), min_size=len(SIZES), max_size=len(SIZES)))
def test_forecasts_stay_near_what_was_seen_and_never_rise(losses):
    found = curve_features(SIZES, np.array([losses]), (1, 4, 16, 64))
    forecasts = found[[name for name in found if name.endswith(("_best", "_mean"))]].to_numpy()
    assert np.isfinite(forecasts).all()
    assert (forecasts >= -1e-9).all()
    assert (np.diff(forecasts, axis=0) <= 1e-9).all()
    assert forecasts.max() <= 1.5 * max(losses) + 1e-6


def test_bad_curves_are_refused():
    with pytest.raises(ValueError, match="8 points"):
        curve_features(SIZES[:5], np.zeros((1, 5)), (4,))
    with pytest.raises(ValueError, match="ascending"):
        curve_features(SIZES[::-1], np.zeros((1, len(SIZES))), (4,))
    with pytest.raises(ValueError, match="finite"):
        curve_features(SIZES, np.full((1, len(SIZES)), np.nan), (4,))
    with pytest.raises(ValueError, match="losses"):
        curve_features(SIZES, np.zeros((1, 3)), (4,))
