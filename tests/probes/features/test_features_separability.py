import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.covariance import LedoitWolf
from sklearn.datasets import load_iris

from probes.features.decomposition import decompose
from probes.features.separability import effective_rank, fisher_ratio, h_score, nc1


@pytest.fixture(scope="module")
def iris():
    return load_iris(return_X_y=True)


def gaussian_classes(n_rows=90, n_columns=40, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return rng.standard_normal((n_rows, n_columns)) + 1.5 * rng.standard_normal(
        (n_classes, n_columns)
    )[y] + 3.0, y


def test_shrunk_h_score_of_iris_is_the_published_value(iris):
    X, y = iris
    assert h_score(X, y, 3) == pytest.approx(1.177842, abs=1e-5)


@pytest.mark.parametrize("n_columns", [20, 150])
def test_shrunk_h_score_is_the_direct_formula_on_either_side_of_n_equals_d(n_columns):
    X, y = gaussian_classes(n_columns=n_columns)
    centred = X - X.mean(axis=0)
    wolf = LedoitWolf(assume_centered=True).fit(centred)
    between = sum(
        (y == k).sum() * np.outer(m, m) for k in range(4) for m in [centred[y == k].mean(axis=0)]
    ) / (len(y) - 1)
    direct = (1 - wolf.shrinkage_) * np.trace(np.linalg.solve(wolf.covariance_, between))
    assert h_score(X, y, 4) == pytest.approx(direct, rel=1e-6)


def test_fisher_ratio_and_nc1_are_their_definitions():
    X, y = gaussian_classes()
    centre = X.mean(axis=0)
    means = np.stack([X[y == k].mean(axis=0) for k in range(4)])
    counts = np.bincount(y)
    between = (means - centre).T @ np.diag(counts / len(y)) @ (means - centre)
    within = (X - means[y]).T @ (X - means[y]) / len(y)
    assert fisher_ratio(X, y, 4) == pytest.approx(np.trace(between) / np.trace(within))
    assert nc1(X, y, 4) == pytest.approx(
        np.trace(within @ np.linalg.pinv(between, rcond=1e-9)) / 4, rel=1e-6
    )


def test_effective_rank_of_equal_directions_is_their_number():
    assert effective_rank(np.ones(7)) == pytest.approx(7.0)
    assert effective_rank(np.array([1.0, 0.0])) == pytest.approx(1.0)
    assert effective_rank(np.array([])) == 0.0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40))
def test_scores_do_not_change_under_rotation_and_the_decomposition_is_exact(seed, n_columns):
    X, y = gaussian_classes(n_rows=30, n_columns=n_columns, n_classes=3, seed=seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((n_columns, n_columns)))[0]
    for name in (h_score, fisher_ratio, nc1):
        assert name(X @ rotation, y, 3) == pytest.approx(name(X, y, 3), rel=1e-4, abs=1e-6)
    parts = decompose(X)
    assert np.abs(parts.left @ (parts.left.T @ X) - X).max() < 1e-3
    assert parts.singular == pytest.approx(
        np.linalg.svd(X, compute_uv=False)[: len(parts.singular)], rel=1e-4
    )
    assert np.abs(parts.scores @ parts.scores.T - X @ X.T).max() < 1e-6
