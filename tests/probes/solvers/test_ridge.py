"""Ridge and its leave-one-out against scikit-learn and brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import RidgeClassifier, RidgeClassifierCV

from probes.solvers.ridge import RidgePath, fit_ridge_path
from probes.solvers.rowspace import RowSpace, feature_scale, row_space
from probes.solvers.temperature import MAX_TEMPERATURE

CS = (1e-4, 1e-2, 1.0, 10.0)


def sample(n: int, d: int, n_classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Class means plus noise with a decaying spectrum, 10 % of the labels wrong."""
    generator = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), generator.integers(0, n_classes, n - n_classes)])
    X = (
        generator.standard_normal((n_classes, d))[y] + generator.standard_normal((n, d))
    ) / np.sqrt(1 + np.arange(d)) + 0.3
    wrong = np.arange(n) >= n_classes
    wrong &= generator.random(n) < 0.1
    y[wrong] = generator.integers(0, n_classes, wrong.sum())
    return X * feature_scale(X), y


def fit(X: np.ndarray, y: np.ndarray, n_classes: int, Cs=CS, dtype=torch.float64):
    space = row_space(torch.from_numpy(X), dtype)
    return space, fit_ridge_path(space, torch.from_numpy(y), n_classes, Cs)


def predict(path: RidgePath, space: RowSpace, X: torch.Tensor) -> torch.Tensor:
    """(c, m, K) probabilities of rows X (m, d)."""
    return path.probabilities(space.scores(X, path.reduced) + path.intercept)


@pytest.mark.parametrize(
    ("n", "d", "n_classes"), [(30, 64, 3), (90, 32, 3), (60, 60, 2), (61, 60, 5)]
)
def test_scores_and_leave_one_out_equal_brute_force(n, d, n_classes):
    X, y = sample(n, d, n_classes)
    _, path = fit(X, y, n_classes)
    for i, C in enumerate(CS):
        for row in (0, n // 2, n - 1):
            others = np.arange(n) != row
            design, target = X[others], np.eye(n_classes)[y[others]]
            centre, mean = design.mean(axis=0), target.mean(axis=0)
            gram = (design - centre).T @ (design - centre) + np.eye(d) / C
            W = np.linalg.solve(gram, (design - centre).T @ (target - mean))
            np.testing.assert_allclose(
                path.loo_scores[i, row], (X[row] - centre) @ W + mean, atol=1e-7
            )


@pytest.mark.parametrize(("n", "d", "n_classes"), [(40, 96, 3), (200, 48, 6), (128, 384, 20)])
def test_float32_classifies_as_scikit_learn(n, d, n_classes):
    X, y = sample(n + 200, d, n_classes)
    space, path = fit(X[:n], y[:n], n_classes, dtype=torch.float32)
    probabilities = predict(path, space, torch.from_numpy(X[n:]).float()).numpy()
    for i, C in enumerate(CS):
        reference = RidgeClassifier(alpha=1 / C).fit(X[:n], y[:n])
        scores = reference.decision_function(X[n:]) / 2
        margin = np.diff(np.sort(scores, axis=1)[:, -2:], axis=1)[:, 0]
        differs = probabilities[i].argmax(axis=1) != scores.argmax(axis=1)
        assert (margin[differs] < 1e-3).all()
        assert differs.mean() <= 0.005


def test_leave_one_out_scores_equal_ridge_classifier_cv():
    X, y = sample(80, 40, 4)
    reference = RidgeClassifierCV(alphas=[1 / C for C in CS], store_cv_results=True).fit(X, y)
    _, path = fit(X, y, 4)
    errors = reference.cv_results_.mean(axis=(0, 1))  # of targets -1 and 1: four times ours
    target = np.eye(4)[y]
    ours = ((path.loo_scores.numpy() - target) ** 2).mean(axis=(1, 2))
    np.testing.assert_allclose(4 * ours, errors, rtol=1e-8)
    kept = path.held_out_scores.numpy() - path.loo_scores.numpy()
    np.testing.assert_allclose(
        kept, np.broadcast_to((target - target.mean(axis=0)) / 79, kept.shape), atol=1e-12
    )
    best = int(((path.held_out_scores.numpy() - target) ** 2).mean(axis=(1, 2)).argmin())
    assert path.best == best


def test_temperature_minimises_the_leave_one_out_log_loss():
    X, y = sample(120, 32, 4)
    _, path = fit(X, y, 4)

    def loss(i: int, t: float) -> float:
        return float(
            torch.nn.functional.cross_entropy(path.held_out_scores[i] * t, torch.from_numpy(y))
        )

    for i, t in enumerate(path.temperatures.tolist()):
        assert 0 <= t <= MAX_TEMPERATURE
        grid = [loss(i, other) for other in np.geomspace(0.01, MAX_TEMPERATURE, 200)]
        assert loss(i, t) <= min(grid) + 1e-4


def test_classes_without_rows_get_probability_zero():
    X, y = sample(40, 16, 3)
    space, path = fit(X, y, 5)
    probabilities = predict(path, space, torch.from_numpy(X))
    assert (probabilities[:, :, 3:] == 0).all()
    torch.testing.assert_close(
        probabilities.sum(dim=-1), torch.ones(len(CS), 40, dtype=torch.float64)
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(6, 40), d=st.integers(2, 40))
def test_invariant_to_row_order_and_rotation(seed, n, d):
    X, y = sample(n, d, 3, seed)
    generator = np.random.default_rng(seed)
    order, rotation = generator.permutation(n), np.linalg.qr(generator.standard_normal((d, d)))[0]
    _, plain = fit(X, y, 3)
    _, moved = fit((X @ rotation)[order], y[order], 3)
    torch.testing.assert_close(moved.loo_scores, plain.loo_scores[:, order], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e12])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_degenerate_samples_are_finite(scale, dtype):
    X, y = sample(20, 8, 3)
    X = X * scale
    X[:, 3] = 7.0  # a constant feature
    space, path = fit(X, y, 3, dtype=dtype)
    probabilities = predict(path, space, torch.from_numpy(X).to(dtype))
    assert torch.isfinite(probabilities).all()
    assert torch.isfinite(path.loo_scores).all()


