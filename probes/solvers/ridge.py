"""Ridge classifier: probes of every regularisation, and exact leave-one-out predictions, from one
decomposition.

For one-hot targets Y it minimises Σ_i w_i ‖y_i − x_i W − b‖² + ‖W‖²/C, where the intercept b is not
penalised. This is scikit-learn's RidgeClassifier with alpha = 1/C and sample_weight = w (its ±1
targets give the same classes). The weakest penalty is rarely the best: near n = d it makes the
error of the probe peak (double descent), so grids must include strong penalties. Leave-one-out
follows from the leverages (Golub, Heath and Wahba 1979). It is written with the complement α/(s² +
α) of the shrinkage, which loses no digits where leverages are near one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from probes.solvers.rowspace import Basis
from probes.solvers.temperature import best_temperatures

RIDGE_SOLVER_CS = tuple(
    10.0**power for power in (-5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1)
)
"""Inverse penalties, from strong to weak, on features scaled by `feature_scale`."""
BATCH_ELEMENTS = 2**20
"""Held-out scores of the samples that are fitted in one batch."""
MIN_LEAVE_OUT = 1e-7
"""Least value of 1 − leverage as a divisor. Below it a row determines its own prediction."""


@dataclass(frozen=True)
class RidgePath:
    """Ridge probes of one sample for c regularisations. All tensors are float, on the sample's
    device."""

    Cs: tuple[float, ...]
    reduced: torch.Tensor
    """(c, r, K) weights in the row space."""
    intercept: torch.Tensor
    """(K,) class frequencies, which are the scores of the mean row."""
    loo_scores: torch.Tensor
    """(c, n, K): scores of row i by the probe that was fitted to all other rows."""
    held_out_scores: torch.Tensor
    """(c, n, K): the same, but with the class frequencies of the whole sample as intercept. Without
    a row its own class is rarer. So where features say little and classes are balanced, plain
    leave-one-out is wrong about nearly every row."""
    temperatures: torch.Tensor
    """(c,) factors t >= 0 for which softmax(t · scores) has the least log-loss over
    `held_out_scores`."""
    seen: torch.Tensor
    """(K,) bool: the classes that the sample has. The others get probability 0."""
    best: int
    """Index of the C that is chosen by `held_out_scores` (see `_choose`)."""

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """(c, m, K) probabilities of `scores` (c, m, K), calibrated on the held-out scores."""
        logits = (scores * self.temperatures[:, None, None]).masked_fill(~self.seen, -torch.inf)
        return torch.softmax(logits, dim=-1)


def fit_ridge_path(
    space: Basis, labels: torch.Tensor, n_classes: int, Cs: Sequence[float] = RIDGE_SOLVER_CS
) -> RidgePath:
    """Ridge probes for every C, of a sample with `labels` (n,) int64 in 0..n_classes-1. The rows
    have the weights of `space`; then C and temperature are chosen by weighted held-out errors. Cost
    n·r·K per C.

    Raises ValueError for an empty grid or a C that is not positive.
    """
    return fit_ridge_paths([space], labels[None], n_classes, Cs)[0]


def fit_ridge_paths(
    spaces: Sequence[Basis],
    labels: torch.Tensor,
    n_classes: int,
    Cs: Sequence[float] = RIDGE_SOLVER_CS,
) -> list[RidgePath]:
    """`fit_ridge_path` of S samples of n rows each, with `labels` (S, n), in shared products. For
    small samples calls cost more than arithmetic. Raises ValueError as `fit_ridge_path` does."""
    Cs = tuple(sorted(float(C) for C in Cs))
    if not Cs or Cs[0] <= 0:
        raise ValueError(f"regularisations must be positive and at least one, got {Cs}")
    n_rows = labels.shape[1]
    per_batch = max(1, BATCH_ELEMENTS // (n_rows * n_classes * len(Cs)))
    return [
        path
        for start in range(0, len(spaces), per_batch)
        for path in _fit_batch(
            spaces[start : start + per_batch], labels[start : start + per_batch], n_classes, Cs
        )
    ]


def _fit_batch(
    spaces: Sequence[Basis], labels: torch.Tensor, n_classes: int, Cs: tuple[float, ...]
) -> list[RidgePath]:
    ranks = [len(space.singular) for space in spaces]
    n_rows, rank = labels.shape[1], max(ranks)
    # A sample with fewer directions gets columns of zeros with singular value 0: nothing is
    # projected on them.
    left = torch.stack(
        [
            torch.nn.functional.pad(space.left, (0, rank - own))
            for space, own in zip(spaces, ranks, strict=True)
        ]
    )
    singular = torch.stack(
        [
            torch.nn.functional.pad(space.singular, (0, rank - own))
            for space, own in zip(spaces, ranks, strict=True)
        ]
    )
    ones = left.new_ones(n_rows)
    weight = torch.stack(
        [ones if space.weight is None else space.weight for space in spaces]
    )  # (S, n)
    share, root = weight / weight.sum(dim=1, keepdim=True), weight.sqrt()[:, :, None]
    target = torch.nn.functional.one_hot(labels, n_classes).to(left.dtype)  # (S, n, K)
    intercept = (share[:, None] @ target)[:, 0]  # (S, K)
    centred = target - intercept[:, None]
    projected = left.transpose(1, 2) @ (root * centred)  # (S, r, K)
    # a row space of n - 1 dimensions holds every centred target, so nothing is left over
    has_rest = torch.tensor([own < n_rows - 1 for own in ranks], device=left.device)
    leftover = (root * centred - left @ projected) * has_rest[:, None, None]
    left_squares = left.square().transpose(1, 2)  # (S, r, n)
    free = (1 - share - left_squares.sum(dim=1)).clamp_min(0) * has_rest[:, None]

    alphas = 1 / torch.tensor(Cs, dtype=left.dtype, device=left.device)
    squares = singular.square()[:, None]  # (S, 1, r)
    complement = alphas[:, None] / (squares + alphas[:, None])  # (S, c, r): 1 - shrinkage
    shrunk_away = complement.transpose(1, 2)[..., None] * projected[:, :, None]  # (S, r, c, K)
    # one product for all C
    residual = (left @ shrunk_away.flatten(2)).unflatten(2, (len(Cs), n_classes)).transpose(1, 2)
    residual = ((leftover / root)[:, None] + residual / root[:, None]).contiguous()  # (S, c, n, K)
    # (S, c, n, 1): 1 - leverage
    leave_out = (free[:, None] + complement @ left_squares).clamp_min(MIN_LEAVE_OUT)[..., None]
    leverage = ((1 - complement) @ left_squares)[..., None]  # without the intercept's share
    # how far the class frequencies move when a row is left out
    lost = (share / (1 - share).clamp_min(MIN_LEAVE_OUT))[:, None, :, None]
    # The formula has two forms. This one is exact where features say little: there the other one
    # orders classes that should tie by round-off, which depends on the row's own label. The other
    # one is exact where leverages are large.
    centred = centred[:, None]
    held_out_scores = (
        (centred - residual).addcmul_(centred, leverage * (1 + lost), value=-1).div_(leave_out)
    )
    is_large = leverage > 0.5
    if bool(is_large.any()):
        held_out_scores = torch.where(
            is_large, centred * (1 + lost) - residual.div_(leave_out), held_out_scores
        )
    held_out_scores += intercept[:, None, None]
    loo_scores = held_out_scores - centred * lost
    reduced = (singular[:, None] / (squares + alphas[:, None]))[..., None] * projected[:, None]
    seen = target.any(dim=1)  # (S, K)
    temperatures = best_temperatures(held_out_scores, labels, seen, share)
    best = _choose(held_out_scores, target, labels, share)
    return [
        RidgePath(
            Cs,
            reduced[i, :, :own],
            intercept[i],
            loo_scores[i],
            held_out_scores[i],
            temperatures[i],
            seen[i],
            best[i],
        )
        for i, own in enumerate(ranks)
    ]


def _choose(
    held_out_scores: torch.Tensor, target: torch.Tensor, labels: torch.Tensor, share: torch.Tensor
) -> list[int]:
    """For each sample the index of the C with the least held-out squared error, among those whose
    held-out accuracy is within half a standard error of the best. Ties go to the stronger penalty.

    Squared error alone chooses too strong penalties where there are many classes (77 classes, n =
    128: 4 points of test accuracy lost). Accuracy alone is noise where there are few rows.
    """
    hits = (held_out_scores.argmax(dim=-1) == labels[:, None]).to(share)  # (S, c, n)
    accuracy = (hits @ share[..., None])[..., 0]  # (S, c)
    best = accuracy.max(dim=1, keepdim=True).values
    is_eligible = accuracy >= best - 0.5 * (best * (1 - best) / labels.shape[1]).clamp_min(0).sqrt()
    errors = ((target[:, None] - held_out_scores).square().mean(dim=3) @ share[..., None])[..., 0]
    return errors.masked_fill(~is_eligible, torch.inf).argmin(dim=1).tolist()
