"""Kullback-Leibler divergence of the evaluation sample Z (m, d) from the training sample X (n, d),
in nats.

It is estimated by two Gaussians, and by nearest neighbours. Both estimate KL(Z‖X), which is large
where there are evaluation rows but no training rows. That is the shift that hurts.
"""

import numpy as np

from probes.features.decomposition import Decomposition, centred_rows, decompose
from probes.features.shrinkage import ledoit_wolf

ROWS_PER_DIRECTION = 10
"""Rows of the smaller sample for each direction in which covariances are estimated."""
LEAST_VARIANCE = 1e-9
"""Floor of either variance in any direction, as a share of the mean variance. It is needed where a
sample is a single point."""
N_NEIGHBOURS = 5


def gaussian_kl(
    X: np.ndarray, Z: np.ndarray, *, decomposition: Decomposition | None = None
) -> float:
    """KL(N_Z‖N_X) = ½[tr Σ_X⁻¹Σ_Z + Δᵀ Σ_X⁻¹Δ − q + ln|Σ_X|/|Σ_Z|]. The covariances are shrunk
    after Ledoit and Wolf, in the q leading directions of the pooled sample. q is a tenth of the
    rows of the smaller sample, at least 1.

    Range [0, inf), NaN for fewer than 2 rows. Without a shift it is about q²/2n rather than 0. Cost
    (n+m)d·min(n+m, d). `decomposition` is that of the centred rows of X above those of Z, where the
    caller has it.
    """
    if min(len(X), len(Z)) < 2:
        return float("nan")
    if decomposition is None:
        decomposition = decompose(centred_rows(np.concatenate([X, Z])))
    scores = decomposition.scores[:, : max(min(len(X), len(Z)) // ROWS_PER_DIRECTION, 1)]
    if scores.size == 0:
        return 0.0  # every row is the same
    scores = scores / np.sqrt(np.mean(scores**2))
    of_x, of_z = scores[: len(X)], scores[len(X) :]
    gap = of_z.mean(axis=0) - of_x.mean(axis=0)
    train, evaluation = _covariance(of_x), _covariance(of_z)
    mahalanobis = np.linalg.solve(train, np.column_stack([evaluation, gap]))
    log_ratio = np.linalg.slogdet(train)[1] - np.linalg.slogdet(evaluation)[1]
    kl = np.trace(mahalanobis[:, :-1]) + gap @ mahalanobis[:, -1] - len(gap) + log_ratio
    return float(max(kl / 2, 0.0))


def _covariance(rows: np.ndarray) -> np.ndarray:
    """(q, q) shrunk covariance of rows (n, q), positive definite."""
    rows = rows - rows.mean(axis=0)
    covariance = rows.T @ rows / len(rows)
    n_columns = len(covariance)
    shrinkage = ledoit_wolf(rows, float(np.sum(covariance**2)), n_columns)
    return (1 - shrinkage) * covariance + (
        shrinkage * np.trace(covariance) / n_columns + LEAST_VARIANCE
    ) * np.eye(n_columns)


def knn_kl(
    within: np.ndarray, across: np.ndarray, dimension: float, *, k: int = N_NEIGHBOURS
) -> float:
    """KL(Z‖X) from the distances to the k-th neighbours: (d/m) Σ ln(ν_i/ρ_i) + ln(n/(m − 1)). ρ_i
    is the distance from row i of Z to its k-th neighbour in Z, ν_i that to its k-th neighbour in X,
    d the (intrinsic) `dimension`.

    Where Z spreads wider than X the estimate is too small, however many rows there are: a row of Z
    far from X has no near neighbour in Z either. The estimate by Gaussians does not have this
    fault.

    `within` (m, m) are squared distances between rows of Z, `across` (m, n) those from rows of Z to
    rows of X. Range: unbounded. (It estimates something >= 0, but without a shift it is negative as
    often as not.) NaN for fewer than 2 rows of Z, none of X, or a NaN dimension. Distances have a
    floor of 1e-6 of the root mean square one, for rows that are repeated. Cost m(n+m). Source:
    Wang, Kulkarni, Verdú, IEEE Transactions on Information Theory 2009.
    """
    n_eval, n_rows = across.shape
    k = min(k, n_eval - 1, n_rows)
    if k < 1:
        return float("nan")
    floor = 1e-12 * float(across.mean())
    if floor <= 0:
        return 0.0  # every row is the same
    others = within.copy()
    np.fill_diagonal(others, np.inf)
    near_own = np.maximum(np.partition(others, k - 1, axis=1)[:, k - 1], floor)
    near_other = np.maximum(np.partition(across, k - 1, axis=1)[:, k - 1], floor)
    return float(
        dimension / 2 * np.mean(np.log(near_other / near_own)) + np.log(n_rows / (n_eval - 1))
    )
