"""Multinomial logistic regression with an L2 penalty: whole regularisation paths of many samples at
once, exactly.

For every sample s, replica r and C it minimises the objective of scikit-learn's LogisticRegression
divided by the sum of the weights:

    F(W, b) = Σ_i w_i · crossentropy(y_i, W·x_i + b) / Σ_i w_i + ‖W‖² / (2 C Σ_i w_i)

The intercept b is not penalised. For two classes there is one weight vector (the sigmoid form).

The method is truncated Newton. A step comes from conjugate gradients on the Hessian, which are
preconditioned by its exact diagonal. In the basis of `probes.solvers.rowspace` the diagonal is most
of the Hessian. For two classes a Cholesky factor takes its place as soon as that pays. The path
runs from strong to weak regularisation. Each C starts from the last solution, or from the
extrapolation of the last two where that is better. Samples are stacked, so that products are
batched. Replicas have the same rows with other weights (the folds of a cross-validation); they are
further columns of one product. Line searches need no product, because logits are linear along a
step.

Source: Lin, Weng and Keerthi (2008). Backtracking replaces their trust region, since the objective
is convex and the starts are warm.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

LOGISTIC_CS = (0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse penalties, from strong to weak, on features scaled by `feature_scale`. C means the same
as scikit-learn's C."""
FLOOR_TOLERANCES = 10.0
"""Where a step finds no decrease, and would win at most this many tolerances, the objective is at
the end of what its precision resolves: that counts as converged. On some processors a path in
single precision ends so at its weakest regularisation."""
MAX_NEWTON_STEPS = 60
MAX_CG_STEPS = {torch.float32: 60, torch.float64: 400}
GAP_TOLERANCE = {torch.float32: 3e-5, torch.float64: 1e-13}
"""A fit ends with the Newton step whose predicted decrease is below this share of the objective."""
CG_TOLERANCE = 0.3
"""Conjugate gradients end when the preconditioned residual has shrunk to this share (to less near
the solution)."""
Point = tuple[torch.Tensor, torch.Tensor]
"""Parameters (S, R, k, p), and the logits (S, R, k, n) that follow from them."""
STALE_CG_STEPS = 5
"""For two classes: when one Newton step takes this many conjugate gradient steps, the
preconditioner is made anew from the Hessian."""
MAX_GRAM_ELEMENTS = 2**24
"""The Hessians of a batch are not formed where they would hold more numbers than this."""
BATCH_ELEMENTS = 2**18
"""Logits of the samples that are solved in one batch. There are enough of them to make the overhead
of a call small, and few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class LogisticPath:
    """Fitted probes of S samples, R replicas and c regularisations."""

    Cs: tuple[float, ...]
    weights: torch.Tensor
    """(c, S, R, r, K), in the coordinates of the rows that were given. For two classes they are
    −v/2 and v/2, where v is the vector of the sigmoid form."""
    intercepts: torch.Tensor
    """(c, S, R, K). −inf for a class without weight in the sample; its probability is then 0."""
    objectives: torch.Tensor
    """(c, S, R): F at the solution."""
    converged: torch.Tensor
    """(c, S, R) bool."""
    n_products: int
    """How many products of all rows with all columns were computed, forward or backward, summed
    over batches. It is the cost in units of the problem's size."""


