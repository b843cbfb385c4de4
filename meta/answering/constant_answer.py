"""The score of the constant answer, which never looks at a text. A forecast or a target that is no
better than it is worth nothing."""

import numpy as np
from scipy.stats import entropy

from meta.metric import Metric


def constant_score(counts: np.ndarray, metric: Metric) -> float:
    """The metric of a constant answer on rows whose classes are as frequent as `counts` (K,).

    For accuracy and macro-F1 it always answers the most frequent class. For AUROC and log-loss
    (nats), which judge probabilities, it always answers the frequencies of the classes.
    """
    shares = counts / counts.sum()
    most = float(shares.max())
    if metric == Metric.ACCURACY:
        return most
    if metric == Metric.MACRO_F1:
        # recall 1 and precision `most` on one class, F1 of 0 on the others
        return 2 * most / (1 + most) / len(shares)
    if metric == Metric.AUROC:
        return 0.5
    return float(entropy(counts))


def constant_words(counts: np.ndarray, names: tuple[str, ...], metric: Metric) -> str:
    """The words for the constant answer in a sentence, after "no better than". `counts` (K,) are
    the labelled rows of the classes `names`."""
    if metric in (Metric.AUROC, Metric.LOG_LOSS):
        return "always answering the classes' frequencies"
    commonest = int(counts.argmax())
    return (
        f"always answering '{names[commonest]}' ({counts[commonest] / counts.sum():.1%} of the"
        " labelled rows)"
    )
