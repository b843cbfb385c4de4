"""Labelled evaluation rows: the coverage of what they measure, in simulations whose truth is known,
and how they correct a forecast."""

import numpy as np
import pytest

from meta.answering.q2_eval_labels import Correction, eval_labels_answer
from meta.answering.q2_prediction_powered import (
    MIN_LABELLED_ROWS,
    Measured,
    can_measure,
    correct_curve,
    measure,
    outcomes,
)
from meta.metric import Metric, stabilised

FORECAST = np.array([0.70, 0.74, 0.77, 0.80, 0.84]) + np.array([0.0, 0.03, 0.05])[:, None]  # (3, 5)


def simulated(
    n_labelled: int, level: float, rng: np.random.Generator, n_rows: int = 1000
) -> tuple[np.ndarray, np.ndarray]:
    """The outcomes of an overconfident probe, NaN except for `n_labelled` rows, and its confidence.
    A row with the confidence f is a hit with the probability f^1.3."""
    confidence = rng.beta(6 * level, 6 * (1 - level), n_rows)
    hits = (rng.random(n_rows) < confidence**1.3).astype(np.float64)
    hits[n_labelled:] = np.nan
    return hits, confidence


def true_mean(level: float) -> float:
    return float(
        (np.random.default_rng(99).beta(6 * level, 6 * (1 - level), 1_000_000) ** 1.3).mean()
    )


@pytest.mark.parametrize("level", [0.6, 0.8, 0.95])
@pytest.mark.parametrize("n_labelled", [20, 60, 300])
def test_the_90_percent_interval_holds_the_truth_in_at_least_nearly_90_percent(
    n_labelled: int, level: float
):
    rng, truth = np.random.default_rng(0), true_mean(level)
    intervals = np.array(
        [measure(*simulated(n_labelled, level, rng)).quantiles[[0, -1]] for _ in range(1000)]
    )
    covered = np.mean((intervals[:, 0] <= truth) & (truth <= intervals[:, 1]))
    assert covered >= 0.87, covered  # three standard errors of 1,000 draws below 90 %


def test_a_probe_that_knows_when_it_errs_narrows_the_interval_another_is_not_believed():
    rng = np.random.default_rng(1)
    confidence = rng.choice([0.05, 0.95], 2000)
    hits = (rng.random(2000) < confidence).astype(np.float64)
    hits[100:] = np.nan
    alone = measure(hits[:100], confidence[:100])
    knowing, ignorant = measure(hits, confidence), measure(hits, rng.random(2000))
    assert alone.weight == 0.0 and alone.estimate == pytest.approx(hits[:100].mean())
    assert knowing.weight > 0.7 and knowing.standard_error < 0.6 * alone.standard_error
    assert ignorant.weight < 0.4 and ignorant.standard_error == pytest.approx(
        alone.standard_error, rel=0.1
    )


def test_no_miss_among_few_does_not_prove_that_there_are_none():
    measured = measure(np.ones(20), np.full(20, 0.99))
    assert measured.estimate == 1.0 and measured.quantiles[0] < 0.95


def test_outcomes_by_hand():
    probabilities = np.array([[0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.5, 0.5]])
    labels = np.array([0, 0, -1, 2])  # a hit, a miss, not labelled, of an unknown class
    hits, confidence = outcomes(Metric.ACCURACY, probabilities, labels)
    assert hits[[0, 1, 3]].tolist() == [1.0, 0.0, 0.0] and np.isnan(hits[2])
    assert confidence.tolist() == [0.8, 0.6, 0.7, 0.5]
    losses, entropy = outcomes(Metric.LOG_LOSS, probabilities, labels)
    assert losses[[0, 1, 3]] == pytest.approx(-np.log([0.8, 0.4, 0.01]))
    assert entropy[0] == pytest.approx(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2)))
    with pytest.raises(ValueError, match="macro_f1"):
        outcomes(Metric.MACRO_F1, probabilities, labels)


def test_too_few_labels_measure_nothing():
    labels = np.r_[np.zeros(MIN_LABELLED_ROWS - 1, dtype=int), -1, -1]
    assert not can_measure(labels, Metric.ACCURACY) and not can_measure(None, Metric.ACCURACY)
    assert can_measure(np.zeros(MIN_LABELLED_ROWS, dtype=int), Metric.ACCURACY)
    assert not can_measure(np.zeros(50, dtype=int), Metric.AUROC)
    with pytest.raises(ValueError, match="at least 20"):
        measure(np.ones(19), np.ones(19))


def test_a_precise_measurement_replaces_the_forecast_now_and_moves_it_later():
    corrected = correct_curve(FORECAST, Measured(0.72, 0.001, 5000, 0.0), Metric.ACCURACY)
    assert corrected[0, 2] == pytest.approx(0.72, abs=1e-3)
    assert corrected[0, 4] - corrected[0, 0] < 0.02
    assert (corrected[1:, 2] < FORECAST[1:, 2]).all()
    assert (np.diff(corrected, axis=0) >= 0).all() and (np.diff(corrected, axis=1) >= 0).all()


def test_a_vague_measurement_changes_little():
    corrected = correct_curve(FORECAST, Measured(0.5, 1.0, 20, 0.0), Metric.ACCURACY)
    assert corrected == pytest.approx(FORECAST, abs=0.01)


