"""Samples of a pool through shared inner products: the same probes as each sample by itself."""

import numpy as np
import pytest
import torch

from probes.solvers.pool import Pool
from probes.solvers.ridge import fit_ridge_path
from probes.solvers.rowspace import row_space


def pool_of(
    n_columns: int, offset: float = 0.0, n_test: int = 50
) -> tuple[torch.Tensor, torch.Tensor, list[np.ndarray]]:
    generator = np.random.default_rng(0)
    X = torch.from_numpy((generator.standard_normal((120, n_columns)) + offset).astype(np.float32))
    X_test = torch.from_numpy(
        (generator.standard_normal((n_test, n_columns)) + offset).astype(np.float32)
    )
    return (
        X,
        X_test,
        [generator.permutation(120)[:n] for n in (2, 5, 32, 64, 100) for _ in range(3)],
    )


@pytest.mark.parametrize("n_columns", [3, 40, 300])
@pytest.mark.parametrize("offset", [0.0, 30.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_sample_is_its_own_row_space(n_columns, offset, dtype):
    X, X_test, draws = pool_of(n_columns, offset)
    pool = Pool(X, X_test, draws)
    assert pool.shares_products == (n_columns > 3)
    for rows in draws:
        sample, space = pool.sample(rows, dtype), row_space(X[rows], dtype)
        labels = torch.from_numpy(np.arange(len(rows)) % 2)
        ours, reference = (
            fit_ridge_path(basis, labels, 2, (1e-3, 1.0)) for basis in (sample.basis, space)
        )
        assert sample.basis.left.dtype == dtype
        close = (
            {"atol": 2e-4 * (1 + offset), "rtol": 1e-4}
            if dtype == torch.float32
            else {"atol": 1e-9, "rtol": 1e-7}
        )
        torch.testing.assert_close(sample.basis.singular, space.singular, **close)
        torch.testing.assert_close(ours.held_out_scores, reference.held_out_scores, **close)
        torch.testing.assert_close(
            sample.test_scores(ours.reduced),
            space.scores(X_test.to(dtype), reference.reduced),
            **close,
        )


def test_a_weighted_sample_is_its_own_weighted_row_space():
    generator = torch.Generator().manual_seed(0)
    X, X_test = torch.randn(60, 40, generator=generator), torch.randn(30, 40, generator=generator)
    rows = np.arange(5, 30)
    weight = torch.rand(25, generator=generator) + 0.1
    pool = Pool(X, X_test, [rows, rows + 1])
    assert pool.shares_products
    sample = pool.sample(rows, torch.float64, weight)
    space = row_space(X[rows], torch.float64, weight)
    np.testing.assert_allclose(sample.basis.singular, space.singular, rtol=1e-9)
    reduced = torch.randn(1, 24, 3, generator=generator, dtype=torch.float64)
    signs = (sample.basis.left * space.left).sum(dim=0).sign()
    ours = sample.test_scores(reduced * signs[None, :, None])
    np.testing.assert_allclose(ours, space.scores(X_test.double(), reduced), atol=1e-9)


def test_equal_rows_span_nothing():
    X, X_test, _ = pool_of(60, offset=5.0)
    X[:10] = X[0]
    rows = np.arange(10)
    sample = Pool(X, X_test, [rows, np.arange(40, 90)]).sample(rows)
    assert sample.basis.left.shape == (10, 0) and sample.basis.singular.shape == (0,)
    scores = sample.test_scores(torch.zeros(2, 0, 3))
    assert scores.shape == (2, len(X_test), 3) and (scores == 0).all()


def test_products_are_shared_where_that_is_less_work():
    X, X_test, _ = pool_of(60)
    assert not Pool(X, X_test, []).shares_products
    assert not Pool(X, X_test, [np.arange(80)]).shares_products  # more rows than columns
    assert not Pool(
        X, X_test, [np.arange(i, i + 2) for i in range(0, 60, 2)]
    ).shares_products  # few meet
    assert Pool(X, X_test, [np.arange(60)] * 3).shares_products


def test_sharing_stops_at_its_memory(monkeypatch):
    X, X_test, draws = pool_of(300)
    monkeypatch.setattr("probes.solvers.pool.MAX_PRODUCTS_BYTES", 1000)
    assert not Pool(X, X_test, draws).shares_products
