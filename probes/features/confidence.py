"""Accuracy on unlabelled rows, estimated from confidences alone, and a profile of those
confidences.

`held_out` (n, K) are cross-fitted probabilities of the training rows (no row is predicted by a
probe that saw it) with labels y (n,). `of_eval` (m, K) are the probe's probabilities of the
evaluation rows. With few labels the threshold has a noise of about sqrt(a(1 − a)/n). So these are
features for a model to weigh, not answers.
"""

import numpy as np
from scipy.special import expit

MAX_NEWTON_STEPS = 20


def atc_accuracy(held_out: np.ndarray, y: np.ndarray, of_eval: np.ndarray) -> float:
    """Average thresholded confidence. The threshold t is chosen so that as many held-out rows lie
    below it as are wrong. The estimate is the share of evaluation rows at or above t. Confidence is
    the largest probability. Range [0, 1]. Cost (n+m)K and a sort. Source: Garg et al., ICLR 2022
    (arXiv 2201.04234)."""
    confidence = np.sort(held_out.max(axis=1))
    n_wrong = int(np.sum(held_out.argmax(axis=1) != y))
    if n_wrong == len(confidence):
        return 0.0
    return float(np.mean(of_eval.max(axis=1) >= confidence[n_wrong]))


def doc_accuracy(held_out: np.ndarray, y: np.ndarray, of_eval: np.ndarray) -> float:
    """Difference of confidences: the held-out accuracy minus the fall of the mean confidence from
    held-out to evaluation rows, clipped to [0, 1]. Cost (n+m)K. Source: Guillory et al., ICCV
    2021."""
    accuracy = float(np.mean(held_out.argmax(axis=1) == y))
    fall = float(held_out.max(axis=1).mean() - of_eval.max(axis=1).mean())
    return float(np.clip(accuracy - fall, 0.0, 1.0))


def regressed_accuracy(hits: np.ndarray, known: np.ndarray, of_eval: np.ndarray) -> float:
    """Mean predicted accuracy of the evaluation rows, by a logistic regression of the held-out hits
    (n,) bool on what is known of a row without its label: `known` (n, F) of the training rows, held
    out, and `of_eval` (m, F).

    Coefficients have a standard normal prior on standardised columns. The intercept has none, so on
    rows like the training rows the estimate is their hit rate. This is the regression estimator of
    survey sampling (Cochran 1977, chapter 7): it takes from the hit rate the noise that confidences
    explain. Range [0, 1]. It is the hit rate itself where that is 0 or 1. Cost (n+m)F².
    """
    rate = float(np.mean(hits))
    if rate in (0.0, 1.0):
        return rate
    centre, spread = known.mean(axis=0), known.std(axis=0)
    varies = spread > 1e-9
    scaled = ((table[:, varies] - centre[varies]) / spread[varies] for table in (known, of_eval))
    design, ahead = (
        np.column_stack([np.ones(len(table)), np.clip(table, -6.0, 6.0)]) for table in scaled
    )
    precision = np.ones(design.shape[1])
    precision[0] = 0.0
    coefficients = np.zeros(design.shape[1])
    coefficients[0] = np.log(rate / (1 - rate))
    for _ in range(MAX_NEWTON_STEPS):
        fitted = expit(design @ coefficients)
        gradient = design.T @ (fitted - hits) + precision * coefficients
        hessian = (design * np.maximum(fitted * (1 - fitted), 1e-6)[:, None]).T @ design + np.diag(
            precision
        )
        step = np.linalg.solve(hessian, gradient)
        coefficients -= np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < 1e-8:
            break
    return float(expit(ahead @ coefficients).mean())


def gde_accuracy(of_eval: np.ndarray, of_eval_other: np.ndarray) -> float:
    """One minus the generalisation disagreement: the share of evaluation rows on which probes of
    disjoint halves of the sample agree, from scores (m, K).

    It is the accuracy of a probe of half the rows if such probes are calibrated as an ensemble.
    Linear probes are not: they share the mistakes that no linear boundary avoids, and agree more
    than they are right, most of all under a shift (Kirsch and Gal, 2022). Range [0, 1]. Cost mK.
    Source: Jiang et al., ICLR 2022 (arXiv 2106.13799).
    """
    return float(np.mean(of_eval.argmax(axis=1) == of_eval_other.argmax(axis=1)))


def row_confidences(probabilities: np.ndarray) -> np.ndarray:
    """(m, 3) from probabilities (m, K): the largest probability, its logit against the rest, its
    margin over the second."""
    top = np.sort(probabilities, axis=1)[:, ::-1]
    first = np.clip(top[:, 0], 1e-4, 1 - 1e-4)
    second = top[:, 1] if probabilities.shape[1] > 1 else np.zeros(len(top))
    return np.stack([first, np.log(first / (1 - first)), first - second], axis=1)


def confidence_profile(probabilities: np.ndarray) -> dict[str, float]:
    """Mean confidence, mean margin between the two most likely classes, mean entropy as a share of
    log K, and the nuclear norm ‖P‖_* / sqrt(m·min(m, K)), of probabilities (m, K). Each is in [0,
    1]. Cost mK². Source: Deng et al., ICML 2023."""
    n_rows, n_classes = probabilities.shape
    top = np.sort(probabilities, axis=1)[:, ::-1]
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-12)), axis=1)
    second = top[:, 1] if n_classes > 1 else np.zeros(n_rows)
    return {
        "confidence": float(top[:, 0].mean()),
        "margin": float((top[:, 0] - second).mean()),
        "entropy": float(entropy.mean() / np.log(n_classes)) if n_classes > 1 else 0.0,
        "nuclear_norm": float(
            _nuclear_norm(probabilities) / np.sqrt(n_rows * min(n_rows, n_classes))
        ),
    }


def _nuclear_norm(probabilities: np.ndarray) -> float:
    squares = np.linalg.eigvalsh(probabilities.T @ probabilities)
    return float(np.sqrt(np.maximum(squares, 0.0)).sum())
