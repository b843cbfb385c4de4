"""The feature battery: everything that is known of one (sample, evaluation sample, embedding space) before more is labelled."""

import numpy as np

from probes.features.confidence import atc_accuracy, confidence_profile, doc_accuracy
from probes.features.crossfit import RidgeFit, fit_ridge
from probes.features.decomposition import decompose
from probes.features.separability import effective_rank, fisher_ratio, h_score, knn_loo_accuracy, logme, nc1
from probes.features.shift import domain_auc, frechet_distance, mmd2, sliced_wasserstein

FRECHET_RANK = 64
MAX_SHIFT_ROWS = 160
"""Rows of either sample that the distances between them are computed from: their cost is quadratic in it."""
MAX_EVAL_ROWS = 512
"""Evaluation rows used: a seeded sample of them where there are more."""


def embedding_features(
    X: np.ndarray, y: np.ndarray, X_eval: np.ndarray, n_classes: int, *, seed: int, fit: RidgeFit | None = None
) -> dict[str, float]:
    """Scores of labelled rows X (n, d) with y (n,) int64 in 0..n_classes-1, beside unlabelled rows X_eval (m, d).

    Names without a prefix are of the labelled sample; `shift_` between the two; `eval_` estimates for the evaluation rows from
    confidences. `fit` is `fit_ridge(X, y, n_classes)` where the caller has it. NaN where a score is undefined (fewer than 2
    rows). Raises ValueError for fewer than 4 rows or one class.
    """
    X_eval = sample_rows(X_eval, MAX_EVAL_ROWS, seed)
    check_sample(X, y)
    fit = fit or fit_ridge(X, y, n_classes)
    centred = fit.decomposition
    raw = decompose(X)
    fisher = fisher_ratio(X, y, n_classes)
    collapse = nc1(X, y, n_classes)
    features = {
        "ridge_loo_accuracy": float(np.mean(fit.loo_scores.argmax(axis=1) == y)),
        "ridge_log10_penalty": float(np.log10(fit.penalty)),
        "ridge_log2_temperature": float(np.log2(fit.temperature)),
        "logme": logme(X, y, n_classes, decomposition=raw),
        "h_score": h_score(X, y, n_classes, decomposition=centred),
        "log_fisher_ratio": float(np.log(np.clip(fisher, 1e-6, 1e6))),
        "log_nc1": float(np.log(np.clip(collapse, 1e-6, 1e6))),
        "knn_loo_accuracy": knn_loo_accuracy(X, y),
        "effective_rank": effective_rank(centred.singular),
    }
    return {**features, **_shift_features(X, X_eval, seed), **_confidence_features(fit, y, X_eval)}


def check_sample(X: np.ndarray, y: np.ndarray) -> None:
    """Raises ValueError where a sample is too small to describe: fewer than 4 rows, or one class."""
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} rows and y {len(y)}")
    if len(y) < 4 or len(np.unique(y)) < 2:
        raise ValueError(f"{len(y)} rows of {len(np.unique(y))} class(es): at least 4 rows of 2 classes are needed")


def sample_rows(X: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """At most `n_rows` rows of X, drawn without replacement, in their order."""
    if len(X) <= n_rows:
        return X
    return X[np.sort(np.random.default_rng(seed).choice(len(X), n_rows, replace=False))]


def _shift_features(X: np.ndarray, X_eval: np.ndarray, seed: int) -> dict[str, float]:
    X, X_eval = sample_rows(X, MAX_SHIFT_ROWS, seed), sample_rows(X_eval, MAX_SHIFT_ROWS, seed)
    variance = float(X.var(axis=0, dtype=np.float64).sum() + X_eval.var(axis=0, dtype=np.float64).sum()) / 2 or 1.0
    of_train, of_eval = X / np.sqrt(variance), X_eval / np.sqrt(variance)
    auc, distance = domain_auc(of_train, of_eval)
    return {
        "shift_mmd2": mmd2(of_train, of_eval),
        "shift_frechet": frechet_distance(of_train, of_eval, rank=FRECHET_RANK),
        "shift_domain_auc": auc,
        "shift_proxy_a_distance": distance,
        "shift_sliced_wasserstein": sliced_wasserstein(of_train, of_eval) * float(np.sqrt(X.shape[1])),
    }


def _confidence_features(fit: RidgeFit, y: np.ndarray, X_eval: np.ndarray) -> dict[str, float]:
    held_out = fit.probabilities(fit.loo_scores)
    of_eval = fit.probabilities(fit.scores(X_eval))
    return {
        "eval_atc_accuracy": atc_accuracy(held_out, y, of_eval),
        "eval_doc_accuracy": doc_accuracy(held_out, y, of_eval),
        **{f"train_{name}": value for name, value in confidence_profile(held_out).items()},
        **{f"eval_{name}": value for name, value in confidence_profile(of_eval).items()},
    }