def test_intervals_get_narrower_at_every_horizon_but_keep_what_lies_ahead():
    later = np.stack([FORECAST[0], FORECAST[1] + np.array([0.02, 0.05, 0.07, 0.09, 0.12])])
    corrected = correct_curve(later, Measured(0.77, 0.02, 300, 0.3), Metric.ACCURACY)
    width, before = (
        np.diff(stabilised(curve)[:, [0, 4]], axis=1)[:, 0] for curve in (corrected, later)
    )  # where they add
    assert (width < before).all() and width[1] > width[0]
    assert width[1] ** 2 - width[0] ** 2 == pytest.approx(before[1] ** 2 - before[0] ** 2, rel=0.02)


def test_a_later_forecast_that_is_surer_than_the_first_moves_less():
    surer = np.stack([FORECAST[0], 0.95 + 0.1 * (FORECAST[0] - 0.77)])
    corrected = correct_curve(surer, Measured(0.85, 0.03, 300, 0.0), Metric.ACCURACY)
    moved = stabilised(corrected[:, 2]) - stabilised(surer[:, 2])
    assert 0 < moved[1] < 0.2 * moved[0]


def test_a_loss_is_corrected_in_proportion():
    losses = (
        np.array([0.40, 0.60, 0.80, 1.1, 1.6]) * np.array([1.0, 0.5, 0.1])[:, None]
    )  # ten times less, far ahead
    corrected = correct_curve(losses, Measured(0.4, 0.004, 5000, 0.0), Metric.LOG_LOSS)
    assert corrected[:, 2] == pytest.approx(
        losses[:, 2] / 2, rel=0.02
    )  # in nats the last would fall below zero
    assert corrected[-1, 4] / corrected[-1, 0] > 1.0 and corrected[-1, 0] > 0.02


@pytest.mark.parametrize("estimate", [0.0, 0.002, 1.0])
@pytest.mark.parametrize("metric", [Metric.ACCURACY, Metric.LOG_LOSS])
def test_a_measurement_at_an_end_of_the_range_leaves_forecasts_uncertain(
    metric: str, estimate: float
):
    curve = FORECAST if metric == "accuracy" else (1.2 - FORECAST)[:, ::-1]
    corrected = correct_curve(curve, Measured(estimate, 0.05, 60, 0.0), metric)
    assert np.isfinite(corrected).all() and (np.diff(corrected, axis=1) > 0).all()
    assert abs(corrected[0, 2] - estimate) < abs(curve[0, 2] - estimate)
    assert corrected[0, 4] - corrected[0, 0] > 0.01


def test_a_loss_is_corrected_downwards_too():
    losses = (1.2 - FORECAST)[:, ::-1]
    corrected = correct_curve(losses, Measured(0.3, 0.01, 200, 0.0), Metric.LOG_LOSS)
    assert (corrected[:, 2] < losses[:, 2]).all() and (np.diff(corrected, axis=0) <= 0).all()


def test_a_loss_too_small_to_tell_from_nothing_leaves_the_forecast_its_interval():
    losses = np.array([0.002, 0.003, 0.004, 0.010, 0.042]) * np.array([1.0, 0.9, 0.6])[:, None]
    for estimate in (0.0, -0.004):  # of 300 rows without a miss
        corrected = correct_curve(losses, Measured(estimate, 0.0033, 300, 0.0), Metric.LOG_LOSS)
        assert (np.diff(corrected, axis=1) > 0).all() and (np.diff(corrected, axis=0) < 0).all()
        assert corrected[:, 2] == pytest.approx(losses[:, 2]), (
            "no measurement tells it from the least loss"
        )
        assert (
            0.2
            < np.log(corrected[0, 4] / corrected[0, 0]) / np.log(losses[0, 4] / losses[0, 0])
            < 0.7
        )


@pytest.mark.parametrize("metric", [Metric.ACCURACY, Metric.LOG_LOSS])
def test_a_forecast_that_the_measurement_refutes_gives_way(metric: str):
    rates = np.array([0.991, 0.997, 0.998, 0.9990, 0.9995]) + np.array([0.0, 2e-4, 3e-4])[:, None]
    curve = rates if metric == "accuracy" else -np.log(rates)[:, ::-1]
    measured = (
        Measured(0.7, 0.025, 300, 0.0) if metric == "accuracy" else Measured(1.2, 0.09, 300, 0.0)
    )
    corrected = correct_curve(curve, measured, metric)
    assert abs(corrected[0, 2] - measured.estimate) < 2 * measured.standard_error
    now, later = corrected[[0, -1], 4] - corrected[[0, -1], 0]
    assert 1.5 * measured.standard_error < now < 6 * measured.standard_error and later > now
    near = correct_curve(
        FORECAST, Measured(0.90, 0.02, 300, 0.0), Metric.ACCURACY
    )  # unlikely, but no refutation
    assert near[0, 4] - near[0, 0] < 0.8 * (FORECAST[0, 4] - FORECAST[0, 0])


@pytest.mark.parametrize(
    ("metric", "estimate", "ends"),
    [(Metric.LOG_LOSS, -0.001, (0.0, 0.0)), (Metric.ACCURACY, 1.003, (1.0, 1.0))],
)
def test_what_labelled_rows_measure_is_shown_within_the_range(
    metric: str, estimate: float, ends: tuple[float, float]
):
    correction = Correction(FORECAST, Measured(estimate, 0.01, 40, 0.9))
    shown, _ = eval_labels_answer(correction, np.zeros(40, dtype=np.int64), 40, metric)
    assert (shown.estimate, shown.q05 if metric == "log_loss" else shown.q95) == ends
    assert shown.q05 < shown.q95
