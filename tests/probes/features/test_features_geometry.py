import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from probes.features.geometry import (
    knn_loo_accuracy,
    neighbour_votes,
    silhouette,
    squared_distances,
    twonn_dimension,
)


def distances_of(X):
    centred = X - X.mean(axis=0)
    return squared_distances(centred @ centred.T)


def gaussian_classes(n_rows, n_columns, n_classes=4, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return rng.standard_normal((n_rows, n_columns)) + rng.standard_normal((n_classes, n_columns))[
        y
    ] + 3.0, y


def test_distances_are_scipys_and_exactly_zero_between_equal_rows():
    X = gaussian_classes(40, 9)[0]
    X[7] = X[3]
    squared = distances_of(X)
    assert squared == pytest.approx(squareform(pdist(X)) ** 2, abs=1e-10)
    assert squared[3, 7] == 0.0 and np.all(np.diagonal(squared) == 0.0)


def test_knn_loo_is_scikit_learns_with_the_row_left_out():
    X, y = gaussian_classes(60, 40)
    right = []
    for row in range(len(y)):
        rest = np.arange(len(y)) != row
        right.append(
            KNeighborsClassifier(1, metric="cosine")
            .fit(X[rest], y[rest])
            .predict(X[row : row + 1])[0]
            == y[row]
        )
    assert knn_loo_accuracy(X, y, k=1) == pytest.approx(np.mean(right))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 20), st.integers(2, 12), st.floats(-6, 6))
def test_silhouette_is_scikit_learns_and_blind_to_order_and_scale(
    seed, n_columns, n_classes, log_scale
):
    X, y = gaussian_classes(24, n_columns, n_classes, seed)  # with many classes, some have one row
    value = silhouette(distances_of(X), y)
    assert value == pytest.approx(silhouette_score(X, y), abs=1e-9)
    order = np.random.default_rng(seed).permutation(24)
    assert silhouette(distances_of(X[order] * 10.0**log_scale), y[order]) == pytest.approx(
        value, abs=1e-9
    )


def test_silhouette_of_one_class_of_singletons_and_of_equal_rows():
    squared = distances_of(gaussian_classes(6, 3)[0])
    assert np.isnan(silhouette(squared, np.zeros(6, dtype=int)))
    assert silhouette(squared, np.arange(6)) == 0.0
    assert silhouette(np.zeros((6, 6)), np.array([0, 0, 0, 1, 1, 1])) == 0.0


@pytest.mark.parametrize("dimension", [1, 2, 5])
def test_twonn_of_a_hypercube_in_a_wide_space_is_its_dimension(dimension):
    rng = np.random.default_rng(0)
    rows = rng.random((1500, dimension)) @ np.linalg.qr(rng.standard_normal((40, dimension)))[0].T
    assert twonn_dimension(distances_of(rows)) == pytest.approx(dimension, rel=0.08)


def test_twonn_of_a_sphere_is_that_of_its_surface():
    rows = np.random.default_rng(1).standard_normal((1500, 4))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert twonn_dimension(distances_of(rows)) == pytest.approx(3, rel=0.08)


def test_twonn_is_the_regression_of_the_paper():
    X = gaussian_classes(50, 6)[0]
    ordered = np.sort(squareform(pdist(X)), axis=1)
    ratios = np.sort(ordered[:, 2] / ordered[:, 1])[:45]  # the smallest 90 %
    heights = -np.log(1 - np.arange(1, 46) / 50)
    slope = np.linalg.lstsq(np.log(ratios)[:, None], heights, rcond=None)[0][0]
    assert twonn_dimension(distances_of(X)) == pytest.approx(slope, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.floats(-6, 6))
def test_twonn_does_not_change_under_rotation_order_and_scale(seed, log_scale):
    rng = np.random.default_rng(seed)
    X, rotation = rng.standard_normal((40, 7)), np.linalg.qr(rng.standard_normal((7, 7)))[0]
    moved = (X @ rotation + 2.0)[rng.permutation(40)] * 10.0**log_scale
    assert twonn_dimension(distances_of(moved)) == pytest.approx(
        twonn_dimension(distances_of(X)), rel=1e-4
    )


def test_twonn_counts_a_repeated_row_once_and_has_no_answer_for_three():
    X = np.random.default_rng(0).standard_normal((60, 3))
    alone = twonn_dimension(distances_of(X))
    assert twonn_dimension(distances_of(np.concatenate([X, X[:9], X[:4]]))) == pytest.approx(
        alone, rel=1e-6
    )
    assert twonn_dimension(distances_of(np.repeat(X, 2, axis=0))) == pytest.approx(alone, rel=1e-6)
    assert np.isnan(twonn_dimension(distances_of(np.repeat(X[:3], 5, axis=0))))
    assert np.isfinite(twonn_dimension(distances_of(X[:4])))


def test_twonn_of_rows_equally_far_from_each_other_is_infinite():
    assert twonn_dimension(2.0 - 2.0 * np.eye(10)) == float("inf")


def test_neighbour_votes_are_scikit_learns_neighbours():
    from sklearn.neighbors import NearestNeighbors

    rng = np.random.default_rng(0)
    X, rows, y = rng.standard_normal((40, 6)), rng.standard_normal((15, 6)), rng.integers(0, 3, 40)
    unit, unit_rows = (
        (table - X.mean(axis=0)) / np.linalg.norm(table - X.mean(axis=0), axis=1)[:, None]
        for table in (X, rows)
    )
    votes = neighbour_votes(X, y, 3, rows)
    distances, nearest = (
        NearestNeighbors(n_neighbors=5, metric="cosine").fit(unit).kneighbors(unit_rows)
    )
    np.testing.assert_allclose(
        votes[:, :3], [np.bincount(y[row], minlength=3) / 5 for row in nearest]
    )
    np.testing.assert_allclose(votes[:, 3], 1 - distances[:, 0])


def test_neighbour_votes_of_labelled_rows_leave_the_row_itself_out():
    X = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    votes = neighbour_votes(X, np.array([0, 1, 0, 1]), 2, None, k=1)
    np.testing.assert_array_equal(votes[:, :2], [[0, 1], [1, 0], [0, 1], [1, 0]])
    assert np.all(votes[:, 2] < 1)
