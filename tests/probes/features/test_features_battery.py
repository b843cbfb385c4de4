import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from probes.features import embedding_features
from probes.features.battery import sample_rows
from probes.features.confidence import confidence_profile
from probes.features.crossfit import fit_ridge, nested_order
from probes.features.divergence import gaussian_kl, knn_kl
from probes.features.geometry import twonn_dimension

PREFIXES = {
    f"eval_{name}"
    for name in (
        "gde_accuracy",
        "gde_accuracy_4",
        "gde_accuracy_8",
        "churn_2",
        "churn_4",
        "churn_8",
    )
}
OF_ORDER = {"nleep", "mdl_bits_per_row", *PREFIXES}
"""Features that depend on a seeded draw of rows, and so on the order the rows come in."""
KINDS = [
    "plain",
    "equal rows",
    "equal columns",
    "zeros",
    "repeated rows",
    "equal train",
    "equal eval",
    "two points",
]
OF_SCALE = {"logme"}
"""Features of the vectors as given."""


def gaussian_classes(n_rows, n_columns, n_classes=3, seed=0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return rng.standard_normal((n_rows, n_columns)) + rng.standard_normal((n_classes, n_columns))[
        y
    ] + 5.0, y


def described(X, y, X_eval, n_classes, seed=0):
    """The features, with every warning an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return embedding_features(X, y, X_eval, n_classes, seed=seed)


def undefined(features):
    return {name for name, value in features.items() if np.isnan(value)}


def test_battery_is_finite_deterministic_and_blind_to_eval_labels():
    X, y = gaussian_classes(64, 48)
    X_eval = gaussian_classes(700, 48, seed=1)[0]
    features = described(X.astype(np.float32), y, X_eval.astype(np.float32), 3)
    assert all(np.isfinite(value) for value in features.values())
    assert features == embedding_features(
        X.astype(np.float32), y, X_eval.astype(np.float32), 3, seed=0
    )
    assert len(sample_rows(X_eval, 512, 0)) == 512


def test_the_battery_holds_every_feature():
    X, y = gaussian_classes(32, 10)
    confidences = {"confidence", "margin", "entropy", "nuclear_norm"}
    assert set(described(X, y, X, 3)) == {
        *(
            "ridge_loo_accuracy",
            "ridge_log10_penalty",
            "ridge_log2_temperature",
            "logme",
            "h_score",
            "log_fisher_ratio",
        ),
        *(
            "log_nc1",
            "knn_loo_accuracy",
            "effective_rank",
            "transrate",
            "nleep",
            "silhouette",
            "log_twonn_dimension",
        ),
        *("log_task2vec_trace", "log_task2vec_columns", "mdl_bits_per_row"),
        *(
            "shift_mmd2",
            "shift_frechet",
            "shift_domain_auc",
            "shift_proxy_a_distance",
            "shift_sliced_wasserstein",
        ),
        *("shift_log_gaussian_kl", "shift_knn_kl"),
        *("eval_atc_accuracy", "eval_doc_accuracy", "eval_regressed_accuracy"),
        *PREFIXES,
        *(f"{sample}_{name}" for sample in ("train", "eval") for name in confidences),
    }


def test_doubling_a_sample_moves_fewer_evaluation_rows_the_larger_it_is():
    X, y = gaussian_classes(400, 10)
    X_eval = gaussian_classes(1500, 10, seed=1)[0]
    features = described(X, y, X_eval, 3)
    assert 0 < features["eval_churn_2"] < features["eval_churn_4"] < features["eval_churn_8"] < 1
    assert (
        features["eval_gde_accuracy"]
        > features["eval_gde_accuracy_4"]
        > features["eval_gde_accuracy_8"]
    )


def test_easier_labels_move_every_score_of_the_labels_the_right_way():
    X, y = gaussian_classes(120, 30, n_classes=4)
    hard = described(X, np.random.default_rng(0).permutation(y), X, 4)
    easy = described(X, y, X, 4)
    higher = {name for name in easy if easy[name] > hard[name] + 1e-6}
    lower = {name for name in easy if easy[name] < hard[name] - 1e-6}
    assert {
        "logme",
        "h_score",
        "transrate",
        "nleep",
        "silhouette",
        "log_fisher_ratio",
        "knn_loo_accuracy",
    } <= higher
    assert {"eval_gde_accuracy", "ridge_loo_accuracy", "eval_atc_accuracy"} <= higher
    assert {"mdl_bits_per_row", "log_nc1", "log_task2vec_trace"} <= lower


def test_a_shift_shows_in_every_measure_of_it():
    X, y = gaussian_classes(100, 20)
    near, far = described(X, y, X[::-1] + 0.1, 3), described(X, y, X[::-1] * 1.3 + 1.5, 3)
    assert all(near[name] < far[name] for name in near if name.startswith("shift_"))


def test_divergences_are_those_of_the_evaluation_rows_from_the_training_rows():
    X, y = gaussian_classes(120, 4)
    X_eval = 0.5 * gaussian_classes(60, 4, seed=1)[0] + 2.0
    features, swapped = described(X, y, X_eval, 3), described(X_eval, np.arange(60) % 3, X, 3)
    assert features["shift_log_gaussian_kl"] == pytest.approx(np.log(gaussian_kl(X, X_eval)))
    dimension = twonn_dimension(cdist(both := np.concatenate([X, X_eval]), both) ** 2)
    by_neighbours = knn_kl(cdist(X_eval, X_eval) ** 2, cdist(X_eval, X) ** 2, min(dimension, 4.0))
    assert features["shift_knn_kl"] == pytest.approx(by_neighbours, rel=1e-6)
    for name in ("shift_log_gaussian_kl", "shift_knn_kl"):
        assert abs(features[name] - swapped[name]) > 0.5


def test_agreement_is_that_of_probes_of_the_two_halves():
    X, y = gaussian_classes(41, 10)
    X_eval = gaussian_classes(200, 10, seed=1)[0]
    order = nested_order(y, seed=3)
    halves = [
        fit_ridge(X[rows], y[rows], 3).scores(X_eval).argmax(axis=1)
        for rows in (order[:20], order[20:])
    ]
    assert described(X, y, X_eval, 3, seed=3)["eval_gde_accuracy"] == np.mean(
        halves[0] == halves[1]
    )


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.integers(12, 40), st.integers(2, 40), st.integers(2, 6))
def test_the_order_of_the_rows_does_not_matter_but_where_it_is_said(
    seed, n_rows, n_columns, n_classes
):
    X, y = gaussian_classes(n_rows, n_columns, n_classes, seed)
    X_eval = gaussian_classes(30, n_columns, n_classes, seed + 1)[0]
    rng = np.random.default_rng(seed)
    order, other = rng.permutation(n_rows), rng.permutation(30)
    features, again = (
        described(X, y, X_eval, n_classes),
        described(X[order], y[order], X_eval[other], n_classes),
    )
    for name in features.keys() - OF_ORDER:
        assert again[name] == pytest.approx(features[name], rel=1e-6, abs=1e-6), name


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n_rows=st.integers(4, 24),
    n_columns=st.integers(1, 30),
    n_eval=st.integers(1, 24),
    n_classes=st.integers(2, 24),
    log_scale=st.integers(-15, 15),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 1000),
)
def test_degenerate_samples_give_numbers_or_nan_and_never_a_warning(
    kind, n_rows, n_columns, n_eval, n_classes, log_scale, dtype, seed
):
    rng = np.random.default_rng(seed)
    X, X_eval = (
        rng.standard_normal((n_rows, n_columns)),
        rng.standard_normal((n_eval, n_columns)) + 0.2,
    )
    y = rng.permutation(
        np.arange(n_rows) % n_classes
    )  # one row per class where n_classes >= n_rows
    if kind == "equal columns":
        X[:, n_columns // 2 :] = X_eval[:, n_columns // 2 :] = 2.0
    if kind in ("equal rows", "equal train"):
        X[:] = 0.1
    if kind in ("equal rows", "equal eval"):
        X_eval[:] = 0.1
    if kind == "zeros":
        X[:], X_eval[:] = 0.0, 0.0
    if kind == "repeated rows":
        X[n_rows // 2 :], X_eval[:] = X[: n_rows - n_rows // 2], X[rng.integers(0, n_rows, n_eval)]
    if kind == "two points":
        X, X_eval = X[:2][rng.integers(0, 2, n_rows)], X[:2][rng.integers(0, 2, n_eval)]
    scale = 10.0**log_scale
    features = described((X * scale).astype(dtype), y, (X_eval * scale).astype(dtype), n_classes)
    may_be_nan = {"log_twonn_dimension", "shift_knn_kl"} if kind != "plain" else set()
    may_be_nan |= {name for name in features if name.startswith("shift_")} if n_eval < 2 else set()
    may_be_nan |= {"eval_gde_accuracy", "eval_churn_2"} if n_rows < 8 else set()
    for part in (4, 8):
        may_be_nan |= (
            {f"eval_gde_accuracy_{part}", f"eval_churn_{part}"} if n_rows < 4 * part else set()
        )
    if n_rows + n_eval < 4 or n_rows < 4:
        may_be_nan |= {"log_twonn_dimension", "shift_knn_kl"}
    assert undefined(features) <= may_be_nan
    assert not any(np.isinf(value) for value in features.values())


@pytest.mark.parametrize("power", [-15, -8, 8, 15])
def test_tiny_and_huge_vectors_are_described_as_those_of_length_one(power):
    X, y = gaussian_classes(40, 12)
    X_eval = gaussian_classes(30, 12, seed=1)[0]
    features = described(X, y, X_eval, 3)
    scaled = described(
        (X * 10.0**power).astype(np.float32), y, (X_eval * 10.0**power).astype(np.float32), 3
    )
    for name in features.keys() - OF_SCALE:
        assert scaled[name] == pytest.approx(features[name], rel=2e-3, abs=2e-3), name
    assert np.isfinite(scaled["logme"])


@pytest.mark.parametrize(
    ("y", "complaint"), [([0, 0, 0, 0], "class"), ([0, 1, 0], "3 rows"), ([0, 1], "2")]
)
def test_samples_that_cannot_be_described_are_refused(y, complaint):
    X = np.random.default_rng(0).standard_normal((len(y), 5))
    with pytest.raises(ValueError, match=complaint):
        embedding_features(X, np.array(y), X, 2, seed=0)


def test_what_is_said_of_evaluation_rows_is_said_of_the_probes_probabilities():
    X, y = gaussian_classes(60, 12)
    X_eval = gaussian_classes(100, 12, seed=1)[0]
    fit = fit_ridge(X, y, 3)
    features = described(X, y, X_eval, 3)
    for sample, probabilities in (
        ("train", fit.probabilities(fit.loo_scores)),
        ("eval", fit.probabilities(fit.scores(X_eval))),
    ):
        for name, value in confidence_profile(probabilities).items():
            assert features[f"{sample}_{name}"] == pytest.approx(value), (sample, name)


def test_an_empty_evaluation_sample_is_refused():
    X, y = gaussian_classes(12, 5)
    with pytest.raises(ValueError, match="X_eval has no rows"):
        embedding_features(X, y, X[:0], 3, seed=0)
