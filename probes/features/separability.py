"""How well the classes of a labelled sample separate in an embedding space: scores that need no
trained probe.

X is (n, d), any float type. y is (n,) int64 with values in 0..n_classes-1. Classes without a row
are left out of every sum. Costs are given for one (n, d). Values are unitless, and can be compared
only between spaces on the same sample.
"""

import numpy as np

from probes.features.decomposition import Decomposition, decompose
from probes.features.shrinkage import ledoit_wolf


def h_score(
    X: np.ndarray, y: np.ndarray, n_classes: int, *, decomposition: Decomposition | None = None
) -> float:
    """Shrunk H-score (1 − ρ)·tr(Σ_ρ⁻¹ Σ_B) with Ledoit-Wolf ρ: the variance between classes in the
    metric of the whole sample's covariance.

    Range: [0, classes − 1] up to shrinkage, higher is better. Cost nd·min(n, d). In the eigenbasis
    of the centred sample Σ_ρ is diagonal, so nothing is inverted. `decomposition` is that of the
    *centred* X. Source: Ibrahim et al., 2022 (arXiv 2110.06893).
    """
    n_rows, n_columns = X.shape
    parts = decomposition or decompose(X - X.mean(axis=0))
    scores = parts.scores  # (n, r), the centred sample in its eigenbasis
    if scores.shape[1] == 0 or n_rows < 2:
        return 0.0
    eigenvalues = parts.singular**2 / n_rows
    shrinkage = ledoit_wolf(scores, float(np.sum(eigenvalues**2)), n_columns)
    spectrum = (1 - shrinkage) * eigenvalues + shrinkage * eigenvalues.sum() / n_columns
    counts, means = _class_means(scores, y, n_classes)
    between = np.sum(counts[:, None] * means**2, axis=0) / (n_rows - 1)  # diagonal of Σ_B
    return float((1 - shrinkage) * np.sum(between / spectrum))


def fisher_ratio(X: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """tr Σ_B / tr Σ_W: the variance between classes over that within classes. Range [0, inf],
    higher is better. Cost nd.

    Source: Fukunaga, 1990.
    """
    counts, means = _class_means(np.asarray(X, dtype=np.float64), y, n_classes)
    centre = X.mean(axis=0, dtype=np.float64)
    between = float(np.sum(counts[:, None] * (means - centre) ** 2))
    within = max(float(np.sum((X - centre) ** 2)) - between, 0.0)
    return between / within if within > 0 else float("inf")


def nc1(X: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """Within-class variability collapse tr(Σ_W Σ_B⁺)/c. Range [0, inf), lower is better. Cost ndc.

    It is computed through the c x c Gram matrix of the weighted class means: Σ_B = M Mᵀ gives
    tr(Σ_W Σ_B⁺) = tr(G⁺ MᵀΣ_W M G⁺), G = MᵀM. Source: Papyan, Han, Donoho, PNAS 2020.
    """
    X = np.asarray(X, dtype=np.float64)
    counts, means = _class_means(X, y, n_classes)
    weighted = (means - X.mean(axis=0)) * np.sqrt(counts / len(X))[:, None]  # (c, d), rows of Mᵀ
    present = np.unique(y)
    within = X - means[np.searchsorted(present, y)]  # (n, d)
    inverse = np.linalg.pinv(weighted @ weighted.T, rcond=1e-8, hermitian=True)
    projected = (within @ weighted.T) @ inverse  # (n, c)
    return float(np.sum(projected**2) / len(X) / len(present))


def effective_rank(singular: np.ndarray) -> float:
    """exp(entropy of s/Σs) of the singular values s (r,): how many directions the sample really
    uses. Range [1, r], 0 for none.

    Cost r. Source: Roy and Vetterli, EUSIPCO 2007.
    """
    if singular.sum() <= 0:
        return 0.0
    shares = singular / singular.sum()
    shares = shares[shares > 0]
    return float(np.exp(-np.sum(shares * np.log(shares))))


def _class_means(X: np.ndarray, y: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts (c,) and means (c, d) of the classes that have rows, in the order of their labels."""
    one_hot = np.zeros((len(y), n_classes))
    one_hot[np.arange(len(y)), y] = 1.0
    counts = one_hot.sum(axis=0)
    present = counts > 0
    return counts[present], (one_hot.T @ X)[present] / counts[present][:, None]
