"""How well the classes of a labelled sample separate in an embedding space: scores that need no trained probe.

X is (n, d), any float type; y is (n,) int64 with values in 0..n_classes-1; classes without a row are left out of every sum.
Costs are given for one (n, d); values are unitless and are comparable only between spaces on the same sample.
"""

import numpy as np

from probes.features.decomposition import Decomposition, decompose

N_EVIDENCE_ITERATIONS = 11
"""Fixed-point iterations of LogME; the published implementation stops after as many."""
_LEAST_PRECISION = 1e-12
"""Floor of α and β: γ is 0 where X is all zeros (α then cancels from the evidence) and n where X leaves no residual."""


def logme(X: np.ndarray, y: np.ndarray, n_classes: int, *, decomposition: Decomposition | None = None) -> float:
    """Log maximum evidence of a Bayesian linear model of each one-hot label, per row, mean over the classes present.

    Range: unbounded, higher is better. Features as given (neither centred nor scaled). Cost nd·min(n, d).
    `decomposition` is that of X itself, where the caller has it. Source: You et al., ICML 2021 (arXiv 2102.11005), with the
    fixed point α = γ/‖m‖², β = (n − γ)/‖y − Xm‖², γ = Σ s²/(s² + α/β).
    """
    n_rows, n_columns = X.shape
    parts = decomposition or decompose(X)
    squares = parts.singular**2
    evidences = []
    for label in np.unique(y[(y >= 0) & (y < n_classes)]):
        target = (y == label).astype(np.float64)
        projected = parts.left.T @ target  # (r,)
        outside = max(target @ target - projected @ projected, 0.0)  # the part of y that no linear model reaches
        evidences.append(_log_evidence(squares, projected, outside, n_rows, n_columns))
    return float(np.mean(evidences)) if evidences else float("nan")


def _log_evidence(squares: np.ndarray, projected: np.ndarray, outside: float, n_rows: int, n_columns: int) -> float:
    alpha, beta, previous = 1.0, 1.0, np.inf
    for _ in range(N_EVIDENCE_ITERATIONS):
        ratio = alpha / beta
        gamma = np.sum(squares / (squares + ratio))
        weight_square = np.sum(squares * projected**2 / (squares + ratio) ** 2)
        residual = np.sum((projected * ratio / (squares + ratio)) ** 2) + outside
        alpha = max(gamma / (weight_square + 1e-5), _LEAST_PRECISION)
        beta = max((n_rows - gamma) / (residual + 1e-5), _LEAST_PRECISION)
        if abs(alpha / beta - previous) <= 1e-3 * previous:
            break
        previous = alpha / beta
    ratio = alpha / beta
    weight_square = np.sum(squares * projected**2 / (squares + ratio) ** 2)
    residual = np.sum((projected * ratio / (squares + ratio)) ** 2) + outside
    log_determinant = np.sum(np.log(alpha + beta * squares)) + (n_columns - len(squares)) * np.log(alpha)
    evidence = n_columns / 2 * np.log(alpha) + n_rows / 2 * np.log(beta) - n_rows / 2 * np.log(2 * np.pi)
    evidence -= beta / 2 * residual + alpha / 2 * weight_square + log_determinant / 2
    return float(evidence / n_rows)


def h_score(X: np.ndarray, y: np.ndarray, n_classes: int, *, decomposition: Decomposition | None = None) -> float:
    """Shrunk H-score (1 − ρ)·tr(Σ_ρ⁻¹ Σ_B) with Ledoit-Wolf ρ: between-class variance in the metric of the whole.

    Range: [0, classes − 1] up to shrinkage, higher is better. Cost nd·min(n, d): in the eigenbasis of the centred sample Σ_ρ is
    diagonal, so nothing is inverted. `decomposition` is that of the *centred* X. Source: Ibrahim et al., 2022 (arXiv
    2110.06893).
    """
    n_rows, n_columns = X.shape
    parts = decomposition or decompose(X - X.mean(axis=0))
    scores = parts.left * parts.singular  # (n, r), the centred sample in its eigenbasis
    if scores.shape[1] == 0 or n_rows < 2:
        return 0.0
    shrinkage = _ledoit_wolf(scores, n_columns)
    total = np.sum(parts.singular**2)
    spectrum = (1 - shrinkage) * parts.singular**2 / n_rows + shrinkage * total / n_rows / n_columns
    counts, means = _class_means(scores, y, n_classes)
    between = np.sum(counts[:, None] * means**2, axis=0) / (n_rows - 1)  # diagonal of Σ_B
    return float((1 - shrinkage) * np.sum(between / spectrum))


