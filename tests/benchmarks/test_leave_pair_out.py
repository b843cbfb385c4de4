"""The closed form of leave-pair-out, compared with probes that are fitted without each pair."""

import numpy as np
import pytest

from benchmarks.rare_classes import leave_pair_out_auroc
from probes.features.crossfit import fit_ridge


@pytest.mark.parametrize(("n_rows", "n_columns", "n_rare"), [(20, 4, 3), (12, 30, 5)])
def test_it_equals_refits_without_the_pair(n_rows: int, n_columns: int, n_rare: int):
    rng = np.random.default_rng(n_columns)
    y = (np.arange(n_rows) < n_rare).astype(np.int64)
    X = rng.standard_normal((n_rows, n_columns)) + 0.3 * y[:, None]
    fit = fit_ridge(X, y, 2)
    alpha = fit.penalty * float(np.mean(np.linalg.norm(X, axis=1)) ** 2) / n_columns

    def gap(one: int, other: int) -> float:
        kept = np.delete(np.arange(n_rows), [one, other])
        centred = X[kept] - X[kept].mean(axis=0)
        weights = np.linalg.solve(
            centred.T @ centred + alpha * np.eye(n_columns), centred.T @ y[kept]
        )
        return float((X[one] - X[other]) @ weights)

    wins = [gap(i, j) > 0 for i in range(n_rare) for j in range(n_rare, n_rows)]
    assert 0.5 < np.mean(wins) < 1
    assert leave_pair_out_auroc(fit, X, y) == pytest.approx(np.mean(wins))


def test_features_that_say_nothing_tie():
    y = np.array([0, 0, 0, 1, 1])
    X = np.ones((5, 3))
    assert leave_pair_out_auroc(fit_ridge(X, y, 2), X, y) == 0.5
