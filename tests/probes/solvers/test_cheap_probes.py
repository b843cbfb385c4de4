"""Nearest centroid, nearest neighbours and discriminant analysis in the row space, against
scikit-learn on the features."""

import numpy as np
import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid

from probes.solvers.centroid import fit_centroids
from probes.solvers.lda import fit_discriminant
from probes.solvers.neighbours import N_NEIGHBOURS, fit_neighbours
from probes.solvers.pool import Pool, Sample

CELLS = [(2, 20, 8), (2, 60, 200), (5, 40, 16), (5, 40, 100), (20, 200, 64)]


def case(
    n_classes: int, n: int, d: int, noise: float = 1.5
) -> tuple[np.ndarray, np.ndarray, np.ndarray, Sample, torch.Tensor]:
    generator = np.random.default_rng(0)
    y = np.concatenate([np.arange(n_classes), generator.integers(0, n_classes, n - n_classes)])
    centres = generator.standard_normal((n_classes, d))
    X = (3 + centres[y] + noise * generator.standard_normal((n, d))).astype(np.float32)
    X_test = (
        3
        + centres[generator.integers(0, n_classes, 50)]
        + noise * generator.standard_normal((50, d))
    ).astype(np.float32)
    rows = np.arange(n)
    sample = Pool(torch.from_numpy(X), torch.from_numpy(X_test), [rows]).sample(rows, torch.float64)
    return X.astype(np.float64), y, X_test.astype(np.float64), sample, torch.from_numpy(y)


@pytest.mark.parametrize("cell", CELLS)
def test_neighbours_vote_as_scikit_learns(cell):
    X, y, X_test, sample, labels = case(*cell)
    ours = fit_neighbours(sample.basis, labels, cell[0])
    votes = KNeighborsClassifier(N_NEIGHBOURS).fit(X, y).predict_proba(X_test) * N_NEIGHBOURS
    expected = (votes + 1 / cell[0]) / (N_NEIGHBOURS + 1)
    np.testing.assert_allclose(
        ours.probabilities(sample.test_coordinates()).numpy(), expected, atol=1e-12
    )
    left_out = [
        KNeighborsClassifier(N_NEIGHBOURS).fit(np.delete(X, i, 0), np.delete(y, i))
        for i in range(len(y))
    ]
    hits = [fit.predict(X[i : i + 1])[0] == y[i] for i, fit in enumerate(left_out)]
    assert ours.loo_accuracy == pytest.approx(np.mean(hits))


@pytest.mark.parametrize("cell", CELLS)
def test_centroids_are_scikit_learns(cell):
    X, y, X_test, sample, labels = case(*cell)
    ours = fit_centroids(sample.basis, labels, cell[0])
    p = ours.probabilities(sample.test_scores(ours.reduced[None])[0])
    assert (p.argmax(dim=1).numpy() == NearestCentroid().fit(X, y).predict(X_test)).all()
    hits = []
    for i in range(len(y)):
        others = [X[(y == k) & (np.arange(len(y)) != i)] for k in range(cell[0])]
        means = np.stack([rows.mean(axis=0) if len(rows) else X.mean(axis=0) for rows in others])
        hits.append(((X[i] - means) ** 2).sum(axis=1).argmin() == y[i])
    assert ours.loo_accuracy == pytest.approx(np.mean(hits))


def test_centroids_are_as_sure_as_they_are_right():
    *_, sample, labels = case(3, 2000, 20, noise=6.0)
    ours = fit_centroids(sample.basis, labels, 3)
    p = ours.probabilities(sample.basis.coordinates @ ours.reduced)
    assert 0.4 < ours.loo_accuracy < 0.8
    assert float(p.max(dim=1).values.mean()) == pytest.approx(ours.loo_accuracy, abs=0.03)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("shrinkage", [0.01, 0.5, 1.0])
def test_discriminant_is_scikit_learns(cell, shrinkage):
    X, y, X_test, sample, labels = case(*cell)
    ours = fit_discriminant(sample.basis, labels, cell[0], cell[2], shrinkage)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(X, y)
    p = ours.probabilities(sample.test_scores(ours.reduced[None])[0]).numpy()
    np.testing.assert_allclose(p, theirs.predict_proba(X_test), atol=1e-7)


@pytest.mark.parametrize("cell", CELLS)
def test_shrinkage_is_ledoit_and_wolfs(cell):
    X, y, _, sample, labels = case(*cell)
    means = np.stack([X[y == k].mean(axis=0) for k in range(cell[0])])
    expected = ledoit_wolf_shrinkage(X - means[y], assume_centered=True)
    assert fit_discriminant(sample.basis, labels, cell[0], cell[2]).shrinkage == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize(
    "which", ["equal rows", "a row a class", "one row", "equal rows within classes"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_samples_give_probabilities(which, dtype):
    generator = np.random.default_rng(0)
    X = generator.standard_normal((6, 9)).astype(np.float32)
    y = np.array([0, 0, 1, 1, 2, 2])
    if which == "equal rows":
        X[:] = X[0]
    elif which == "a row a class":
        y = np.arange(6)
    elif which == "one row":
        X, y = X[:1], y[:1]
    else:
        X = X[y]
    labels, n_classes = torch.from_numpy(y), 8  # classes without a row get next to nothing
    sample = Pool(torch.from_numpy(X), torch.from_numpy(X), [np.arange(len(X))]).sample(
        np.arange(len(X)), dtype
    )
    centroids = fit_centroids(sample.basis, labels, n_classes)
    discriminant = fit_discriminant(sample.basis, labels, n_classes, 9)
    for p in (
        fit_neighbours(sample.basis, labels, n_classes).probabilities(sample.test_coordinates()),
        centroids.probabilities(sample.test_scores(centroids.reduced[None])[0]),
        discriminant.probabilities(sample.test_scores(discriminant.reduced[None])[0]),
    ):
        assert p.shape == (len(X), n_classes) and torch.isfinite(p).all()
        torch.testing.assert_close(p.sum(dim=1), torch.ones(len(X), dtype=dtype))
        assert (p[:, y.max() + 1 :] == 0).all()
