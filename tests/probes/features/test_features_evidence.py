import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from probes.features.decomposition import decompose
from probes.features.evidence import N_EVIDENCE_ITERATIONS, logme


def gaussian_classes(n_rows, n_columns, n_classes=4, seed=0, offset=3.0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return rng.standard_normal((n_rows, n_columns)) + 1.5 * rng.standard_normal(
        (n_classes, n_columns)
    )[y] + offset, y


def log_density(X, target, alpha, beta):
    """Of `target` under the Gaussian with covariance I/beta + X Xᵀ/alpha."""
    covariance = np.eye(len(target)) / beta + X @ X.T / alpha
    quadratic = target @ np.linalg.solve(covariance, target)
    return -0.5 * (len(target) * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + quadratic)


def fixed_point(X, target, n_iterations, tolerance):
    """The published iteration written with the posterior itself: no decomposition, no basis."""
    alpha, beta, previous = 1.0, 1.0, np.inf
    for _ in range(n_iterations):
        precision = alpha * np.eye(X.shape[1]) + beta * X.T @ X
        mean = beta * np.linalg.solve(precision, X.T @ target)
        gamma = beta * np.trace(np.linalg.solve(precision, X.T @ X))
        alpha = gamma / (mean @ mean + 1e-5)
        beta = (len(target) - gamma) / (np.sum((target - X @ mean) ** 2) + 1e-5)
        if abs(alpha / beta - previous) <= tolerance * previous:
            break
        previous = alpha / beta
    return alpha, beta


def test_logme_of_iris_is_the_published_value():
    X, y = load_iris(return_X_y=True)
    assert logme(X, y, 3) == pytest.approx(-0.16006, abs=1e-4)


@pytest.mark.parametrize(
    ("n_rows", "n_columns"), [(90, 10), (90, 60), (30, 29), (30, 30), (30, 31), (30, 80)]
)
@pytest.mark.parametrize("offset", [0.0, 3.0, 100.0])
def test_logme_is_the_published_iteration_on_vectors_as_given(n_rows, n_columns, offset):
    """Ours works on the centred sample's decomposition: the centre must come back exactly, in and
    outside its row space."""
    X, y = gaussian_classes(n_rows, n_columns, offset=offset)
    evidences = []
    for label in range(4):
        target = (y == label).astype(float)
        evidences.append(
            log_density(X, target, *fixed_point(X, target, N_EVIDENCE_ITERATIONS, 1e-3))
        )
    assert logme(X, y, 4) == pytest.approx(np.mean(evidences) / n_rows, abs=1e-4)


def test_labels_out_of_range_are_left_out_and_the_decomposition_can_be_given():
    X, y = gaussian_classes(60, 20, n_classes=2)
    target = (y == 0).astype(float)
    expected = log_density(X, target, *fixed_point(X, target, N_EVIDENCE_ITERATIONS, 1e-3)) / 60
    assert logme(X, np.where(y == 0, 0, 5), 1) == pytest.approx(expected, abs=1e-5)
    assert np.isnan(logme(X, np.full(60, 5), 1))
    assert logme(X, y, 2, decomposition=decompose(X - X.mean(axis=0))) == logme(X, y, 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40))
def test_logme_does_not_change_under_rotation_and_order(seed, n_columns):
    X, y = gaussian_classes(30, n_columns, n_classes=3, seed=seed)
    rng = np.random.default_rng(seed)
    rotation, order = (
        np.linalg.qr(rng.standard_normal((n_columns, n_columns)))[0],
        rng.permutation(30),
    )
    assert logme((X @ rotation)[order], y[order], 3) == pytest.approx(
        logme(X, y, 3), rel=1e-4, abs=1e-6
    )


def test_logme_of_vectors_that_are_all_zeros_is_that_of_noise_alone():
    y = np.array([0, 1, 0, 1])
    residual = (y == 0).sum()
    beta = 4 / residual
    expected = 0.5 * np.log(beta) - 0.5 * np.log(2 * np.pi) - beta / 2 * residual / 4
    assert logme(np.zeros((4, 3)), y, 2) == pytest.approx(expected, abs=1e-4)
