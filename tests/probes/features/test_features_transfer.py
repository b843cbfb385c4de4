import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

from probes.features.mixture import VARIANCE_FLOOR, mixture_posteriors, seeded_clusters
from probes.features.transfer import leep, nleep, transrate


def gaussian_classes(n_rows, n_columns, n_classes=4, seed=0, spread=1.5):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return (
        rng.standard_normal((n_rows, n_columns))
        + spread * rng.standard_normal((n_classes, n_columns))[y]
        + 3.0,
        y,
    )


def entropy(y):
    shares = np.bincount(y) / len(y)
    return -np.sum(shares[shares > 0] * np.log(shares[shares > 0]))


@pytest.mark.parametrize("n_columns", [3, 30, 120])
def test_transrate_is_the_difference_of_brute_force_log_determinants(n_columns):
    X, y = gaussian_classes(60, n_columns)
    centred = X - X.mean(axis=0)
    scaled = centred / np.sqrt(np.trace(centred @ centred.T))

    def rate(Z):
        return 0.5 * np.log(np.linalg.det(np.eye(len(Z)) + Z @ Z.T / (len(Z) * 1e-4)))

    direct = rate(scaled) - sum(np.mean(y == k) * rate(scaled[y == k]) for k in range(4))
    assert transrate(X, y, 4) == pytest.approx(direct, rel=1e-6)


def test_transrate_tells_separated_classes_from_shuffled_labels():
    X, y = gaussian_classes(200, 30)
    assert transrate(X, y, 4) > 1.5 * transrate(X, np.random.default_rng(0).permutation(y), 4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 40), st.floats(-8, 8))
def test_transrate_is_positive_and_blind_to_rotation_order_offset_and_scale(
    seed, n_columns, log_scale
):
    X, y = gaussian_classes(30, n_columns, n_classes=3, seed=seed)
    rng = np.random.default_rng(seed)
    rotation, order = (
        np.linalg.qr(rng.standard_normal((n_columns, n_columns)))[0],
        rng.permutation(30),
    )
    value = transrate(X, y, 3)
    assert value >= 0
    assert transrate((X @ rotation + 1.0)[order] * 10.0**log_scale, y[order], 3) == pytest.approx(
        value, rel=1e-4, abs=1e-6
    )


def test_leep_is_its_definition_by_naive_loops():
    rng = np.random.default_rng(0)
    posteriors, y = rng.dirichlet(np.ones(6) * 0.3, size=40), rng.integers(0, 3, 40)
    total = 0.0
    for i in range(40):
        likelihood = 0.0
        for z in range(6):
            joint = sum(posteriors[j, z] for j in range(40) if y[j] == y[i]) / 40
            marginal = sum(posteriors[j, z] for j in range(40)) / 40
            likelihood += joint / marginal * posteriors[i, z]
        total += np.log(likelihood)
    assert leep(posteriors, y, 3) == pytest.approx(total / 40, rel=1e-12)


def test_leep_is_zero_where_source_classes_are_labels_and_minus_entropy_where_not():
    y = np.array([0, 0, 1, 2, 2, 2])
    assert leep(np.eye(5)[y], y, 3) == pytest.approx(
        0.0, abs=1e-12
    )  # two source classes never occur
    assert leep(np.full((6, 4), 0.25), y, 3) == pytest.approx(-entropy(y))


def test_the_mixture_is_scikit_learns_from_the_same_start():
    X = np.random.default_rng(0).standard_normal((120, 3)) + 2.0 * np.eye(3)[np.arange(120) % 3]
    cluster = seeded_clusters(X, 6, seed=1)
    assert len(np.unique(cluster)) == 6
    parts = [X[cluster == k] for k in range(6)]
    start = {
        "weights_init": [len(part) / 120 for part in parts],
        "means_init": [part.mean(axis=0) for part in parts],
        "precisions_init": [1 / (part.var(axis=0) + VARIANCE_FLOOR) for part in parts],
    }
    reference = GaussianMixture(
        6, covariance_type="diag", reg_covar=VARIANCE_FLOOR, max_iter=500, tol=1e-9, **start
    ).fit(X)
    ours = mixture_posteriors(X, cluster, n_steps=reference.n_iter_)
    assert reference.n_iter_ > 5
    assert ours == pytest.approx(reference.predict_proba(X), abs=1e-6)


def test_seeds_are_distinct_rows_and_clusters_are_those_of_the_nearest_seed():
    X = np.repeat(np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]]), 5, axis=0)
    cluster = seeded_clusters(X, 9, seed=0)
    assert [
        len(np.unique(cluster[rows])) for rows in (slice(0, 5), slice(5, 10), slice(10, 15))
    ] == [1, 1, 1]
    assert len(np.unique(cluster)) == 3


def test_nleep_knows_separated_classes_and_not_shuffled_labels():
    X, y = gaussian_classes(200, 20, spread=20.0)
    assert nleep(X, y, 4, seed=0) == pytest.approx(0.0, abs=1e-6)
    shuffled = np.random.default_rng(0).permutation(y)
    assert -entropy(y) <= nleep(X, shuffled, 4, seed=0) < -0.7 * entropy(y)


def test_nleep_of_iris_is_that_of_scikit_learns_mixture():
    """The whole chain against another implementation of each link: PCA by SVD, EM, LEEP by its
    definition."""
    X, y = load_iris(return_X_y=True)
    centred = X - X.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    assert singular[0] ** 2 / np.sum(singular**2) > 0.8  # one direction holds the energy
    scores = left[:, :1] * singular[0] / np.sqrt(np.mean((left[:, 0] * singular[0]) ** 2))
    cluster = seeded_clusters(scores, 15, seed=3)
    parts = [scores[cluster == k] for k in range(15)]
    start = {
        "weights_init": [len(part) / 150 for part in parts],
        "means_init": [part.mean(axis=0) for part in parts],
        "precisions_init": [1 / (part.var(axis=0) + VARIANCE_FLOOR) for part in parts],
    }
    mixture = GaussianMixture(
        15, covariance_type="diag", reg_covar=VARIANCE_FLOOR, max_iter=10, tol=0.0, **start
    )
    with pytest.warns(UserWarning, match="did not converge"):
        posteriors = mixture.fit(scores).predict_proba(scores)
    joint = np.stack([posteriors[y == k].sum(axis=0) for k in range(3)])
    direct = np.mean(np.log(np.sum((joint / posteriors.sum(axis=0))[y] * posteriors, axis=1)))
    assert nleep(X, y, 3, seed=3) == pytest.approx(direct, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 30))
def test_nleep_lies_between_no_knowledge_and_certainty_whatever_the_rotation(seed, n_columns):
    X, y = gaussian_classes(40, n_columns, n_classes=3, seed=seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).standard_normal((n_columns, n_columns)))[0]
    value = nleep(X, y, 3, seed=seed)
    assert -entropy(y) - 1e-9 <= value <= 0  # by Jensen at least −H(y|z), so at least −H(y)
    assert nleep(X @ rotation, y, 3, seed=seed) == pytest.approx(value, abs=1e-3)


@pytest.mark.parametrize("score", [transrate, lambda X, y, k: nleep(X, y, k, seed=0)])
def test_equal_rows_say_nothing(score):
    y = np.array([0, 1, 2, 0, 1, 2, 0])
    assert score(np.full((7, 5), 0.1), y, 3) == pytest.approx(
        0.0 if score is transrate else -entropy(y)
    )
