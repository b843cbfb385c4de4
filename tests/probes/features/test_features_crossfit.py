import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from probes.features.crossfit import curve_so_far, fit_ridge
from probes.solvers.ridge import fit_ridge_path
from probes.solvers.rowspace import row_space


def gaussian_classes(n_rows, n_columns, n_classes=3, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return rng.standard_normal((n_rows, n_columns)) + spread * rng.standard_normal(
        (n_classes, n_columns)
    )[y] + 5.0, y


@pytest.mark.parametrize("n_columns", [10, 60])
def test_leave_one_out_scores_are_those_of_refitting(n_columns):
    X, y = gaussian_classes(40, n_columns)
    fit = fit_ridge(X, y, 3)
    scale = np.sqrt(n_columns) / np.mean(np.linalg.norm(X, axis=1))
    for row in range(0, 40, 7):
        rest = np.arange(40) != row
        reference = Ridge(alpha=fit.penalty).fit(X[rest] * scale, np.eye(3)[y[rest]])
        frequencies_kept = np.eye(3)[y].mean(axis=0) - np.eye(3)[y[rest]].mean(axis=0)
        assert fit.loo_scores[row] == pytest.approx(
            reference.predict(X[row : row + 1] * scale)[0] + frequencies_kept, abs=1e-6
        )
    whole = Ridge(alpha=fit.penalty).fit(X * scale, np.eye(3)[y])
    assert fit.scores(X) == pytest.approx(whole.predict(X * scale), abs=1e-6)


@pytest.mark.parametrize("n_columns", [10, 60])
def test_it_is_the_sweeps_ridge_probe(n_columns):
    X, y = gaussian_classes(40, n_columns, spread=0.3)
    fit = fit_ridge(X, y, 3)
    scaled = torch.from_numpy(X * np.sqrt(n_columns) / np.mean(np.linalg.norm(X, axis=1)))
    path = fit_ridge_path(row_space(scaled), torch.from_numpy(y), 3)
    assert 1 / path.Cs[path.best] == pytest.approx(fit.penalty)
    assert path.held_out_scores[path.best].numpy() == pytest.approx(fit.loo_scores, abs=1e-6)


def test_balanced_classes_without_signal_are_at_chance_not_below():
    rng = np.random.default_rng(0)
    accuracies = []
    for _ in range(20):
        y = np.repeat(np.arange(4), 8)
        fit = fit_ridge(rng.standard_normal((32, 16)), y, 4)
        accuracies.append(np.mean(fit.loo_scores.argmax(axis=1) == y))
    assert 0.2 < np.mean(accuracies) < 0.3  # plain leave-one-out: below 0.1


@pytest.mark.parametrize("n", [16, 50, 64, 100, 300, 512])
def test_equal_rows_are_at_chance_whatever_rounds(n):
    y = np.arange(n) % 10
    fit = fit_ridge(np.full((n, 6), 1.37), y, 10)
    assert fit.loo_scores == pytest.approx(np.tile(fit.intercept, (n, 1)), abs=0)
    assert np.mean(fit.loo_scores.argmax(axis=1) == y) < 0.2


def test_noise_gets_the_strongest_penalty_and_chance_accuracy():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((100, 100)), rng.integers(0, 2, 100)
    fit = fit_ridge(X, y, 2)
    assert fit.penalty >= 1000
    assert fit.probabilities(fit.loo_scores).max() < 0.75


def test_the_curve_so_far_rises_with_the_rows_trained_on():
    X, y = gaussian_classes(256, 64, spread=0.3)
    points = curve_so_far(X, y, 3, seed=0)
    assert [point.n_rows for point in points] == [32, 64, 128]
    accuracies = [np.mean(point.probabilities.argmax(axis=1) == point.labels) for point in points]
    assert accuracies[0] < accuracies[-1]
    assert len(points[0].labels) == 8 * (256 - 32)


def test_parts_too_small_to_fit_are_left_out_and_missing_classes_are_survived():
    X, y = gaussian_classes(12, 8)
    assert [round(point.n_rows) for point in curve_so_far(X, y, 3, seed=0)] == [6]
