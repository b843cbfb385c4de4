"""Ridge classifier: every regularisation and exact leave-one-out predictions from one decomposition.

For one-hot targets Y it minimises ‖Y − XW − 1bᵀ‖² + ‖W‖²/C, the intercept b unpenalised, as scikit-learn's RidgeClassifier
with alpha = 1/C (whose ±1 targets give the same classes). The weakest penalty is rarely the best: near n = d it makes the
error of the probe peak (double descent), so grids must reach far up. Leave-one-out follows from the leverages (Golub, Heath and
Wahba 1979); it is written with the complement α/(s² + α) of the shrinkage, which loses no digits where leverages are near one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from probes.solvers.rowspace import Basis, RowSpace
from probes.solvers.temperature import best_temperatures

DEFAULT_CS = tuple(10.0**power for power in (-5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1))
"""Inverse penalties, strong to weak, on features scaled by `feature_scale`."""
MIN_LEAVE_OUT = 1e-7
"""Least 1 − leverage that is divided by: below it a row determines its own prediction."""


@dataclass(frozen=True)
class RidgePath:
    """Ridge probes of one sample for c regularisations; all tensors float, on the sample's device."""

    Cs: tuple[float, ...]
    reduced: torch.Tensor
    """(c, r, K) weights in the row space."""
    intercept: torch.Tensor
    """(K,) class frequencies: scores of the mean row."""
    loo_scores: torch.Tensor
    """(c, n, K): row i scored by the probe fitted to all other rows."""
    held_out_scores: torch.Tensor
    """(c, n, K): the same with the class frequencies of the whole sample as intercept. Leaving a row out makes its own class
    rarer: where features say little and classes are balanced, plain leave-one-out is then wrong about nearly every row."""
    temperatures: torch.Tensor
    """(c,) factors t >= 0 with which softmax(t · scores) has the least log-loss over `held_out_scores`."""
    seen: torch.Tensor
    """(K,) bool: classes of the sample; the others get probability 0."""
    best: int
    """Index of the C with the least squared error of `held_out_scores`; ties go to the stronger penalty."""

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """(c, m, K) probabilities of `scores` (c, m, K), calibrated on the held-out scores."""
        logits = (scores * self.temperatures[:, None, None]).masked_fill(~self.seen, -torch.inf)
        return torch.softmax(logits, dim=-1)

    def predict(self, space: RowSpace, X: torch.Tensor) -> torch.Tensor:
        """(c, m, K) probabilities of rows X (m, d)."""
        return self.probabilities(space.scores(X, self.reduced) + self.intercept)


def fit_ridge_path(space: Basis, labels: torch.Tensor, n_classes: int, Cs: Sequence[float] = DEFAULT_CS) -> RidgePath:
    """Ridge probes of a sample with `labels` (n,) int64 in 0..n_classes-1 for every C. Cost n·r·K per C.

    Raises ValueError for an empty grid or a C that is not positive.
    """
    Cs = tuple(sorted(float(C) for C in Cs))
    if not Cs or Cs[0] <= 0:
        raise ValueError(f"regularisations must be positive and at least one, got {Cs}")
    left, singular = space.left, space.singular
    n_rows, rank = left.shape
    target = torch.nn.functional.one_hot(labels, n_classes).to(left.dtype)
    intercept = target.mean(dim=0)
    projected = left.T @ (target - intercept)  # (r, K)
    is_spanned = rank == n_rows - 1  # the row space holds every centred target: nothing is left over
    leftover = torch.zeros_like(target) if is_spanned else target - intercept - left @ projected
    left_squares = left.square()
    free = torch.zeros(n_rows).to(left) if is_spanned else (1 - 1 / n_rows - left_squares.sum(dim=1)).clamp_min(0)

    alphas = 1 / torch.tensor(Cs, dtype=left.dtype, device=left.device)
    squares = singular.square()
    complement = alphas[:, None] / (squares + alphas[:, None])  # (c, r): 1 - shrinkage
    residual = leftover + left @ (complement[:, :, None] * projected)  # (c, n, K)
    leave_out = (free + complement @ left_squares.T).clamp_min(MIN_LEAVE_OUT)[:, :, None]  # (c, n, 1): 1 - leverage
    leverage = ((1 - complement) @ left_squares.T)[:, :, None]  # without the intercept's 1/n
    centred = target - intercept
    others = max(n_rows - 1, 1)
    # Two forms of one formula. Where leverages are large the first keeps the digits; where features say little the second does:
    # in the first, classes that should tie are then ordered by round-off, which knows the row's own label.
    by_residual = target - residual / leave_out + centred / others
    by_fit = intercept + (centred - residual - centred * (leverage * n_rows / others)) / leave_out
    held_out_scores = torch.where(leverage > 0.5, by_residual, by_fit)
    loo_scores = held_out_scores - centred / others
    reduced = (singular / (squares + alphas[:, None]))[:, :, None] * projected
    seen = target.any(dim=0)
    temperatures = best_temperatures(held_out_scores, labels, seen)
    best = _choose(held_out_scores, target, labels)
    return RidgePath(Cs, reduced, intercept, loo_scores, held_out_scores, temperatures, seen, best)


def _choose(held_out_scores: torch.Tensor, target: torch.Tensor, labels: torch.Tensor) -> int:
    """Index of the C with the least held-out squared error among those whose held-out accuracy is within half a standard
    error of the best; ties go to the stronger penalty.

    Squared error alone over-regularises where classes are many (77 classes, n = 128: 4 points of test accuracy lost),
    accuracy alone is noise where rows are few.
    """
    accuracy = (held_out_scores.argmax(dim=-1) == labels).float().mean(dim=-1)  # (c,)
    best = float(accuracy.max())
    is_eligible = accuracy >= best - 0.5 * (best * (1 - best) / len(labels)) ** 0.5
    errors = (target - held_out_scores).square().mean(dim=(1, 2))
    return int(errors.masked_fill(~is_eligible, torch.inf).argmin())
