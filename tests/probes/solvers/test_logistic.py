"""The logistic solver against scikit-learn (lbfgs at tol 1e-10, newton-cholesky) and its own
invariances."""

import functools
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from probes.metrics import score
from probes.solvers.logistic import LogisticPath, fit_logistic_path
from probes.solvers.rowspace import RowSpace, feature_scale, row_space

CS = (0.01, 1.0, 100.0)
GAP = {torch.float32: 1e-4, torch.float64: 1e-6}


def sample(
    n: int, d: int, n_classes: int, *, seed: int = 0, skewed: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Class means plus noise with a decaying spectrum, 10 % of the labels wrong; every class
    occurs."""
    generator = np.random.default_rng(seed)
    shares = 0.6 ** np.arange(n_classes) if skewed else np.ones(n_classes)
    y = np.concatenate(
        [np.arange(n_classes), generator.choice(n_classes, n - n_classes, p=shares / shares.sum())]
    )
    X = (
        0.7 * generator.standard_normal((n_classes, d))[y] + generator.standard_normal((n, d))
    ) / np.sqrt(1 + np.arange(d))
    wrong = (np.arange(n) >= n_classes) & (generator.random(n) < 0.1)
    y[wrong] = generator.integers(0, n_classes, wrong.sum())
    order = generator.permutation(n)
    X = X[order] + 0.3
    return X * feature_scale(X), y[order]


def fit(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    dtype: torch.dtype = torch.float64,
    Cs=CS,
    weight: np.ndarray | None = None,
) -> tuple[RowSpace, LogisticPath]:
    space = row_space(torch.from_numpy(X), dtype)
    given = None if weight is None else torch.from_numpy(weight).to(dtype)[None, :, None]
    path = fit_logistic_path(
        space.coordinates[None], torch.from_numpy(y)[None], n_classes, Cs, sample_weight=given
    )
    return space, path


def original(space: RowSpace, path: LogisticPath, i: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (d, K) and intercepts (K,) float64 for the features themselves."""
    W = space.weights(path.weights[i, 0, 0]).double().numpy()
    return W, path.intercepts[i, 0, 0].double().numpy() - space.centre.double().numpy() @ W


def objective_and_gradient(X, y, W, b, C, weight) -> tuple[float, float]:
    """scikit-learn's objective over the weight sum at softmax weights W, in float64, and the
    max-norm of its gradient."""
    logits = X @ W + b
    log_z = np.logaddexp.reduce(logits, axis=1)
    share = weight / weight.sum()
    penalty = (
        1 if W.shape[1] > 2 else 2
    )  # the sigmoid's vector is twice as long: its square four times, shared by two columns
    strength = penalty / (C * weight.sum())
    value = share @ (log_z - logits[np.arange(len(y)), y]) + strength / 2 * np.sum(W**2)
    residual = share[:, None] * (np.exp(logits - log_z[:, None]) - np.eye(W.shape[1])[y])
    gradient = np.concatenate([(X.T @ residual + strength * W).ravel(), residual.sum(axis=0)])
    return float(value), float(np.abs(gradient).max())


def reference(X, y, C, weight, solver: str) -> tuple[np.ndarray, np.ndarray]:
    model = LogisticRegression(C=C, tol=1e-10, max_iter=20_000, solver=solver).fit(
        X, y, sample_weight=weight
    )
    if len(model.classes_) == 2:
        return np.concatenate([-model.coef_, model.coef_]).T / 2, np.concatenate(
            [-model.intercept_, model.intercept_]
        ) / 2
    return model.coef_.T, model.intercept_


CELLS = [
    # n, d, K, skewed, weighted, solver of the reference
    (40, 96, 2, False, False, "newton-cholesky"),
    (150, 32, 2, True, True, "newton-cholesky"),
    (48, 64, 3, True, True, "newton-cholesky"),
    (160, 32, 3, False, False, "newton-cholesky"),
    (60, 384, 20, False, False, "lbfgs"),
    (160, 32, 20, True, True, "lbfgs"),
    pytest.param(90, 384, 77, False, False, "lbfgs", marks=pytest.mark.slow),
]
GRID = [
    (n, d, n_classes, skewed, skewed, "lbfgs" if n_classes > 3 else "newton-cholesky")
    for n_classes in (2, 3, 20, 77)
    for d in (32, 384, 768)
    for n in (d - d // 4 + n_classes, 2 * d + n_classes)
    for skewed in (False, True)
]
"""The whole grid, for `make test-all`."""


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize(
    ("n", "d", "n_classes", "skewed", "weighted", "solver"),
    CELLS + [pytest.param(*cell, marks=pytest.mark.grid) for cell in GRID],
)
def test_reaches_the_optimum_of_scikit_learn(n, d, n_classes, skewed, weighted, solver, dtype):
    problem = solved_by_scikit_learn(n, d, n_classes, skewed, weighted, solver)
    X, y, weight = problem.X[:n], problem.y[:n], problem.weight
    space, path = fit(X, y, n_classes, dtype, problem.Cs, weight if weighted else None)
    assert path.converged.all()
    for i, C in enumerate(problem.Cs):
        W, b = original(space, path, i)
        best_W, best_b = problem.optima[i]
        ours, gradient = objective_and_gradient(X, y, W, b, C, weight)
        best, _ = objective_and_gradient(X, y, best_W, best_b, C, weight)
        assert ours == pytest.approx(
            float(path.objectives[i, 0, 0]), rel=1e-4 if dtype == torch.float32 else 1e-8
        )
        assert (ours - best) / best <= GAP[dtype]
        assert dtype == torch.float32 or gradient <= 1e-5
        check_predictions(problem.X[n:] @ W + b, problem.X[n:] @ best_W + best_b, problem.y[n:])


@dataclass(frozen=True)
class Solved:
    """A problem of which the first rows are for training, with scikit-learn's optimum (W, b) at
    each C."""

    X: np.ndarray
    y: np.ndarray
    weight: np.ndarray
    Cs: tuple[float, ...]
    optima: list[tuple[np.ndarray, np.ndarray]]


@functools.cache
def solved_by_scikit_learn(
    n: int, d: int, n_classes: int, skewed: bool, weighted: bool, solver: str
) -> Solved:
    X, y = sample(n + 500, d, n_classes, skewed=skewed)
    first = np.unique(y, return_index=True)[1]  # every class on the training side
    order = np.concatenate([first, np.setdiff1d(np.arange(len(y)), first)])
    X, y = X[order], y[order]
    weight = np.random.default_rng(1).uniform(0.2, 3, n) if weighted else np.ones(n)
    Cs = CS if n_classes < 20 else (0.01, 1.0) if n_classes == 20 else (1.0,)
    return Solved(X, y, weight, Cs, [reference(X[:n], y[:n], C, weight, solver) for C in Cs])


def check_predictions(logits: np.ndarray, best_logits: np.ndarray, y: np.ndarray) -> None:
    """Labels agree but for rows on the fence; metrics within 0.2 points."""
    ours, best = (
        torch.softmax(torch.from_numpy(values), dim=1).numpy() for values in (logits, best_logits)
    )
    differs = ours.argmax(axis=1) != best.argmax(axis=1)
    margin = np.diff(np.sort(best, axis=1)[:, -2:], axis=1)[:, 0]
    assert differs.mean() <= 0.005
    assert (margin[differs] < 1e-3).all()
    labels = np.arange(logits.shape[1])
    theirs = score(y, best, labels)
    for name, value in score(y, ours, labels).items():
        assert abs(value - theirs[name]) <= 2e-3 + 1e-9, (
            name
        )  # of 500 rows one may be classified otherwise


def test_samples_and_replicas_of_a_batch_are_those_fitted_alone():
    samples = [sample(60, 20, 3, seed=seed) for seed in range(3)]
    X = torch.stack([torch.from_numpy(X) for X, _ in samples])
    labels = torch.stack([torch.from_numpy(y) for _, y in samples])
    weight = torch.from_numpy(np.random.default_rng(0).uniform(0, 2, (3, 60, 4)).round())
    together = fit_logistic_path(X, labels, 3, CS, sample_weight=weight)
    alone = fit_logistic_path(X[1:2], labels[1:2], 3, CS, sample_weight=weight[1:2, :, 2:3])
    torch.testing.assert_close(
        together.objectives[:, 1, 2], alone.objectives[:, 0, 0], rtol=1e-9, atol=0
    )
    torch.testing.assert_close(
        together.weights[:, 1, 2], alone.weights[:, 0, 0], rtol=1e-3, atol=1e-5
    )


def test_rows_of_weight_zero_are_rows_left_out():
    X, y = sample(60, 20, 3)
    weight = (np.arange(60) >= 10).astype(float)
    _, held_out = fit(X, y, 3, weight=weight)
    _, left_out = fit(X[10:], y[10:], 3)
    torch.testing.assert_close(held_out.objectives, left_out.objectives, rtol=1e-9, atol=0)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 1000),
    n=st.integers(8, 30),
    d=st.integers(2, 30),
    n_classes=st.integers(2, 4),
)
def test_invariant_to_order_rotation_and_halved_duplicates(seed, n, d, n_classes):
    X, y = sample(n, d, n_classes, seed=seed)
    generator = np.random.default_rng(seed)
    order, rotation = generator.permutation(n), np.linalg.qr(generator.standard_normal((d, d)))[0]
    _, plain = fit(X, y, n_classes, Cs=(0.1, 10.0))
    _, moved = fit((X @ rotation)[order], y[order], n_classes, Cs=(0.1, 10.0))
    _, doubled = fit(
        np.tile(X, (2, 1)), np.tile(y, 2), n_classes, Cs=(0.1, 10.0), weight=np.full(2 * n, 0.5)
    )
    torch.testing.assert_close(moved.objectives, plain.objectives, rtol=1e-8, atol=1e-12)
    torch.testing.assert_close(doubled.objectives, plain.objectives, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("scale", [0.0, 1e-10, 1e6, 1e12])
def test_degenerate_samples_are_finite(n_classes, scale):
    X, y = sample(20, 8, n_classes)
    X = X * scale
    X[:, 3] = 7.0  # a constant feature
    for dtype in (torch.float32, torch.float64):
        space, path = fit(X, y, n_classes, dtype)
        logits = (
            space.scores(torch.from_numpy(X).to(dtype), path.weights[:, 0, 0])
            + path.intercepts[:, 0, 0][:, None]
        )
        assert torch.isfinite(logits).all()
        assert torch.isfinite(path.objectives).all()
        if scale == 0.0:  # nothing to go by: the class frequencies
            frequency = torch.bincount(torch.from_numpy(y)).to(dtype) / len(y)
            torch.testing.assert_close(
                torch.softmax(logits[0, 0], dim=0), frequency, atol=1e-4, rtol=1e-3
            )


@pytest.mark.parametrize("n_classes", [2, 4])
def test_classes_without_weight_get_probability_zero(n_classes):
    X, y = sample(30, 10, 2)
    y = y * (n_classes - 2)  # of 2 classes one is left, of 4 two
    for dtype in (torch.float32, torch.float64):
        space, path = fit(X, y, n_classes, dtype)
        logits = (
            space.scores(torch.from_numpy(X).to(dtype), path.weights[:, 0, 0])
            + path.intercepts[:, 0, 0][:, None]
        )
        probabilities = torch.softmax(logits, dim=-1)
        unseen = np.setdiff1d(np.arange(n_classes), y)
        assert (probabilities[:, :, unseen] == 0).all()
        assert path.converged.all()


@pytest.mark.parametrize(("n", "n_classes"), [(12, 12), (300, 150)])
def test_many_classes_of_few_rows(n, n_classes):
    X, y = sample(n, 40, n_classes)
    space, path = fit(X, y, n_classes, Cs=(1.0,))
    best_W, best_b = reference(X, y, 1.0, np.ones(n), "lbfgs")
    W, b = original(space, path, 0)
    ours, gradient = objective_and_gradient(X, y, W, b, 1.0, np.ones(n))
    best, _ = objective_and_gradient(X, y, best_W, best_b, 1.0, np.ones(n))
    assert path.converged.all() and gradient <= 1e-5
    assert (ours - best) / best <= GAP[torch.float64]


def test_refuses_an_impossible_grid():
    X, y = sample(10, 4, 2)
    with pytest.raises(ValueError, match="must be positive"):
        fit(X, y, 2, Cs=(-1.0,))
