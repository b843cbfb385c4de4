"""How strongly a covariance that was estimated from few rows should be shrunk."""

import numpy as np


def ledoit_wolf(rows: np.ndarray, covariance_square: float, n_columns: int) -> float:
    """Weight in [0, 1] of the scaled identity in `n_columns` dimensions, against the covariance of
    centred `rows` (n, q).

    `covariance_square` is the squared Frobenius norm of that covariance (rowsᵀ rows / n). The rows
    may be given in a rotated basis, and without columns that are all zeros: q <= n_columns. The
    weight is 1 where the covariance is the scaled identity already. Cost nq. Source: Ledoit and
    Wolf, Journal of Multivariate Analysis 2004.
    """
    squares = np.einsum("ij,ij->i", rows, rows)
    mean_square = float(squares.mean()) / n_columns
    # squared distance of the covariance from the scaled identity
    delta = covariance_square / n_columns - mean_square**2
    beta = (float(np.mean(squares**2)) - covariance_square) / n_columns / len(rows)
    return float(np.clip(beta / delta, 0.0, 1.0)) if delta > 0 else 1.0
