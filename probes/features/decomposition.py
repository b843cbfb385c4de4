"""One eigendecomposition of a sample, shared by every score that needs its spectrum.

The economy of the feature battery: LogME, the shrunk H-score, TransRate, the effective rank and
ridge leave-one-out all live in the row space of X, so each of them is a few products of size (n,
rank) once the left half of X = U diag(s) Vᵀ is known. The right half is never formed: what is
needed of it is a product with Xᵀ.
"""

from dataclasses import dataclass

import numpy as np

RELATIVE_TOLERANCE = 1e-10
"""Squared singular values below this share of the largest are round-off, not directions of the
data."""


@dataclass(frozen=True)
class Decomposition:
    """X = left · diag(singular) · rightᵀ, thin: left (n, r), singular (r,) descending and positive;
    float64."""

    left: np.ndarray
    singular: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """(n, r): the rows of X in its own axes, by falling variance."""
        return self.left * self.singular


def centred_rows(X: np.ndarray) -> np.ndarray:
    """(n, d) float64: X less its column means, exactly 0 in a constant column, whose mean is off by
    round-off: scores that know no scale would take that for data. Cost nd."""
    rows = X - X.mean(axis=0, dtype=np.float64)
    rows[:, X.max(axis=0) == X.min(axis=0)] = 0.0
    return rows


def decompose(X: np.ndarray, *, gram: np.ndarray | None = None) -> Decomposition:
    """Thin SVD of X (n, d), its left half, by the eigenvectors of its smaller Gram matrix: cost
    nd·min(n, d).

    Accurate to about 1e-8 of the largest singular value, which is ample for scores that regularise;
    an all-zero X has r = 0. `gram` is X Xᵀ, where the caller has it.
    """
    X = np.asarray(X, dtype=np.float64)
    wide = X.shape[0] <= X.shape[1]
    if wide:
        squares, vectors = np.linalg.eigh(X @ X.T if gram is None else gram)
    else:
        squares, vectors = np.linalg.eigh(X.T @ X)
    squares, vectors = squares[::-1], vectors[:, ::-1]
    kept = (
        squares > max(squares[0], 0.0) * RELATIVE_TOLERANCE
        if squares[0] > 0
        else np.zeros(len(squares), dtype=bool)
    )
    singular, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    return Decomposition(vectors if wide else X @ (vectors / singular), singular)
