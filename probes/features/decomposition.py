"""One eigendecomposition of a sample, shared by every feature that needs its spectrum.

LogME, the shrunk H-score, TransRate, the effective rank and ridge leave-one-out all lie in the row
space of X. So each of them is a few products of size (n, rank) once the left half of X = U diag(s)
Vᵀ is known. The right half is never formed, because only products with it are needed, and these are
products with Xᵀ.
"""

from dataclasses import dataclass

import numpy as np

RELATIVE_TOLERANCE = 1e-10
"""Squared singular values below this share of the largest are round-off, not directions of the
data."""


@dataclass(frozen=True)
class Decomposition:
    """X = left · diag(singular) · rightᵀ, thin. left is (n, r), singular (r,) positive and
    descending; float64."""

    left: np.ndarray
    singular: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        """(n, r): the rows of X in its principal axes, by falling variance."""
        return self.left * self.singular


def centred_rows(X: np.ndarray) -> np.ndarray:
    """(n, d) float64: X minus its column means. A constant column becomes exactly 0: its mean has
    round-off, which features that do not depend on scale would take for data. Cost nd."""
    rows = X - X.mean(axis=0, dtype=np.float64)
    rows[:, X.max(axis=0) == X.min(axis=0)] = 0.0
    return rows


def decompose(X: np.ndarray, *, gram: np.ndarray | None = None) -> Decomposition:
    """The left half of the thin SVD of X (n, d), by the eigenvectors of its smaller Gram matrix.
    Cost nd·min(n, d).

    It is accurate to about 1e-8 of the largest singular value, which is enough for scores that
    regularise. An all-zero X has r = 0. `gram` is X Xᵀ, where the caller has it.
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
