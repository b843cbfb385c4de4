"""How far an unlabelled evaluation sample Z (m, d) lies from the training sample X (n, d) in an
embedding space.

Distances are in the units of X (in squared units where the name says so). The battery scales both
samples to unit total variance first. All functions are deterministic given their arguments.
"""

import numpy as np

from probes.features.decomposition import Decomposition, centred_rows, decompose
from probes.features.geometry import squared_distances

BANDWIDTH_FACTORS = (0.25, 1.0, 4.0)
"""Kernel bandwidths of the MMD, in multiples of the median squared distance."""


def mmd2(X: np.ndarray, Z: np.ndarray, *, squared: np.ndarray | None = None) -> float:
    """Unbiased squared maximum mean discrepancy: the mean over RBF kernels at 1/4, 1 and 4 times
    the median squared distance.

    Range: about [-1/n, 2], with expectation 0 without a shift. Cost (n+m)²d, or (n+m)² where
    `squared` is given: the squared distances (n+m, n+m) of the rows of X above those of Z. Source:
    Gretton et al., JMLR 2012.
    """
    n_rows, n_eval = len(X), len(Z)
    if min(n_rows, n_eval) < 2:
        return float("nan")
    if squared is None:
        both = centred_rows(np.concatenate([X, Z]))
        squared = squared_distances(both @ both.T)
    distances = squared.astype(np.float32)  # precise enough for a kernel, at half the cost
    median = float(np.median(distances[:n_rows, n_rows:]))
    if median <= 0:
        return 0.0
    # the widest kernel; the others are powers of it
    kernel = np.exp(-distances / (BANDWIDTH_FACTORS[-1] * median))
    values = []
    for factor in reversed(BANDWIDTH_FACTORS):
        if factor != BANDWIDTH_FACTORS[-1]:
            kernel = kernel**4
        within_x = (kernel[:n_rows, :n_rows].sum(dtype=np.float64) - n_rows) / (
            n_rows * (n_rows - 1)
        )
        within_z = (kernel[n_rows:, n_rows:].sum(dtype=np.float64) - n_eval) / (
            n_eval * (n_eval - 1)
        )
        values.append(within_x + within_z - 2 * kernel[:n_rows, n_rows:].mean(dtype=np.float64))
    return float(np.mean(values))


def frechet_distance(X: np.ndarray, Z: np.ndarray, *, rank: int | None = None) -> float:
    """Squared Fréchet distance ‖Δμ‖² + tr(Σ1 + Σ2 − 2(Σ1Σ2)^½) between the Gaussians of the two
    samples. Range [0, inf).

    The cross term is the nuclear norm of A Bᵀ, for the centred samples divided by √(n−1), √(m−1).
    With `rank` both covariances are first projected on the `rank` leading directions of the pooled
    sample, and the mean term stays whole. The cost is then nd·rank instead of nd·min(n, d). Source:
    Dowson and Landau, 1982.
    """
    if min(len(X), len(Z)) < 2:
        return float("nan")
    mean_gap = X.mean(axis=0, dtype=np.float64) - Z.mean(axis=0, dtype=np.float64)
    A, B = X - X.mean(axis=0), Z - Z.mean(axis=0)
    if rank is not None and rank < X.shape[1]:
        leading = _leading_directions(A, B, rank)
        A, B = A @ leading, B @ leading
    A, B = A / np.sqrt(len(X) - 1), B / np.sqrt(len(Z) - 1)
    if min(A.shape[0], B.shape[0]) < A.shape[1]:
        cross = np.linalg.svd(A @ B.T, compute_uv=False).sum()
    else:
        # triangular factors give the same cross product up to rotations, and only (d, d) of it
        cross = np.linalg.svd(_triangle(A) @ _triangle(B).T, compute_uv=False).sum()
    return float(max(mean_gap @ mean_gap + np.sum(A**2) + np.sum(B**2) - 2 * cross, 0.0))


def _triangle(rows: np.ndarray) -> np.ndarray:
    """The factor R of `rows` = QR."""
    factor: np.ndarray = np.linalg.qr(rows, mode="r")  # type: ignore[assignment]  # NumPy's stubs: Q too
    return factor


def _leading_directions(A: np.ndarray, B: np.ndarray, rank: int) -> np.ndarray:
    """Orthonormal (d, rank), close to the leading directions of the stacked samples. A randomised
    range finder with a fixed seed."""
    both = np.concatenate([A, B])
    start = np.random.default_rng(0).standard_normal((both.shape[1], rank))
    for _ in range(2):
        start = np.linalg.qr(both.T @ (both @ start))[0]
    return start


def domain_auc(
    X: np.ndarray, Z: np.ndarray, *, decomposition: Decomposition | None = None
) -> tuple[float, float]:
    """(AUC, proxy A-distance) of a linear classifier that tells Z from X. Its scores are
    leave-one-out scores of a ridge regression on ±1 targets, centred. Its regularisation is chosen
    by leave-one-out error among powers of ten.

    AUC is in [0, 1], and 0.5 without a shift (a little below for few rows, because a row that is
    left out pulls the other way). The proxy A-distance 2(1 − 2ε) of the balanced error ε is in [0,
    2]. Cost (n+m)d·min(n+m, d). `decomposition` is that of the centred rows of X above those of Z,
    where the caller has it. Source: Ben-David et al., 2007.
    """
    n_rows, n_eval = len(X), len(Z)
    if min(n_rows, n_eval) < 2:
        return float("nan"), float("nan")
    target = np.concatenate([np.full(n_rows, -1.0), np.full(n_eval, 1.0)])
    if decomposition is None:
        decomposition = decompose(centred_rows(np.concatenate([X, Z])))
    parts = decomposition
    if len(parts.singular) == 0:
        return 0.5, 0.0  # every row is the same
    target = target - target.mean()
    squares, projected = parts.singular**2, parts.left.T @ target
    best_error, best_scores = np.inf, np.zeros(len(target))
    for power in range(-3, 3):
        shrunk = squares / (squares + squares.mean() * 10.0**power)  # (r,)
        leverage = np.minimum((parts.left**2) @ shrunk + 1 / len(target), 1 - 1e-6)
        scores = target - (target - parts.left @ (shrunk * projected)) / (1 - leverage)
        error = float(np.mean((target - scores) ** 2))
        if error < best_error:
            best_error, best_scores = error, scores
    of_x, of_z = np.sort(best_scores[:n_rows]), best_scores[n_rows:]
    below, up_to = (
        np.searchsorted(of_x, of_z, side="left"),
        np.searchsorted(of_x, of_z, side="right"),
    )
    auc = float(np.mean(below + up_to) / 2 / n_rows)
    threshold = (of_x.mean() + of_z.mean()) / 2
    error = (np.mean(of_x > threshold) + np.mean(of_z <= threshold)) / 2
    return auc, float(max(2 * (1 - 2 * error), 0.0))


def sliced_wasserstein(
    X: np.ndarray, Z: np.ndarray, *, n_projections: int = 64, seed: int = 0
) -> float:
    """Sliced 2-Wasserstein distance over random unit directions, from 128 matched quantiles in
    each. Range [0, inf), in units of X over √d. Cost (n+m)·n_projections·d. Source: Rabin et al.,
    2011."""
    directions = np.random.default_rng(seed).standard_normal((X.shape[1], n_projections))
    directions /= np.linalg.norm(directions, axis=0)
    levels = (np.arange(128) + 0.5) / 128
    gaps = np.quantile(X @ directions, levels, axis=0) - np.quantile(Z @ directions, levels, axis=0)
    return float(np.sqrt(np.mean(gaps**2)))
