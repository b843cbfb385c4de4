"""LogME: the evidence that a linear model of the labels has in an embedding space."""

from dataclasses import dataclass

import numpy as np

from probes.features.decomposition import RELATIVE_TOLERANCE, Decomposition, centred_rows, decompose

N_EVIDENCE_ITERATIONS = 11
"""Fixed-point iterations of LogME. The published implementation stops after as many."""
_LEAST_PRECISION = 1e-12
"""Floor of α and β. γ is 0 where X is all zeros (α then cancels from the evidence), and n where X
leaves no residual."""


def logme(
    X: np.ndarray, y: np.ndarray, n_classes: int, *, decomposition: Decomposition | None = None
) -> float:
    """Log maximum evidence of a Bayesian linear model of each one-hot label, per row: the mean over
    the classes that occur.

    X (n, d), y (n,) int64; labels outside 0..n_classes-1 are left out. Range: unbounded, higher is
    better, NaN without a label. Features are used as given (neither centred nor scaled). Cost
    nd·min(n, d) for the decomposition, then n·rank·classes. `decomposition` is that of the
    *centred* X, where the caller has it. Source: You et al., ICML 2021 (arXiv 2102.11005), with the
    fixed point α = γ/‖m‖², β = (n − γ)/‖y − Xm‖², γ = Σ s²/(s² + α/β).
    """
    centre, centred = X.mean(axis=0, dtype=np.float64), centred_rows(X)
    labels = np.unique(y[(y >= 0) & (y < n_classes)])
    if len(labels) == 0:
        return float("nan")
    bordered = _Bordered.of(
        centred,
        centre,
        decomposition or decompose(centred),
        np.equal.outer(labels, y).astype(np.float64),
    )
    alpha, beta = np.ones(len(labels)), np.ones(len(labels))
    previous, going = np.full(len(labels), np.inf), np.ones(len(labels), dtype=bool)
    for _ in range(N_EVIDENCE_ITERATIONS):
        gamma, weight_square, residual, _ = bordered.at(alpha / beta)
        alpha = np.where(going, np.maximum(gamma / (weight_square + 1e-5), _LEAST_PRECISION), alpha)
        beta = np.where(
            going, np.maximum((len(X) - gamma) / (residual + 1e-5), _LEAST_PRECISION), beta
        )
        going &= ~(np.abs(alpha / beta - previous) <= 1e-3 * previous)
        previous = alpha / beta
        if not going.any():
            break
    _, weight_square, residual, log_determinant = bordered.at(alpha / beta)
    rank = len(bordered.singular) + 1
    log_determinant += rank * np.log(beta) + (X.shape[1] - rank) * np.log(alpha)  # of αI + βXᵀX
    evidence = X.shape[1] * np.log(alpha) + len(X) * np.log(beta / (2 * np.pi)) - log_determinant
    evidence -= beta * residual + alpha * weight_square
    return float(np.mean(evidence) / 2 / len(X))


@dataclass(frozen=True)
class _Bordered:
    """XXᵀ of a sample that is not centred, in the basis of the centred sample's left vectors and
    the constant vector.

    In this basis XXᵀ is diagonal except for its last row and column: [[diag(s²), s·along],
    [(s·along)ᵀ, ‖along‖² + beyond]]. So everything that LogME needs of XXᵀ + ρI is a sum over s,
    and no second decomposition is needed. The formulas are written so that all terms of a sum are
    positive and none is the square of a square.
    """

    singular: np.ndarray
    """s (r,) of the centred sample."""
    along: np.ndarray
    """(r,) √n times the centre, in the centred sample's right vectors."""
    beyond: float
    """n times the squared length of the part of the centre outside these vectors."""
    targets: np.ndarray
    """(c, r) the one-hot targets in the centred sample's left vectors."""
    last_target: np.ndarray
    """(c,) the one-hot targets along the constant vector."""
    outside: np.ndarray
    """(c,) squared length of the part of each target that no linear model reaches."""

    @classmethod
    def of(
        cls, centred: np.ndarray, centre: np.ndarray, parts: Decomposition, targets: np.ndarray
    ) -> "_Bordered":
        n_rows, singular = len(centred), parts.singular
        along = parts.left.T @ (centred @ centre) / singular  # Vᵀ centre
        rest = centre - centred.T @ (parts.left @ (along / singular))
        beyond, total = (
            n_rows * float(rest @ rest),
            n_rows * float(centre @ centre) + float(singular @ singular),
        )
        projected, last = targets @ parts.left, targets.sum(axis=1) / np.sqrt(n_rows)
        outside = np.maximum(
            np.sum(targets**2, axis=1) - np.sum(projected**2, axis=1) - last**2, 0.0
        )
        beyond = beyond if beyond > RELATIVE_TOLERANCE * total else 0.0
        return cls(singular, np.sqrt(n_rows) * along, beyond, projected, last, outside)

    def at(self, ridge: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """γ, ‖m‖², ‖y − Xm‖² and log|XXᵀ + ρI| in the basis, (c,) each, for each target's `ridge` ρ
        (c,)."""
        squares, border = self.singular**2, self.singular * self.along
        shifted = squares + ridge[:, None]  # (c, r)
        lost = ridge[:, None] / shifted  # share of each direction that the prior takes
        schur = ridge + self.beyond + lost @ self.along**2
        last = (self.last_target - np.sum(border * self.targets / shifted, axis=1)) / schur
        dual = (self.targets - border * last[:, None]) / shifted  # with `last`: (XXᵀ + ρI)⁻¹ target
        gamma = np.sum(squares / shifted, axis=1) + (self.beyond + lost**2 @ self.along**2) / schur
        weights = self.singular * dual + self.along * last[:, None]
        weight_square = np.sum(weights**2, axis=1) + self.beyond * last**2
        residual = np.sum((ridge[:, None] * dual) ** 2, axis=1) + (ridge * last) ** 2 + self.outside
        return gamma, weight_square, residual, np.sum(np.log(shifted), axis=1) + np.log(schur)
