"""The row space of a sample: an exact, smaller problem that every linear probe of the sample shares.

The optimum of an L2-penalised linear probe with an unpenalised intercept lies in the span of the centred rows. In an
orthonormal basis of that span the problem has r = min(n - 1, d) columns instead of d, the same penalty, and orthogonal columns,
so that a diagonal preconditions it well. One eigendecomposition (float64, of the smaller Gram matrix) gives the basis.
"""

from dataclasses import dataclass

import numpy as np
import torch

RELATIVE_TOLERANCE = 1e-12
"""Squared singular values below this share of the largest are round-off, not directions of the data."""


@dataclass(frozen=True)
class Basis:
    """What the solvers need of a sample: its centred rows in an orthonormal basis of their span. Tensors of one dtype."""

    left: torch.Tensor
    """(n, r), orthonormal columns, each orthogonal to the constant."""
    singular: torch.Tensor
    """(r,) descending, positive; r = 0 where all rows are equal."""

    @property
    def coordinates(self) -> torch.Tensor:
        """(n, r): the centred rows in the basis."""
        return self.left * self.singular


@dataclass(frozen=True)
class RowSpace(Basis):
    """Centred X (n, d) = left · diag(singular) · directionsᵀ, thin."""

    directions: torch.Tensor
    """(d, r), orthonormal columns."""
    centre: torch.Tensor
    """(d,) mean row."""

    def weights(self, reduced: torch.Tensor) -> torch.Tensor:
        """(..., r, K) weights in the basis as (..., d, K) weights of features less `centre`."""
        return self.directions @ reduced

    def scores(self, X: torch.Tensor, reduced: torch.Tensor) -> torch.Tensor:
        """(c, m, K): rows X (m, d) under c weights `reduced` (c, r, K), by the cheapest order of multiplication."""
        return path_scores(X, self.directions, self.centre @ self.directions, reduced)


def path_scores(rows: torch.Tensor, to_basis: torch.Tensor, offset: torch.Tensor, reduced: torch.Tensor) -> torch.Tensor:
    """(c, m, K): coordinates rows (m, q) @ to_basis (q, r) less offset (r,), under c weights `reduced` (c, r, K); multiplied in
    the cheapest order, never forming the coordinates where that is dearer."""
    n_paths, rank, n_classes = reduced.shape
    flat = reduced.permute(1, 0, 2).reshape(rank, n_paths * n_classes)
    product = torch.linalg.multi_dot([rows, to_basis, flat]) - offset @ flat
    return product.reshape(-1, n_paths, n_classes).permute(1, 0, 2)


def row_space(X: torch.Tensor, dtype: torch.dtype = torch.float32) -> RowSpace:
    """The row space of X (n, d), computed in float64, returned in `dtype`. Cost nd·min(n, d) + about 9·min(n, d)³."""
    rows = X.to(torch.float64)
    centre = rows.mean(dim=0)
    centred = rows - centre
    n_rows, n_columns = rows.shape
    is_wide = n_rows <= n_columns
    gram = centred @ centred.T if is_wide else centred.T @ centred
    left, singular = basis_of_gram(gram, floor=float(centre.square().sum()) * n_rows * RELATIVE_TOLERANCE**1.5, n_rows=n_rows)
    if is_wide:
        directions = centred.T @ (left / singular)
    else:
        left, directions = centred @ (left / singular), left
    return RowSpace(left.to(dtype), singular.to(dtype), directions.to(dtype).contiguous(), centre.to(dtype))


def basis_of_gram(gram: torch.Tensor, *, floor: float, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(eigenvectors (k, r), square roots of the eigenvalues (r,) descending) of `gram` (k, k) float64, without what is
    round-off: eigenvalues below `floor` or below RELATIVE_TOLERANCE of the largest, and those beyond the rank that `n_rows`
    centred rows can have."""
    squares, vectors = torch.linalg.eigh(gram)
    squares, vectors = squares.flip(0), vectors.flip(1)
    floor = max(float(squares[0]) * RELATIVE_TOLERANCE, floor)
    rank = min(int((squares > floor).sum()), n_rows - 1)
    return vectors[:, :rank], squares[:rank].sqrt()


def feature_scale(X: np.ndarray) -> float:
    """The scalar that gives the rows of X (n, d) a mean norm of sqrt(d). Probes scale by it, so that a regularisation means
    the same for every encoder, and default tolerances are not met by gradients that are merely small. 1 where X is zero."""
    mean_norm = float(np.linalg.norm(np.asarray(X, dtype=np.float64), axis=1).mean())
    return float(np.sqrt(X.shape[1]) / mean_norm) if mean_norm > 0 else 1.0