def test_one_row_each_of_all_classes():
    X, y = sample(4, 16, 4)
    space, path = fit(X, y, 4)
    # scores, because in leave-one-out every row is wrong: the probabilities are all but equal
    scores = space.scores(torch.from_numpy(X), path.reduced) + path.intercept
    assert (scores[-1].argmax(dim=-1).numpy() == y).all()


def test_refuses_an_impossible_grid():
    X, y = sample(10, 4, 2)
    with pytest.raises(ValueError, match="must be positive"):
        fit(X, y, 2, Cs=(0.0, 1.0))


@pytest.mark.parametrize("n", [16, 50, 64, 100, 300, 512])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("noise", [0.0, 1e-3])
def test_features_that_say_nothing_are_at_chance_whatever_rounds(n, dtype, noise):
    """Equal rows (the first token's embedding is one for all texts): no round-off may tell a row's
    own class."""
    X = 1.37 + noise * np.random.default_rng(n).standard_normal((n, 6))
    y = np.arange(n) % 10
    _, path = fit(X, y, 10, dtype=dtype)
    accuracy = (path.held_out_scores.argmax(dim=-1).numpy() == y).mean(axis=1)
    assert (accuracy < 0.1 + 4 * np.sqrt(0.09 / n)).all(), accuracy
    if noise == 0:
        assert (path.held_out_scores == path.intercept).all()


@pytest.mark.parametrize(("n", "d", "n_classes"), [(30, 64, 3), (90, 32, 4), (60, 60, 2)])
def test_weighted_scores_and_leave_one_out_equal_brute_force(n, d, n_classes):
    X, y = sample(n, d, n_classes)
    weight = np.random.default_rng(1).uniform(0.2, 3, n)
    space = row_space(torch.from_numpy(X), torch.float64, torch.from_numpy(weight))
    path = fit_ridge_path(space, torch.from_numpy(y), n_classes, CS)
    scores = space.scores(torch.from_numpy(X), path.reduced) + path.intercept

    def brute_force(rows: np.ndarray, C: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        w, design, target = weight[rows], X[rows], np.eye(n_classes)[y[rows]]
        centre, mean = w @ design / w.sum(), w @ target / w.sum()
        gram = (design - centre).T @ ((design - centre) * w[:, None]) + np.eye(d) / C
        return (
            np.linalg.solve(gram, (design - centre).T @ ((target - mean) * w[:, None])),
            centre,
            mean,
        )

    for i, C in enumerate(CS):
        W, centre, mean = brute_force(np.arange(n), C)
        np.testing.assert_allclose(scores[i], (X - centre) @ W + mean, atol=1e-7)
        reference = (
            RidgeClassifier(alpha=1 / C, solver="cholesky")
            .fit(X, y, sample_weight=weight)
            .decision_function(X)
        )
        own = 2 * scores[i].numpy() - 1
        np.testing.assert_allclose(own[:, 1] if n_classes == 2 else own, reference, atol=1e-6)
        for row in (0, n - 1):
            W, centre, mean_without = brute_force(np.flatnonzero(np.arange(n) != row), C)
            np.testing.assert_allclose(
                path.loo_scores[i, row], (X[row] - centre) @ W + mean_without, atol=1e-7
            )
            kept = path.held_out_scores[i, row] - path.loo_scores[i, row]
            np.testing.assert_allclose(kept, mean - mean_without, atol=1e-10)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000), st.sampled_from([24, 90]), st.sampled_from([32, 48]))
def test_duplicated_rows_with_halved_weights_are_the_same_sample(seed, n, d):
    X, y = sample(n, d, 3, seed)
    once, path = fit(X, y, 3)
    twice = row_space(
        torch.from_numpy(np.repeat(X, 2, axis=0)), torch.float64, torch.full((2 * n,), 0.5)
    )
    again = fit_ridge_path(twice, torch.from_numpy(np.repeat(y, 2)), 3, CS)
    rows = torch.from_numpy(X)
    np.testing.assert_allclose(
        twice.scores(rows, again.reduced) + again.intercept,
        once.scores(rows, path.reduced) + path.intercept,
        atol=1e-8,
    )


def test_weights_that_are_not_above_zero_are_refused():
    with pytest.raises(ValueError, match="above 0"):
        row_space(torch.eye(3), weight=torch.tensor([1.0, 0.0, 1.0]))
