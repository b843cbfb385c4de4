import numpy as np
import pytest

from probes.features.confidence import atc_accuracy, confidence_profile, doc_accuracy


def calibrated(n_rows, seed, low=0.5):
    """Two-class probabilities with labels drawn from them: accuracy equals mean confidence."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(low, 1.0, n_rows)
    return np.stack([confidence, 1 - confidence], axis=1), (rng.random(n_rows) > confidence).astype(np.int64)


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


def test_profile_of_uniform_and_of_certain_probabilities():
    uniform = confidence_profile(np.full((50, 4), 0.25))
    assert uniform["entropy"] == pytest.approx(1.0) and uniform["margin"] == pytest.approx(0.0)
    certain = confidence_profile(np.eye(4)[np.arange(40) % 4])
    assert certain["entropy"] == pytest.approx(0.0, abs=1e-9) and certain["nuclear_norm"] == pytest.approx(1.0)
