"""The row space of a sample: a smaller problem with exactly the same solution, shared by all linear
probes of the sample.

The optimum of an L2-penalised linear probe with an unpenalised intercept lies in the span of the
centred rows. In an orthonormal basis of that span the problem has r = min(n - 1, d) columns instead
of d, the same penalty, and orthogonal columns, so that a diagonal matrix is a good preconditioner.
One eigendecomposition (float64, of the smaller Gram matrix) gives the basis.
"""

from dataclasses import dataclass

import numpy as np
import torch

RELATIVE_TOLERANCE = 1e-12
"""Squared singular values below this share of the largest are round-off, not directions of the
data."""

MIN_SPREAD = 1e-3
"""Least ratio of the smallest to the largest singular value at which many rows are taken to the
basis in the precision that was asked for. Below it float64 is used, because the small directions
would lose as many digits as the ratio has."""


@dataclass(frozen=True)
class Basis:
    """What the solvers need of a sample: its centred rows in an orthonormal basis of their span.
    All tensors have one dtype."""

    left: torch.Tensor
    """(n, r): orthonormal columns, each orthogonal to the constant."""
    singular: torch.Tensor
    """(r,): positive, descending. r = 0 where all rows are equal."""
    weight: torch.Tensor | None = None
    """(n,): weights of the rows, above 0. None: all are 1. With weights w, `left` and `singular`
    are those of the rows after their weighted mean has been subtracted and they have been
    multiplied by sqrt(w). `left` is then orthogonal to sqrt(w) instead of the constant."""

    @property
    def coordinates(self) -> torch.Tensor:
        """(n, r): the centred rows in the basis (with weights: multiplied by their square
        roots)."""
        return self.left * self.singular


@dataclass(frozen=True, kw_only=True)
class RowSpace(Basis):
    """Centred X (n, d) = left · diag(singular) · directionsᵀ, thin. With weights it is √w · centred
    X."""

    directions: torch.Tensor
    """(d, r): orthonormal columns."""
    centre: torch.Tensor
    """(d,): the mean row, weighted."""

    def weights(self, reduced: torch.Tensor) -> torch.Tensor:
        """Weights (..., r, K) in the basis as weights (..., d, K) of the features minus
        `centre`."""
        return self.directions @ reduced

    def scores(self, X: torch.Tensor, reduced: torch.Tensor) -> torch.Tensor:
        """(c, m, K): scores of rows X (m, d) with c weights `reduced` (c, r, K), multiplied in the
        cheapest order."""
        return path_scores(X, self.directions, self.centre @ self.directions, reduced)


def path_scores(
    rows: torch.Tensor, to_basis: torch.Tensor, offset: torch.Tensor, reduced: torch.Tensor
) -> torch.Tensor:
    """(c, m, K), in the dtype of `reduced`: scores with c weights `reduced` (c, r, K) of the
    coordinates rows (m, q) @ to_basis (q, r) - offset (r,). The products are computed in the
    cheapest order. The coordinates are not formed where another order is cheaper."""
    n_paths, rank, n_classes = reduced.shape
    n_rows, n_between = rows.shape
    flat = reduced.permute(1, 0, 2).reshape(rank, n_paths * n_classes)
    n_wide = flat.shape[1]
    if (
        n_between * rank * n_wide + n_rows * n_between * n_wide
        <= n_rows * n_between * rank + n_rows * rank * n_wide
    ):
        product = rows @ (to_basis @ flat.to(to_basis)) - offset @ flat.to(to_basis)
    else:
        # the coordinates get the precision of the weights: the wide product needs no more
        product = (rows @ to_basis - offset).to(reduced.dtype) @ flat
    return product.to(reduced.dtype).reshape(-1, n_paths, n_classes).permute(1, 0, 2)


def row_space(
    X: torch.Tensor, dtype: torch.dtype = torch.float32, weight: torch.Tensor | None = None
) -> RowSpace:
    """The row space of X (n, d) with row weights (n,), computed in float64 and returned in `dtype`.
    Cost nd·min(n, d) + about 9·min(n, d)³. Raises ValueError for a weight that is not above 0:
    leave such rows out."""
    rows = X.to(torch.float64)
    if weight is None:
        centre = rows.mean(dim=0)
        centred = rows - centre
    else:
        share = weight_shares(weight)
        centre = share @ rows
        centred = (rows - centre) * weight.to(torch.float64).sqrt()[:, None]
    n_rows, n_columns = rows.shape
    is_wide = n_rows <= n_columns
    gram = centred @ centred.T if is_wide else centred.T @ centred
    left, singular = basis_of_gram(
        gram, floor=float(centre.square().sum()) * n_rows * RELATIVE_TOLERANCE**1.5, n_rows=n_rows
    )
    if is_wide:
        directions = centred.T @ (left / singular)
    else:
        directions, exact = left, dtype
        if len(singular) and float(singular[-1]) < MIN_SPREAD * float(singular[0]):
            exact = torch.float64
        left = centred.to(exact) @ (directions / singular).to(exact)
    return RowSpace(
        left=left.to(dtype),
        singular=singular.to(dtype),
        weight=None if weight is None else weight.to(dtype),
        directions=directions.to(dtype).contiguous(),
        centre=centre.to(dtype),
    )


def weight_shares(weight: torch.Tensor) -> torch.Tensor:
    """(n,) float64: row weights divided by their sum. Raises ValueError for a weight that is not
    finite and above 0."""
    weight = weight.to(torch.float64)
    if not bool((weight > 0).all()) or not bool(weight.isfinite().all()):
        raise ValueError("row weights must be finite and above 0; leave rows of weight 0 out")
    return weight / weight.sum()


def basis_of_gram(
    gram: torch.Tensor, *, floor: float, n_rows: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """(eigenvectors (k, r), square roots of the eigenvalues (r,) descending) of `gram` (k, k)
    float64. Eigenvalues that are round-off are left out: those below `floor`, those below
    RELATIVE_TOLERANCE of the largest, and those beyond the rank that `n_rows` centred rows can
    have."""
    squares, vectors = torch.linalg.eigh(gram)
    squares, vectors = squares.flip(0), vectors.flip(1)
    floor = max(float(squares[0]) * RELATIVE_TOLERANCE, floor)
    rank = min(int((squares > floor).sum()), n_rows - 1)
    return vectors[:, :rank], squares[:rank].sqrt()


def feature_scale(X: np.ndarray) -> float:
    """The scalar that gives the rows of X (n, d) a mean norm of sqrt(d). Probes scale their
    features by it. Then a regularisation means the same for every encoder, and a solver does not
    stop early because all gradients are small. 1 where X is zero."""
    mean_norm = float(np.linalg.norm(np.asarray(X, dtype=np.float64), axis=1).mean())
    return float(np.sqrt(X.shape[1]) / mean_norm) if mean_norm > 0 else 1.0