def fit_logistic_path(
    X: torch.Tensor,
    labels: torch.Tensor,
    n_classes: int,
    Cs: Sequence[float] = LOGISTIC_CS,
    *,
    sample_weight: torch.Tensor | None = None,
) -> LogisticPath:
    """Logistic probes of rows X (S, n, r) with `labels` (S, n) int64. X is best given as
    `RowSpace.coordinates`.

    `sample_weight` (S, n, R) >= 0 is (S, n, 1) ones by default. The dtype of X decides the
    precision: float32 ends within 1e-4 of the least objective, float64 within 1e-6 and with
    gradients below 1e-5. On a sample of one class the probe predicts that class with certainty.
    Raises ValueError for a C that is not positive.
    """
    Cs = tuple(sorted(float(C) for C in Cs))
    if not Cs or Cs[0] <= 0:
        raise ValueError(f"regularisations must be positive and at least one, got {Cs}")
    if sample_weight is None:
        sample_weight = X.new_ones(*X.shape[:2], 1)
    n_samples, n_rows, _ = X.shape
    n_logits = n_rows * sample_weight.shape[2] * (n_classes if n_classes > 2 else 1)
    per_batch = max(1, BATCH_ELEMENTS // n_logits)
    parts = []
    for start in range(0, n_samples, per_batch):
        batch = slice(start, start + per_batch)
        parts.append(_Problem(X[batch], labels[batch], n_classes, sample_weight[batch]).path(Cs))
    return LogisticPath(
        Cs,
        weights=torch.cat([part.weights for part in parts], dim=1),
        intercepts=torch.cat([part.intercepts for part in parts], dim=1),
        objectives=torch.cat([part.objectives for part in parts], dim=1),
        converged=torch.cat([part.converged for part in parts], dim=1),
        n_products=sum(part.n_products for part in parts),
    )


HessianProduct = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(V, X·V) -> H·V. All are (S, R, k, p), but X·V is (S, R, k, n)."""

Preconditioner = Callable[[torch.Tensor], torch.Tensor]
"""G -> approximately H⁻¹·G, both (S, R, k, p)."""


class _Problem:
    """One batch of samples. Its design matrix is (S, n, p) with p = r + 1 (a column of ones for the
    intercept). Parameters are (S, R, k, p), logits (S, R, k, n), where k is 1 for two classes and K
    otherwise. Rows come last, so that products are of wide matrices and softmax runs along
    contiguous memory. The other order is 2 to 7 times slower for few classes."""

    def __init__(self, X: torch.Tensor, labels: torch.Tensor, n_classes: int, weight: torch.Tensor):
        self.is_binary = n_classes == 2
        self.design = torch.cat([X, X.new_ones(*X.shape[:2], 1)], dim=2)
        self.design_T = self.design.transpose(1, 2).contiguous()
        self.squared_design = self.design.square()
        self.weight_sum = weight.sum(dim=1)  # (S, R)
        # (S, R, 1, n)
        self.weight = (weight / self.weight_sum[:, None]).transpose(1, 2)[:, :, None].contiguous()
        one_hot = torch.nn.functional.one_hot(labels, n_classes).to(X.dtype)
        # (S, 1, k, n)
        self.target = one_hot.transpose(1, 2)[:, None, int(self.is_binary) :].contiguous()
        self.seen = torch.einsum("snr,snk->srk", weight, one_hot) > 0  # (S, R, K)
        unseen = torch.zeros_like(self.seen, dtype=X.dtype).masked_fill(~self.seen, -torch.inf)
        # (S, R, k, 1)
        self.mask = (unseen[..., 1:] - unseen[..., :1] if self.is_binary else unseen)[..., None]
        self.penalised = X.new_ones(self.design.shape[2])  # (p,)
        self.penalised[-1] = 0
        self.can_factor = (
            self.is_binary
            and self.weight_sum.numel() * self.design.shape[2] ** 2 <= MAX_GRAM_ELEMENTS
        )
        # (S, R, p, p): the last Hessian that was formed, without its penalty
        self.gram: torch.Tensor | None = None
        self.is_stale = False
        self.gap_tolerance = GAP_TOLERANCE[X.dtype]
        self.max_cg_steps = MAX_CG_STEPS[X.dtype]
        self.n_products = 0

    # --- the objective ----------------------------------------------------------------------------

    def forward(self, W: torch.Tensor) -> torch.Tensor:
        """The logits of parameters W."""
        self.n_products += 1
        return torch.bmm(W.flatten(1, 2), self.design_T).unflatten(1, W.shape[1:3])

    def backward(self, T: torch.Tensor, design: torch.Tensor | None = None) -> torch.Tensor:
        """The sum over rows of T (S, R, k, n) times the row. The rows are by default those of the
        design."""
        self.n_products += 1
        return torch.bmm(T.flatten(1, 2), self.design if design is None else design).unflatten(
            1, T.shape[1:3]
        )

    def probabilities(self, logits: torch.Tensor) -> torch.Tensor:
        return (
            torch.sigmoid(logits + self.mask)
            if self.is_binary
            else torch.softmax(logits + self.mask, dim=2)
        )

    def loss(self, logits: torch.Tensor, W: torch.Tensor, strength: torch.Tensor) -> torch.Tensor:
        """(S, R): F at `strength` (S, R) = 1 / (C Σw)."""
        if self.is_binary:
            total = torch.nn.functional.softplus(torch.where(self.target > 0, -logits, logits))
            total = torch.where(self.mask.isfinite(), total, 0.0)[:, :, 0]
        else:
            total = torch.logsumexp(logits + self.mask, dim=2) - (self.target * logits).sum(dim=2)
        data = (self.weight[:, :, 0] * total).sum(dim=2)
        return data + 0.5 * strength * (self.penalised * W.square()).sum(dim=(2, 3))

    def hessian_of(
        self, P: torch.Tensor, strength: torch.Tensor
    ) -> tuple[HessianProduct, torch.Tensor]:
        """The function V -> H·V, and the curvature w · p(1 − p) of each logit, at probabilities
        P."""
        weighted_P = self.weight * P
        penalty = self.penalised * strength[:, :, None, None]
        curvature = weighted_P * (1 - P)

        def apply(V: torch.Tensor, XV: torch.Tensor) -> torch.Tensor:
            if self.is_binary:
                T = curvature * XV
            else:
                T = weighted_P * XV
                T = torch.addcmul(T, P, T.sum(dim=2, keepdim=True), value=-1)
            return torch.addcmul(self.backward(T), penalty, V)

        return apply, curvature

    def preconditioner(self, curvature: torch.Tensor, penalty: torch.Tensor) -> Preconditioner:
        """An approximate inverse of H at `curvature` (S, R, k, n) = w · p(1 − p). As a rule it
        inverts the exact diagonal of H. For two classes the diagonal becomes too weak at weak
        regularisation, where the rows that are still undecided are not orthogonal. Then the
        Cholesky factor of an earlier H, with the present penalty, is used. (For more classes one
        factor of the classes' mean Hessian was tried: it saves less than it costs.)"""
        if self.is_stale:
            self.gram = self.design_T[:, None] @ (curvature.transpose(2, 3) * self.design[:, None])
            self.is_stale = False
        if self.gram is None:
            diagonal = (self.backward(curvature, self.squared_design) + penalty).clamp_min(1e-12)
            return lambda residual: residual / diagonal
        ridge = (
            penalty[:, :, 0]
            + 1e-6 * self.gram.diagonal(dim1=2, dim2=3).mean(dim=2, keepdim=True)
            + 1e-12
        )
        factor = torch.linalg.cholesky(self.gram + torch.diag_embed(ridge))
        return lambda residual: torch.cholesky_solve(residual.transpose(2, 3), factor).transpose(
            2, 3
        )

    # --- the path ---------------------------------------------------------------------------------

    def path(self, Cs: tuple[float, ...]) -> LogisticPath:
        """The path of this batch's samples."""
        W = self._start()
        logits = self.forward(W)
        before: Point | None = None
        outcomes: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]] = []
        for i, C in enumerate(Cs):
            strength = 1 / (C * self.weight_sum)
            start = W, logits
            if before is not None and i > 1:
                ahead = math.log(C / Cs[i - 1]) / math.log(Cs[i - 1] / Cs[i - 2])
                start = self._better_start((W, logits), before, ahead, strength)
            before = W, logits
            W, logits, objective, converged = self._solve(*start, strength)
            outcomes.append((*self._as_softmax(W), objective, converged))
        weights, intercepts, objectives, are_converged = (
            torch.stack(parts) for parts in zip(*outcomes, strict=True)
        )
        return LogisticPath(
            Cs, weights, intercepts, objectives, are_converged, n_products=self.n_products
        )

    def _start(self) -> torch.Tensor:
        """The optimum under infinite regularisation: weights of zero, and intercepts that give the
        class frequencies."""
        W = self.design.new_zeros(*self.mask.shape[:3], self.design.shape[2])
        frequency = (self.weight * self.target).sum(dim=3)
        log_odds = torch.logit(frequency) if self.is_binary else frequency.log()
        W[..., -1] = torch.where(log_odds.isfinite(), log_odds, 0.0)
        return W

    def _better_start(
        self, last: Point, before: Point, ahead: float, strength: torch.Tensor
    ) -> Point:
        """For each problem the better start at the next C: the last solution, or a point further on
        along the line through the last two. `ahead` is the distance to it, in units of their
        distance (in log C)."""
        (W, logits), (W_before, logits_before) = last, before
        W_ahead, logits_ahead = (
            W + ahead * (W - W_before),
            logits + ahead * (logits - logits_before),
        )
        is_better = self.loss(logits_ahead, W_ahead, strength) < self.loss(logits, W, strength)
        choice = is_better[:, :, None, None]
        return torch.where(choice, W_ahead, W), torch.where(choice, logits_ahead, logits)

    def _solve(
        self, W: torch.Tensor, logits: torch.Tensor, strength: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """Newton's method from (W, logits). Returns W, logits, objective, converged."""
        objective = self.loss(logits, W, strength)
        active = torch.ones_like(objective, dtype=torch.bool)
        converged = torch.zeros_like(active)
        penalty = self.penalised * strength[:, :, None, None]
        first_size, precondition = None, None
        for _ in range(MAX_NEWTON_STEPS):
            P = self.probabilities(logits)
            gradient = torch.addcmul(self.backward(self.weight * (P - self.target)), penalty, W)
            gradient = gradient * active[:, :, None, None]
            apply, curvature = self.hessian_of(P, strength)
            if precondition is None or self.gram is None or self.is_stale:
                precondition = self.preconditioner(curvature, penalty)
            size = (gradient * precondition(gradient)).sum(dim=(2, 3))
            first_size = size if first_size is None else first_size
            forcing = CG_TOLERANCE**2 * (size / first_size.clamp_min(1e-38)).clamp(1e-4, 1).sqrt()
            step, logit_step = self._conjugate_gradients(
                apply, precondition, gradient, size * forcing
            )
            slope = (gradient * step).sum(dim=(2, 3))
            is_last = -0.5 * slope <= self.gap_tolerance * objective
            length, objective = self._line_search(
                (W, logits), (step, logit_step), slope, objective, strength
            )
            W = W + length[:, :, None, None] * step
            logits = logits + length[:, :, None, None] * logit_step
            is_at_floor = (length == 0) & (
                -0.5 * slope <= FLOOR_TOLERANCES * self.gap_tolerance * objective
            )
            converged |= active & (is_last | is_at_floor)
            active &= ~is_last & (length > 0)
            if not active.any():
                break
        return W, logits, objective, converged

    def _conjugate_gradients(
        self,
        apply: HessianProduct,
        precondition: Preconditioner,
        gradient: torch.Tensor,
        target: torch.Tensor,
    ) -> Point:
        """A step V with H·V close to −gradient, and X·V. The squared preconditioned residual is at
        most `target` (S, R)."""
        step = torch.zeros_like(gradient)
        logit_step = gradient.new_zeros(*gradient.shape[:3], self.design.shape[1])
        residual = -gradient
        scaled = precondition(residual)
        direction = scaled
        size = (residual * scaled).sum(dim=(2, 3))
        for n_steps in range(self.max_cg_steps):
            is_live = size > target
            if not is_live.any():
                break
            self.is_stale = self.can_factor and n_steps >= STALE_CG_STEPS
            X_direction = self.forward(direction)
            H_direction = apply(direction, X_direction)
            curvature = (direction * H_direction).sum(dim=(2, 3))
            length = torch.where(is_live & (curvature > 0), size / curvature.clamp_min(1e-38), 0.0)[
                :, :, None, None
            ]
            step = torch.addcmul(step, length, direction)
            logit_step = torch.addcmul(logit_step, length, X_direction)
            residual = torch.addcmul(residual, length, H_direction, value=-1)
            scaled = precondition(residual)
            new_size = (residual * scaled).sum(dim=(2, 3))
            # 0 for the problems that are solved: they do not move any more
            memory = torch.where(is_live, new_size / size.clamp_min(1e-38), 0.0)
            direction = torch.addcmul(scaled, memory[:, :, None, None], direction)
            size = torch.where(is_live, new_size, size)
        return step, logit_step

    def _line_search(
        self,
        start: Point,
        step: Point,
        slope: torch.Tensor,
        objective: torch.Tensor,
        strength: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Step lengths (S, R), 0 where no decrease was found, and the objectives there. Armijo
        backtracking from the full step."""
        (W, logits), (W_step, logit_step) = start, step
        length = torch.ones_like(slope)
        slack = 10 * torch.finfo(objective.dtype).eps * objective
        accepted = torch.zeros_like(slope, dtype=torch.bool)
        best = objective
        for _ in range(12):
            shaped = length[:, :, None, None]
            trial = self.loss(logits + shaped * logit_step, W + shaped * W_step, strength)
            good = ~accepted & (trial <= objective + 1e-4 * length * slope + slack)
            best = torch.where(good, trial, best)
            accepted |= good
            if accepted.all():
                break
            length = torch.where(accepted, length, length / 3)
        return torch.where(accepted, length, 0.0), best

    def _as_softmax(self, W: torch.Tensor) -> Point:
        """Weights (S, R, r, K) and intercepts (S, R, K) of the softmax form."""
        W = W.transpose(2, 3)
        if self.is_binary:
            W = torch.cat([-W / 2, W / 2], dim=3)
        return W[:, :, :-1], W[:, :, -1].masked_fill(~self.seen, -torch.inf)