def _ledoit_wolf(scores: np.ndarray, n_columns: int) -> float:
    """Shrinkage towards the scaled identity in `n_columns` dimensions of a centred sample given in a rotated basis."""
    n_rows = len(scores)
    squares = np.sum(scores**2, axis=0) / n_rows  # eigenvalues of the covariance
    mean_square = squares.sum() / n_columns
    delta = np.sum(squares**2) / n_columns - mean_square**2  # distance of the covariance from the target
    fourth = np.mean(np.sum(scores**2, axis=1) ** 2) / n_columns
    beta = (fourth - np.sum(squares**2) / n_columns) / n_rows
    return float(np.clip(beta / delta, 0.0, 1.0)) if delta > 0 else 1.0


def fisher_ratio(X: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """tr Σ_B / tr Σ_W: between-class over within-class variance. Range [0, inf), higher is better. Cost nd."""
    counts, means = _class_means(np.asarray(X, dtype=np.float64), y, n_classes)
    centre = X.mean(axis=0, dtype=np.float64)
    between = float(np.sum(counts[:, None] * (means - centre) ** 2))
    within = max(float(np.sum((X - centre) ** 2)) - between, 0.0)
    return between / within if within > 0 else float("inf")


def nc1(X: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """Within-class variability collapse tr(Σ_W Σ_B⁺)/c. Range [0, inf), lower is better. Cost ndc.

    Through the c x c Gram matrix of the weighted class means: Σ_B = M Mᵀ gives tr(Σ_W Σ_B⁺) = tr(G⁺ MᵀΣ_W M G⁺), G = MᵀM.
    Source: Papyan, Han, Donoho, PNAS 2020.
    """
    X = np.asarray(X, dtype=np.float64)
    counts, means = _class_means(X, y, n_classes)
    weighted = (means - X.mean(axis=0)) * np.sqrt(counts / len(X))[:, None]  # (c, d), rows of Mᵀ
    present = np.unique(y)
    within = X - means[np.searchsorted(present, y)]  # (n, d)
    inverse = np.linalg.pinv(weighted @ weighted.T, rcond=1e-8, hermitian=True)
    projected = (within @ weighted.T) @ inverse  # (n, c)
    return float(np.sum(projected**2) / len(X) / len(present))


def knn_loo_accuracy(X: np.ndarray, y: np.ndarray, *, k: int = 5) -> float:
    """Leave-one-out accuracy of the majority of the k nearest rows by cosine, the row itself left out. Range [0, 1]. Cost n²d.

    Ties go to the class whose neighbours are nearer (votes weighted by 1 + 1e-3·similarity).
    """
    n_rows = len(X)
    k = min(k, n_rows - 1)
    if k < 1:
        return float("nan")
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    nearest = np.argpartition(-similarity, k - 1, axis=1)[:, :k]  # (n, k)
    weights = 1.0 + 1e-3 * np.take_along_axis(similarity, nearest, axis=1)
    votes = np.zeros((n_rows, int(y.max()) + 1))
    np.add.at(votes, (np.arange(n_rows)[:, None], y[nearest]), weights)
    return float(np.mean(votes.argmax(axis=1) == y))


def effective_rank(singular: np.ndarray) -> float:
    """exp(entropy of s/Σs) of the singular values s (r,): how many directions carry the sample. Range [1, r], 0 for none.

    Source: Roy and Vetterli, EUSIPCO 2007.
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
