"""Rows that belong together: left out together, never split, counted as less."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from probes.features import embedding_features
from probes.features.crossfit import curve_so_far, fit_prefixes, fit_ridge, nested_order
from probes.features.geometry import knn_loo_accuracy, neighbour_votes
from probes.features.row_groups import design_effect, parts_of_groups, prefix_end


def sample(n_rows: int, n_columns: int, n_groups: int, seed: int = 0, n_classes: int = 3):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(n_groups), rng.integers(0, n_groups, n_rows - n_groups)])
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    centres = rng.standard_normal((n_classes, n_columns))
    of_groups = rng.standard_normal((n_groups, n_columns))
    X = rng.standard_normal((n_rows, n_columns)) + centres[y] + of_groups[groups] + 3.0
    order = rng.permutation(n_rows)
    return X[order], y[order], groups[order] * 7 + 2


@settings(max_examples=25, deadline=None)
@given(
    n_rows=st.integers(12, 40),
    n_columns=st.sampled_from([3, 10, 60]),
    n_groups=st.integers(2, 10),
    seed=st.integers(0, 10**6),
)
def test_leaving_groups_out_by_formula_is_refitting_without_them(
    n_rows: int, n_columns: int, n_groups: int, seed: int
):
    X, y, groups = sample(n_rows, n_columns, n_groups, seed)
    fit = fit_ridge(X, y, 3, groups)
    scale = np.sqrt(n_columns) / np.mean(np.linalg.norm(X, axis=1))
    target = np.eye(3)[y]
    for group in np.unique(groups):
        inside = groups == group
        refitted = Ridge(alpha=fit.penalty).fit(X[~inside] * scale, target[~inside])
        frequencies_kept = target.mean(axis=0) - target[~inside].mean(axis=0)
        assert fit.loo_scores[inside] == pytest.approx(
            refitted.predict(X[inside] * scale) + frequencies_kept, abs=1e-5
        )


@pytest.mark.parametrize("n_columns", [8, 50])
def test_groups_of_one_row_change_nothing(n_columns: int):
    X, y, _ = sample(40, n_columns, 10)
    alone = np.random.default_rng(1).permutation(40)
    assert np.array_equal(fit_ridge(X, y, 3, alone).loo_scores, fit_ridge(X, y, 3).loo_scores)
    assert knn_loo_accuracy(X, y, groups=alone) == knn_loo_accuracy(X, y)
    assert np.array_equal(
        neighbour_votes(X, y, 3, None, groups=alone), neighbour_votes(X, y, 3, None)
    )
    X_eval = np.random.default_rng(2).standard_normal((30, n_columns))
    plain = embedding_features(X, y, X_eval, 3, seed=0)
    grouped = embedding_features(X, y, X_eval, 3, seed=0, groups=alone)
    by_order = {"mdl_bits_per_row"} | {name for name in plain if "gde" in name or "churn" in name}
    assert {name: plain[name] for name in plain if name not in by_order} == pytest.approx(
        {name: grouped[name] for name in plain if name not in by_order}, nan_ok=True
    )


def test_copies_of_random_rows_are_not_learnt():
    rng = np.random.default_rng(0)
    X = np.repeat(rng.standard_normal((60, 100)), 5, axis=0)
    y = np.repeat(rng.permutation(60) % 2, 5)
    X += 0.01 * rng.standard_normal(X.shape)
    groups = np.repeat(np.arange(60), 5)

    def accuracy(groups: np.ndarray | None) -> float:
        return float(np.mean(fit_ridge(X, y, 2, groups).loo_scores.argmax(axis=1) == y))

    assert accuracy(None) > 0.9 and accuracy(groups) < 0.7
    assert knn_loo_accuracy(X, y) > 0.9 and knn_loo_accuracy(X, y, groups=groups) < 0.7
    for point in curve_so_far(X, y, 2, seed=0, groups=groups):
        assert np.mean(point.probabilities.argmax(axis=1) == point.labels) < 0.7


@settings(max_examples=30, deadline=None)
@given(n_rows=st.integers(12, 60), n_groups=st.integers(8, 12), seed=st.integers(0, 10**6))
def test_no_group_is_split(n_rows: int, n_groups: int, seed: int):
    X, y, groups = sample(n_rows, 4, n_groups, seed)
    for n_parts in (2, 4, 8):
        parts = parts_of_groups(y, groups, n_parts, np.random.default_rng(seed))
        assert set(parts.tolist()) == set(range(n_parts))
        for group in np.unique(groups):
            assert len(set(parts[groups == group].tolist())) == 1
    order = nested_order(y, seed=seed, groups=groups)
    assert sorted(order.tolist()) == list(range(n_rows))
    for size, _ in fit_prefixes(X, y, 3, order, groups):
        assert not set(groups[order[:size]].tolist()) & set(groups[order[size:]].tolist())


def test_a_prefix_ends_with_the_nearest_group():
    groups = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    order = np.arange(9)
    assert [prefix_end(size, order, groups) for size in (1, 4, 6, 9)] == [3, 3, 5, 9]
    assert prefix_end(4, order, None) == 4


def test_rows_that_are_right_together_count_as_fewer():
    hits = np.repeat(np.arange(40) % 2 == 0, 5)
    assert design_effect(hits, np.repeat(np.arange(40), 5)) == pytest.approx(5, rel=0.05)
    assert design_effect(hits, np.tile(np.arange(5), 40)) == 1.0
    assert design_effect(hits, None) == design_effect(np.ones(9), np.zeros(9)) == 1.0


def test_all_features_of_few_large_groups_are_numbers():
    X, y, groups = sample(90, 12, 5)
    features = embedding_features(X, y, X[:20], 3, seed=0, groups=groups)
    unknown = {name for name, value in features.items() if not np.isfinite(value)}
    assert unknown <= {f"eval_{kind}" for kind in ("churn_4", "churn_8")} | {
        "eval_gde_accuracy_4",
        "eval_gde_accuracy_8",
    }
