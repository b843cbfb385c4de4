"""The feature battery: all features of one (sample, evaluation sample, embedding space) that can be
computed before more rows are labelled.

Shared pieces are computed once: one decomposition of the centred sample (for ridge, LogME, H-score,
TransRate, NLEEP, effective rank), one matrix of its squared distances (silhouette, TwoNN), one
decomposition and one matrix of distances of the two samples together (MMD, domain classifier, both
divergences), and the probes of nested prefixes (MDL, disagreement).
"""

import numpy as np

from probes.features.complexity import online_code_length, task2vec_diagonal
from probes.features.confidence import (
    atc_accuracy,
    confidence_profile,
    doc_accuracy,
    gde_accuracy,
    regressed_accuracy,
    row_confidences,
)
from probes.features.crossfit import MIN_PART_ROWS, RidgeFit, fit_prefixes, fit_ridge, nested_order
from probes.features.decomposition import centred_rows, decompose
from probes.features.divergence import gaussian_kl, knn_kl
from probes.features.evidence import logme
from probes.features.geometry import (
    knn_loo_accuracy,
    neighbour_votes,
    silhouette,
    squared_distances,
    twonn_dimension,
)
from probes.features.row_groups import prefix_end
from probes.features.separability import effective_rank, fisher_ratio, h_score, nc1
from probes.features.shift import domain_auc, frechet_distance, mmd2, sliced_wasserstein
from probes.features.transfer import nleep, transrate

FRECHET_RANK = 64
"""Directions in which the covariances of the Fréchet distance are compared."""
MAX_SHIFT_ROWS = 160
"""Rows of each sample from which the distances between the samples are computed. Their cost grows
with the square of it."""
FEATURE_EVAL_ROWS = 2048
"""Evaluation rows that are used. Where there are more, a seeded sample of them is drawn. The mean
confidence of this many rows is less noisy than the leave-one-out accuracy that it corrects."""
PARTS = (2, 4, 8)
"""Probes of n / part labelled rows, for each of these parts, are compared with each other on the
evaluation rows."""
MAX_PAIR_ROWS = 1024
"""Labelled rows that silhouette and TwoNN use. Where there are more, a seeded sample of them is
drawn."""

ROUND_OFF = 1e-12
"""Where rows have length 1, anything smaller than this is round-off."""


