"""Accuracy on unlabelled rows from confidences alone, and the profile of those confidences.

`held_out` (n, K) are cross-fitted probabilities of the training rows (no row predicted by a probe that saw it) with labels y
(n,); `of_eval` (m, K) are the probe's probabilities of the evaluation rows. With few labels the threshold's own noise is about
sqrt(a(1 − a)/n): these are features to be weighed, not answers.
"""

import numpy as np


def atc_accuracy(held_out: np.ndarray, y: np.ndarray, of_eval: np.ndarray) -> float:
    """Average thresholded confidence: the threshold t leaves as many held-out rows below it as are wrong; the estimate is the
    share of evaluation rows at or above t. Confidence is the largest probability. Range [0, 1]. Cost (n+m)K and a sort.
    Source: Garg et al., ICLR 2022 (arXiv 2201.04234)."""
    confidence = np.sort(held_out.max(axis=1))
    n_wrong = int(np.sum(held_out.argmax(axis=1) != y))
    if n_wrong == len(confidence):
        return 0.0
    return float(np.mean(of_eval.max(axis=1) >= confidence[n_wrong]))


def doc_accuracy(held_out: np.ndarray, y: np.ndarray, of_eval: np.ndarray) -> float:
    """Difference of confidences: held-out accuracy less the fall of the mean confidence, clipped to [0, 1]. Cost (n+m)K.
    Source: Guillory et al., ICCV 2021."""
    accuracy = float(np.mean(held_out.argmax(axis=1) == y))
    fall = float(held_out.max(axis=1).mean() - of_eval.max(axis=1).mean())
    return float(np.clip(accuracy - fall, 0.0, 1.0))


def gde_accuracy(of_eval: np.ndarray, of_eval_other: np.ndarray) -> float:
    """Generalisation disagreement, less 1: the share of evaluation rows on which probes of disjoint halves of the sample agree,
    from scores (m, K). It is the accuracy of a probe of half the rows if such probes are calibrated as an ensemble; linear
    probes are not (they share the mistakes that no line avoids, and agree more than they are right), least of all under a shift
    (Kirsch and Gal, 2022). Range [0, 1]. Cost mK. Source: Jiang et al., ICLR 2022 (arXiv 2106.13799)."""
    return float(np.mean(of_eval.argmax(axis=1) == of_eval_other.argmax(axis=1)))


def confidence_profile(probabilities: np.ndarray) -> dict[str, float]:
    """Mean confidence, mean margin between the two likeliest classes, mean entropy as a share of log K, and the nuclear norm
    ‖P‖_* / sqrt(m·min(m, K)), of (m, K) probabilities; each in [0, 1]. Cost mK². Source: Deng et al., ICML 2023."""
    n_rows, n_classes = probabilities.shape
    top = np.sort(probabilities, axis=1)[:, ::-1]
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-12)), axis=1)
    second = top[:, 1] if n_classes > 1 else np.zeros(n_rows)
    return {
        "confidence": float(top[:, 0].mean()),
        "margin": float((top[:, 0] - second).mean()),
        "entropy": float(entropy.mean() / np.log(n_classes)) if n_classes > 1 else 0.0,
        "nuclear_norm": float(_nuclear_norm(probabilities) / np.sqrt(n_rows * min(n_rows, n_classes))),
    }


def _nuclear_norm(probabilities: np.ndarray) -> float:
    squares = np.linalg.eigvalsh(probabilities.T @ probabilities)
    return float(np.sqrt(np.maximum(squares, 0.0)).sum())
