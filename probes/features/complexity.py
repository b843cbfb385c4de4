"""How many bits the labels cost when a probe helps to describe them (MDL), and how sensitive the
probe's head is to its columns (Task2Vec)."""

import numpy as np

from probes.features.crossfit import RidgeFit


def online_code_length(
    prefixes: list[tuple[int, RidgeFit]],
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    order: np.ndarray,
) -> float:
    """Minimum description length of the labels, in bits per row, by the online code. Rows are sent
    in `order`: the first block at log2(classes) bits each, every further block with the probe that
    is trained on all rows sent before it.

    X (n, d), y (n,) int64. `prefixes` holds (rows trained on, probe) by growing size
    (`crossfit.fit_prefixes`). The coder mixes a probe of s rows with the uniform code at weight
    1/(s + 1), so that no label costs more than log2(classes·(s + 1)) bits. Range (0,
    log2(classes·n)), lower is better. It is log2(classes) without a probe, and more where probes
    mislead. Cost nd·classes, without the probes. Source: Voita and Titov, EMNLP 2020 (arXiv
    2003.12298).
    """
    bounds = [*(size for size, _ in prefixes), len(y)]
    bits = bounds[0] * float(np.log2(n_classes))
    for (size, probe), stop in zip(prefixes, bounds[1:], strict=True):
        block = order[size:stop]
        likelihood = probe.probabilities(probe.scores(X[block]))[np.arange(len(block)), y[block]]
        bits -= float(np.sum(np.log2((size * likelihood + 1 / n_classes) / (size + 1))))
    return bits / len(y)


def task2vec_diagonal(X: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(d,) the diagonal of the Fisher information of a softmax head, summed over its classes.
    Column j holds (1/n) Σ_i x_ij² Σ_k p_ik(1 − p_ik). The expectation over the labels, under
    `probabilities` p (n, K), is exact: nothing is sampled.

    X (n, d) as the head sees it (the battery: centred, mean row norm √d). It is the embedding of a
    task: two tasks in one space are compared by the cosine of theirs. It belongs to columns, so it
    changes under a rotation of the space. Range [0, inf). Cost nd. Source: Achille et al., ICCV
    2019 (arXiv 1902.03545), for a linear head.
    """
    uncertainty = 1 - np.sum(probabilities**2, axis=1)  # Σ_k p(1 − p) of each row
    return np.maximum(uncertainty, 0.0) @ np.square(X) / len(X)
