"""One eigendecomposition of a sample, shared by every score that needs its spectrum.

The economy of the feature battery: LogME, the shrunk H-score, the effective rank and ridge leave-one-out all live in the row
space of X, so each of them is a few products of size (n, rank) once X = U diag(s) Vᵀ is known.
"""

from dataclasses import dataclass

import numpy as np

RELATIVE_TOLERANCE = 1e-10
"""Squared singular values below this share of the largest are round-off, not directions of the data."""


@dataclass(frozen=True)
class Decomposition:
    """X = left · diag(singular) · rightᵀ, thin: left (n, r), singular (r,) descending and positive, right (d, r); float64."""

    left: np.ndarray
    singular: np.ndarray
    right: np.ndarray


def decompose(X: np.ndarray) -> Decomposition:
    """Thin SVD of X (n, d) by the eigenvectors of its smaller Gram matrix: cost nd·min(n, d).

    Accurate to about 1e-8 of the largest singular value, which is ample for scores that regularise; an all-zero X has r = 0.
    """
    X = np.asarray(X, dtype=np.float64)
    n_rows, n_columns = X.shape
    wide = n_rows <= n_columns
    squares, vectors = np.linalg.eigh(X @ X.T if wide else X.T @ X)
    order = np.argsort(squares)[::-1]
    squares, vectors = squares[order], vectors[:, order]
    kept = squares > max(squares[0], 0.0) * RELATIVE_TOLERANCE if squares[0] > 0 else np.zeros(len(squares), dtype=bool)
    singular, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    if wide:
        return Decomposition(vectors, singular, X.T @ (vectors / singular))
    return Decomposition(X @ (vectors / singular), singular, vectors)
