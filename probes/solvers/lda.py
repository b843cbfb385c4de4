"""Linear discriminant analysis with a shrunk covariance, in the row space.

In the basis of `probes.solvers.rowspace` the within-class scatter is a diagonal matrix minus a
matrix of rank K. So the shrunk covariance is inverted through a system of K equations (Woodbury),
and no second decomposition is needed. The shrinkage is that of Ledoit and Wolf (2004) for the rows
about their class means. With the same shrinkage the result is that of scikit-learn's
LinearDiscriminantAnalysis(solver="lsqr").
"""

from dataclasses import dataclass

import torch

from probes.solvers.rowspace import Basis

MIN_SHRINKAGE = 1e-4
"""Least share of the scaled identity. With fewer rows than columns the scatter alone has no
inverse."""


@dataclass(frozen=True)
class Discriminant:
    """A probe fitted on one sample. Its scores are linear in a row's coordinates."""

    reduced: torch.Tensor
    """(r, K) weights."""
    intercept: torch.Tensor
    """(K,); -inf for a class without a row."""
    shrinkage: float

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """(m, K) from `coordinates @ reduced` (m, K)."""
        return torch.softmax(scores + self.intercept, dim=1)


def fit_discriminant(
    basis: Basis,
    labels: torch.Tensor,
    n_classes: int,
    n_columns: int,
    shrinkage: float | None = None,
) -> Discriminant:
    """The probe of a sample with `labels` (n,) int64 and `n_columns` features. `shrinkage` is in
    [MIN_SHRINKAGE, 1]; None: it is estimated. Cost nrK + rK², in float64."""
    squares = basis.singular.double().square()  # (r,): diagonal of the total scatter
    n_rows = len(labels)
    one_hot = torch.nn.functional.one_hot(labels, n_classes).double()
    counts = one_hot.sum(dim=0)
    coordinates = basis.coordinates.double()
    means = one_hot.T @ coordinates / counts.clamp_min(1)[:, None]  # (K, r)
    weighted = counts.sqrt()[:, None] * means  # rows whose squares are the between-class scatter
    trace = float((squares.sum() - weighted.square().sum()).clamp_min(0))
    if shrinkage is None:
        shrinkage = _ledoit_wolf(coordinates - means[labels], squares, weighted, n_columns)
    shrinkage = min(max(shrinkage, MIN_SHRINKAGE), 1.0)
    # where each class is a single point, all directions between the classes are equally good
    if trace <= float(squares.sum()) * 1e-12:
        spherical = max(float(squares.sum()) / (n_rows * n_columns), 1e-30)
        inverse_means = means / spherical
    else:
        a = (1 - shrinkage) / n_rows
        diagonal = a * squares + shrinkage * trace / (n_rows * n_columns)
        inner = torch.eye(n_classes, dtype=torch.float64) - a * (weighted / diagonal) @ weighted.T
        scaled = means / diagonal  # (K, r)
        inverse_means = scaled + a * (scaled @ weighted.T) @ torch.linalg.solve(
            inner, weighted / diagonal
        )
    prior = torch.log(counts / n_rows)  # -inf for a class without a row
    intercept = prior - 0.5 * (means * inverse_means).sum(dim=1)
    dtype = basis.left.dtype
    return Discriminant(inverse_means.T.to(dtype).contiguous(), intercept.to(dtype), shrinkage)


def _ledoit_wolf(
    residuals: torch.Tensor, squares: torch.Tensor, weighted: torch.Tensor, n_columns: int
) -> float:
    """The optimal share of tr(S)/d · I against S = RᵀR/n. `residuals` R (n, r) have RᵀR =
    diag(squares) − weightedᵀ·weighted."""
    n_rows = len(residuals)
    trace = float(squares.sum() - weighted.square().sum())
    between = weighted @ weighted.T
    norm = float(
        squares.square().sum() - 2 * (weighted.square() @ squares).sum() + between.square().sum()
    )  # |RᵀR|²
    fourth = float(residuals.square().sum(dim=1).square().sum())
    beta = (fourth / n_rows - norm / n_rows**2) / n_rows
    delta = norm / n_rows**2 - trace**2 / (n_rows**2 * n_columns)
    return min(max(beta, 0.0) / delta, 1.0) if delta > 0 else 1.0
