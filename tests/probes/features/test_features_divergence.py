import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from sklearn.covariance import LedoitWolf

from probes.features.decomposition import decompose
from probes.features.divergence import gaussian_kl, knn_kl


def kl_of_gaussians(gap, scales):
    """KL(N(gap, diag(scales²)) ‖ N(0, I))."""
    return 0.5 * (np.sum(scales**2) + gap @ gap - len(gap) - 2 * np.sum(np.log(scales)))


def two_gaussians(n_rows, n_eval, gap, scales, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_rows, len(gap))), rng.standard_normal(
        (n_eval, len(gap))
    ) * scales + gap


def knn_kl_of(X, Z, dimension, k=5):
    return knn_kl(cdist(Z, Z) ** 2, cdist(Z, X) ** 2, dimension, k=k)


def test_gaussian_kl_of_two_known_gaussians():
    gap, scales = np.array([1.0, 0.0, -0.5]), np.array([1.0, 2.0, 0.5])
    X, Z = two_gaussians(20_000, 20_000, gap, scales)
    assert gaussian_kl(X, Z) == pytest.approx(kl_of_gaussians(gap, scales), rel=0.03)
    X, Z = two_gaussians(20_000, 20_000, np.zeros(3), np.ones(3))
    assert 0 <= gaussian_kl(X, Z) < 0.003


@pytest.mark.parametrize(("n_rows", "n_eval", "n_columns"), [(80, 120, 4), (60, 50, 200)])
def test_gaussian_kl_is_the_formula_on_principal_components_with_scikit_learns_shrinkage(
    n_rows, n_eval, n_columns
):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n_rows, n_columns)) * np.linspace(3, 0.1, n_columns)
    Z = rng.standard_normal((n_eval, n_columns)) * np.linspace(2, 0.2, n_columns) + 0.3
    both = np.concatenate([X, Z]) - np.concatenate([X, Z]).mean(axis=0)
    n_directions = min(min(n_rows, n_eval) // 10, n_columns)
    scores = both @ np.linalg.svd(both, full_matrices=False)[2][:n_directions].T
    first, second = LedoitWolf().fit(scores[:n_rows]), LedoitWolf().fit(scores[n_rows:])
    gap = second.location_ - first.location_
    inverse = np.linalg.inv(first.covariance_)
    log_ratio = np.log(np.linalg.det(first.covariance_) / np.linalg.det(second.covariance_))
    direct = 0.5 * (
        np.trace(inverse @ second.covariance_) + gap @ inverse @ gap - n_directions + log_ratio
    )
    assert gaussian_kl(X, Z) == pytest.approx(direct, rel=1e-5)
    assert gaussian_kl(X, Z, decomposition=decompose(both)) == gaussian_kl(X, Z)


@pytest.mark.parametrize(
    ("gap", "scales"),
    [
        ([0.0, 0.0], [1.0, 1.0]),
        ([1.0, 0.0], [1.0, 1.0]),
        ([0.5, -0.5], [0.5, 0.7]),
        ([0.0, 1.0, 0.0], [1.0, 1.0, 0.5]),
    ],
)
def test_knn_kl_is_near_the_closed_form(gap, scales):
    gap, scales = np.array(gap), np.array(scales)
    X, Z = two_gaussians(1200, 1200, gap, scales)
    assert knn_kl_of(X, Z, len(gap)) == pytest.approx(kl_of_gaussians(gap, scales), abs=0.12)


def test_knn_kl_is_its_definition_by_loops():
    X, Z = two_gaussians(30, 20, np.array([0.5, 0.0, 0.0]), np.ones(3))
    total = 0.0
    for i in range(20):
        own = sorted(np.linalg.norm(Z[i] - Z[j]) for j in range(20) if j != i)[2]
        other = sorted(np.linalg.norm(Z[i] - X[j]) for j in range(30))[2]
        total += np.log(other / own)
    assert knn_kl_of(X, Z, 2.5, k=3) == pytest.approx(2.5 / 20 * total + np.log(30 / 19), rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40), st.floats(-6, 6))
def test_divergences_do_not_change_under_rotation_order_offset_and_scale(
    seed, n_columns, log_scale
):
    rng = np.random.default_rng(seed)
    X, Z = rng.standard_normal((40, n_columns)), rng.standard_normal((30, n_columns)) * 1.5 + 0.5
    rotation = np.linalg.qr(rng.standard_normal((n_columns, n_columns)))[0]
    move = lambda rows: (rng.permutation(rows) @ rotation + 1.0) * 10.0**log_scale  # noqa: E731
    X_moved, Z_moved = move(X), move(Z)
    assert gaussian_kl(X_moved, Z_moved) == pytest.approx(gaussian_kl(X, Z), rel=1e-4, abs=1e-8)
    assert knn_kl_of(X_moved, Z_moved, 3.0) == pytest.approx(
        knn_kl_of(X, Z, 3.0), rel=1e-6, abs=1e-6
    )


def test_single_points_and_too_few_rows():
    X, Z = two_gaussians(40, 30, np.zeros(3), np.ones(3))
    point = np.ones((30, 3))
    assert gaussian_kl(point, point) == 0.0 and knn_kl_of(point, point, 3.0) == 0.0
    assert gaussian_kl(point, Z) > 1e6  # rows where the training sample has no mass at all
    assert np.isfinite(gaussian_kl(X, point)) and np.isfinite(knn_kl_of(X, point, 3.0))
    assert (
        np.isnan(gaussian_kl(X, Z[:1]))
        and np.isnan(knn_kl_of(X, Z[:1], 3.0))
        and np.isnan(knn_kl_of(X, Z, float("nan")))
    )
