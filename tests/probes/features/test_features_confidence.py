import numpy as np
import pytest

from probes.features.confidence import (
    atc_accuracy,
    confidence_profile,
    doc_accuracy,
    gde_accuracy,
    regressed_accuracy,
    row_confidences,
)
from probes.features.crossfit import fit_ridge


def calibrated(n_rows, seed, low=0.5):
    """Two-class probabilities with labels drawn from them: accuracy equals mean confidence."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(low, 1.0, n_rows)
    return np.stack([confidence, 1 - confidence], axis=1), (rng.random(n_rows) > confidence).astype(
        np.int64
    )


def test_without_a_shift_both_estimates_are_the_held_out_accuracy():
    held_out, y = calibrated(4000, 0)
    accuracy = np.mean(held_out.argmax(axis=1) == y)
    assert atc_accuracy(held_out, y, held_out) == pytest.approx(accuracy, abs=1e-3)
    assert doc_accuracy(held_out, y, held_out) == pytest.approx(accuracy)


def test_less_confident_rows_are_expected_to_be_less_accurate():
    held_out, y = calibrated(4000, 0, low=0.7)
    harder, truth = calibrated(4000, 1, low=0.5)
    accuracy = np.mean(harder.argmax(axis=1) == truth)
    assert doc_accuracy(held_out, y, harder) == pytest.approx(accuracy, abs=0.03)
    assert atc_accuracy(held_out, y, harder) < atc_accuracy(held_out, y, held_out)


def test_all_wrong_and_all_right_held_out_rows():
    sure = np.array([[0.9, 0.1], [0.8, 0.2]])
    assert atc_accuracy(sure, np.array([1, 1]), sure) == 0.0
    assert atc_accuracy(sure, np.array([0, 0]), sure) == 1.0


def test_regressed_accuracy_of_the_training_rows_themselves_is_their_hit_rate():
    held_out, y = calibrated(300, 0)
    hits = held_out.argmax(axis=1) == y
    known = row_confidences(held_out)
    assert regressed_accuracy(hits, known, known) == pytest.approx(
        hits.mean(), abs=1e-6
    )  # unpenalised intercept
    assert regressed_accuracy(np.ones(300, bool), known, known) == 1.0
    assert regressed_accuracy(np.zeros(300, bool), known, known) == 0.0


def test_regressed_accuracy_agrees_with_scikit_learns_logistic_regression():
    from sklearn.linear_model import LogisticRegression

    held_out, y = calibrated(300, 0)
    hits, known = held_out.argmax(axis=1) == y, row_confidences(held_out)
    ahead = row_confidences(calibrated(200, 1, low=0.6)[0])
    centre, spread = known.mean(axis=0), known.std(axis=0)
    theirs = LogisticRegression(C=1.0, tol=1e-10, max_iter=2000).fit(
        (known - centre) / spread, hits
    )
    wanted = theirs.predict_proba((ahead - centre) / spread)[:, 1].mean()
    assert regressed_accuracy(hits, known, ahead) == pytest.approx(wanted, abs=1e-5)


def test_regressed_accuracy_takes_noise_from_the_hit_rate():
    """Rows drawn from one distribution, 200 labelled: the mean error over 200 samples falls, and it
    follows a shift."""
    plain, regressed = [], []
    for seed in range(200):
        held_out, y = calibrated(200, seed)
        others, truth = calibrated(2000, 1000 + seed)
        hits, accuracy = held_out.argmax(axis=1) == y, np.mean(others.argmax(axis=1) == truth)
        plain.append(abs(hits.mean() - accuracy))
        regressed.append(
            abs(
                regressed_accuracy(hits, row_confidences(held_out), row_confidences(others))
                - accuracy
            )
        )
    assert np.mean(regressed) < np.mean(plain)
    held_out, y = calibrated(4000, 0, low=0.5)
    harder, truth = calibrated(4000, 1, low=0.8)
    estimate = regressed_accuracy(
        held_out.argmax(axis=1) == y, row_confidences(held_out), row_confidences(harder)
    )
    assert estimate == pytest.approx(np.mean(harder.argmax(axis=1) == truth), abs=0.03)


def test_profile_of_uniform_and_of_certain_probabilities():
    uniform = confidence_profile(np.full((50, 4), 0.25))
    assert uniform["entropy"] == pytest.approx(1.0) and uniform["margin"] == pytest.approx(0.0)
    certain = confidence_profile(np.eye(4)[np.arange(40) % 4])
    assert certain["entropy"] == pytest.approx(0.0, abs=1e-9) and certain[
        "nuclear_norm"
    ] == pytest.approx(1.0)


def test_agreement_counts_the_rows_on_which_both_name_the_same_class():
    first = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.1, 0.2, 0.7], [0.5, 0.3, 0.2]])
    other = np.array([[0.4, 0.3, 0.3], [0.6, 0.3, 0.1], [0.0, 0.1, 0.9], [0.9, 0.1, 0.0]])
    assert gde_accuracy(first, other) == 0.75
    assert gde_accuracy(first, first) == 1.0
    assert gde_accuracy(np.eye(4), np.roll(np.eye(4), 1, axis=0)) == 0.0


def test_agreement_is_the_accuracy_of_probes_that_are_calibrated_as_an_ensemble():
    """Both probes and the truth drawn from the same distribution of every row: the theorem of the
    paper."""
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([0.5, 0.5, 0.5], size=20_000)
    first, other, truth = (
        (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1) for _ in range(3)
    )
    assert gde_accuracy(np.eye(4)[first], np.eye(4)[other]) == pytest.approx(
        np.mean(first == truth), abs=0.02
    )


def test_agreement_of_half_trained_probes_rises_with_their_accuracy_and_is_never_below_it():
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((3, 6))
    y, truth = rng.integers(0, 3, 200), rng.integers(0, 3, 1000)
    agreements, accuracies = [], []
    for noise in (4.0, 2.0, 1.0, 0.3):
        X, X_eval = (
            noise * rng.standard_normal((len(labels), 6)) + centres[labels] for labels in (y, truth)
        )
        halves = [
            fit_ridge(X[rows], y[rows], 3).scores(X_eval)
            for rows in (slice(0, 100), slice(100, 200))
        ]
        agreements.append(gde_accuracy(*halves))
        accuracies.append(np.mean([np.mean(scores.argmax(axis=1) == truth) for scores in halves]))
    assert np.all(np.diff(agreements) > 0) and np.all(np.diff(accuracies) > 0)
    assert np.all(np.array(agreements) >= np.array(accuracies))
