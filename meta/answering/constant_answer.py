"""What an answer that never looks at a text has: a forecast, or a target, that is no better is
worth nothing."""

import numpy as np
from scipy.stats import entropy

from meta.metric import Metric


def constant_score(counts: np.ndarray, metric: Metric) -> float:
    """The metric, on rows of classes as frequent as `counts` (K,) says, of always answering the
    most frequent class; for AUROC and log-loss (nats), which judge probabilities, of always
    answering the frequencies themselves."""
    shares = counts / counts.sum()
    most = float(shares.max())
    if metric == Metric.ACCURACY:
        return most
    if metric == Metric.MACRO_F1:
        return (
            2 * most / (1 + most) / len(shares)
        )  # recall 1 and precision `most` on one class, 0 on the others
    if metric == Metric.AUROC:
        return 0.5
    return float(entropy(counts))


def constant_words(counts: np.ndarray, names: tuple[str, ...], metric: Metric) -> str:
    """How that answer is named in a sentence; `names` (K,) of the classes."""
    if metric in (Metric.AUROC, Metric.LOG_LOSS):
        return "always answering the classes' frequencies"
    commonest = int(counts.argmax())
    return (
        f"always answering '{names[commonest]}' ({counts[commonest] / counts.sum():.1%} of the"
        " labelled rows)"
    )