def embedding_features(
    X: np.ndarray,
    y: np.ndarray,
    X_eval: np.ndarray,
    n_classes: int,
    *,
    seed: int,
    fit: RidgeFit | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """Features of labelled rows X (n, d) with y (n,) int64 in 0..n_classes-1, beside unlabelled
    rows X_eval (m, d).

    Names without a prefix describe the labelled sample. `shift_` compares the two samples. `eval_`
    are estimates for the evaluation rows from confidences. `fit` is `fit_ridge(X, y, n_classes,
    groups)` where the caller has it. `groups` (n,) int64: whatever is held out is held out with its
    group (`row_groups`); two groups or more. A feature that is undefined is NaN: with fewer than 2
    rows; agreements and churns of halves below 8 rows, of quarters below 16, of eighths below 32;
    dimensions where no rows differ. Other values are finite, without overflow, for components
    between 1e-15 and 1e15 in float32, 1e-100 and 1e60 in float64. Raises ValueError for fewer than
    4 rows, one class, or no evaluation row.
    """
    check_sample(X, y)
    if len(X_eval) == 0:
        raise ValueError(
            "X_eval has no rows; without an evaluation sample give the labelled rows, and ignore"
            " shift_ and eval_"
        )
    X_eval = sample_rows(X_eval, FEATURE_EVAL_ROWS, seed)
    fit = fit or fit_ridge(X, y, n_classes, groups)
    held_out, eval_scores = fit.probabilities(fit.loo_scores), fit.scores(X_eval)
    return {
        **_label_features(X, y, n_classes, fit, seed),
        **_pair_features(X, y, seed, groups),
        **_head_features(X, held_out),
        **_shift_features(X, X_eval, seed),
        **_confidence_features(held_out, fit.probabilities(eval_scores), X, y, X_eval, groups),
        **_prefix_features(X, y, n_classes, X_eval, eval_scores, seed, groups),
    }


def check_sample(X: np.ndarray, y: np.ndarray) -> None:
    """Raises ValueError where a sample is too small to describe: fewer than 4 rows, or one
    class."""
    if len(X) != len(y):
        raise ValueError(f"X has {len(X)} rows and y {len(y)}")
    if len(y) < 4 or len(np.unique(y)) < 2:
        raise ValueError(
            f"{len(y)} rows of {len(np.unique(y))} class(es): at least 4 rows of 2 classes are"
            " needed"
        )


def sample_rows(X: np.ndarray, n_rows: int, seed: int) -> np.ndarray:
    """At most `n_rows` rows of X, drawn without replacement, in their original order."""
    if len(X) <= n_rows:
        return X
    return X[np.sort(np.random.default_rng(seed).choice(len(X), n_rows, replace=False))]


def _label_features(
    X: np.ndarray, y: np.ndarray, n_classes: int, fit: RidgeFit, seed: int
) -> dict[str, float]:
    parts = fit.decomposition
    return {
        "ridge_loo_accuracy": float(np.mean(fit.loo_scores.argmax(axis=1) == y)),
        "ridge_log10_penalty": float(np.log10(fit.penalty)),
        "ridge_log2_temperature": float(np.log2(fit.temperature)),
        "logme": logme(X, y, n_classes, decomposition=parts),
        "h_score": h_score(X, y, n_classes, decomposition=parts),
        "log_fisher_ratio": _log(fisher_ratio(X, y, n_classes)),
        "log_nc1": _log(nc1(X, y, n_classes)),
        "effective_rank": effective_rank(parts.singular),
        "transrate": transrate(X, y, n_classes, decomposition=parts),
        "nleep": nleep(X, y, n_classes, seed=seed, decomposition=parts),
    }


def _pair_features(
    X: np.ndarray, y: np.ndarray, seed: int, groups: np.ndarray | None
) -> dict[str, float]:
    rows = sample_rows(np.arange(len(y)), MAX_PAIR_ROWS, seed)
    centred = centred_rows(X[rows])
    squared = squared_distances(centred @ centred.T)
    return {
        "knn_loo_accuracy": knn_loo_accuracy(X, y, groups=groups),
        "silhouette": silhouette(squared, y[rows]),
        "log_twonn_dimension": _log(twonn_dimension(squared)),
    }


def _head_features(X: np.ndarray, held_out: np.ndarray) -> dict[str, float]:
    row_norm = float(np.mean(np.linalg.norm(X, axis=1))) or 1.0
    # the trace of this is the mean over columns when rows are scaled to a norm of √d

    diagonal = task2vec_diagonal(centred_rows(X), held_out) / row_norm**2
    trace = float(diagonal.sum())
    n_columns = effective_rank(diagonal) if trace > ROUND_OFF else 1.0
    return {
        "log_task2vec_trace": _log(trace),
        "log_task2vec_columns": float(np.log(max(n_columns, 1.0))),
    }


def _shift_features(X: np.ndarray, X_eval: np.ndarray, seed: int) -> dict[str, float]:
    X, X_eval = sample_rows(X, MAX_SHIFT_ROWS, seed), sample_rows(X_eval, MAX_SHIFT_ROWS, seed)
    variance = (
        float(X.var(axis=0, dtype=np.float64).sum() + X_eval.var(axis=0, dtype=np.float64).sum())
        / 2
    )
    if variance <= ROUND_OFF**2 * float(np.sum(np.square(X[0], dtype=np.float64))):
        variance = 1.0  # each sample is a single point, so there is no unit
    of_train, of_eval = X / np.sqrt(variance), X_eval / np.sqrt(variance)
    both = centred_rows(np.concatenate([of_train, of_eval]))
    gram = both @ both.T
    squared, parts = squared_distances(gram), decompose(both, gram=gram)
    auc, distance = domain_auc(of_train, of_eval, decomposition=parts)
    dimension = float(np.minimum(twonn_dimension(squared), X.shape[1]))
    n_rows = len(X)
    return {
        "shift_mmd2": mmd2(of_train, of_eval, squared=squared),
        "shift_frechet": frechet_distance(of_train, of_eval, rank=FRECHET_RANK),
        "shift_domain_auc": auc,
        "shift_proxy_a_distance": distance,
        "shift_sliced_wasserstein": (
            sliced_wasserstein(of_train, of_eval) * float(np.sqrt(X.shape[1]))
        ),
        "shift_log_gaussian_kl": _log(gaussian_kl(of_train, of_eval, decomposition=parts)),
        "shift_knn_kl": knn_kl(squared[n_rows:, n_rows:], squared[n_rows:, :n_rows], dimension),
    }


def _confidence_features(
    held_out: np.ndarray,
    of_eval: np.ndarray,
    X: np.ndarray,
    y: np.ndarray,
    X_eval: np.ndarray,
    groups: np.ndarray | None,
) -> dict[str, float]:
    n_classes = held_out.shape[1]
    known = _row_evidence(held_out, neighbour_votes(X, y, n_classes, None, groups=groups))
    ahead = _row_evidence(of_eval, neighbour_votes(X, y, n_classes, X_eval))
    return {
        "eval_regressed_accuracy": regressed_accuracy(held_out.argmax(axis=1) == y, known, ahead),
        "eval_atc_accuracy": atc_accuracy(held_out, y, of_eval),
        "eval_doc_accuracy": doc_accuracy(held_out, y, of_eval),
        **{f"train_{name}": value for name, value in confidence_profile(held_out).items()},
        **{f"eval_{name}": value for name, value in confidence_profile(of_eval).items()},
    }


def _row_evidence(probabilities: np.ndarray, votes: np.ndarray) -> np.ndarray:
    """(m, 5) what supports the predicted class of each row: the probe's confidences (3 columns),
    the share of the nearest labelled rows that have this class, and the similarity of the nearest
    one."""
    support = votes[np.arange(len(votes)), probabilities.argmax(axis=1)]
    return np.column_stack([row_confidences(probabilities), support, votes[:, -1]])


def _prefix_features(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    X_eval: np.ndarray,
    eval_scores: np.ndarray,
    seed: int,
    groups: np.ndarray | None,
) -> dict[str, float]:
    """Features from probes of nested parts of the sample: the code length, and on the evaluation
    rows agreement and churn.

    Agreement is that of probes of disjoint parts of n/2, n/4 and n/8 rows. Churn is the share of
    evaluation rows that doubling the sample moved to another class. On thousands of unlabelled rows
    the growth of these is far less noisy than that of the held-out accuracy.
    """
    order = nested_order(y, seed=seed, groups=groups)
    prefixes = fit_prefixes(X, y, n_classes, order, groups)
    features = {"mdl_bits_per_row": online_code_length(prefixes, X, y, n_classes, order)}
    scores = {size: prefix.scores(X_eval) for size, prefix in prefixes[-len(PARTS) :]} | {
        len(y): eval_scores
    }
    for part in PARTS:
        size, double = (prefix_end(len(y) // of, order, groups) for of in (part, part // 2))
        agreement = churn = float("nan")
        if size in scores and size < double:
            churn = 1 - gde_accuracy(scores[size], scores[double])
            end = 2 * size if groups is None and part > 2 else double
            rest = order[size:end]
            if len(rest) >= MIN_PART_ROWS:
                of_rest = fit_ridge(
                    X[rest], y[rest], n_classes, None if groups is None else groups[rest]
                )
                agreement = gde_accuracy(scores[size], of_rest.scores(X_eval))
        features["eval_gde_accuracy" if part == 2 else f"eval_gde_accuracy_{part}"] = agreement
        features[f"eval_churn_{part}"] = churn
    return features


def _log(value: float) -> float:
    """Natural logarithm of a value with a wide range, clipped to those of 1e-6 and 1e6. NaN of
    NaN."""
    return float(np.log(np.clip(value, 1e-6, 1e6)))
