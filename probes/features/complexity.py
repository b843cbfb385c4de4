"""What the labels cost to describe with a probe (MDL), and what the probe's head is sensitive to
(Task2Vec)."""

import numpy as np

from probes.features.crossfit import RidgeFit


def online_code_length(
    prefixes: list[tuple[int, RidgeFit]],
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    order: np.ndarray,
) -> float:
    """Minimum description length of the labels, bits per row, by the online code: rows are sent in
    `order`, the first block at log2(classes) bits each, every further block by the probe trained on
    all rows sent before it.

    X (n, d), y (n,) int64; `prefixes` holds (rows trained on, probe) by growing size
    (`crossfit.fit_prefixes`). The coder mixes a probe of s rows with the uniform code at 1/(s + 1),
    so that no label costs more than log2(classes·(s + 1)) bits. Range (0, log2(classes·n)), lower
    is better; log2(classes) without a probe, more where probes mislead. Cost nd·classes, the probes
    apart. Source: Voita and Titov, EMNLP 2020 (arXiv 2003.12298).
    """
    bounds = [*(size for size, _ in prefixes), len(y)]
    bits = bounds[0] * float(np.log2(n_classes))
    for (size, probe), stop in zip(prefixes, bounds[1:], strict=True):
        block = order[size:stop]
        likelihood = probe.probabilities(probe.scores(X[block]))[np.arange(len(block)), y[block]]
        bits -= float(np.sum(np.log2((size * likelihood + 1 / n_classes) / (size + 1))))
    return bits / len(y)


def task2vec_diagonal(X: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(d,) the diagonal of the Fisher information of a softmax head, summed over its classes:
    column j holds (1/n) Σ_i x_ij² Σ_k p_ik(1 − p_ik), exact over the labels that `probabilities` p
    (n, K) expect, nothing sampled.

    X (n, d) as the head sees it (the battery: centred, mean row norm √d). The embedding of a task:
    two tasks of one space compare by the cosine of it. Columns matter, so it changes under a
    rotation of the space. Range [0, inf). Cost nd. Source: Achille et al., ICCV 2019 (arXiv
    1902.03545), for a linear head.
    """
    uncertainty = 1 - np.sum(probabilities**2, axis=1)  # Σ_k p(1 − p) of each row
    return np.maximum(uncertainty, 0.0) @ np.square(X) / len(X)
