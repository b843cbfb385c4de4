"""Temperature scaling: the factor that turns scores into the best calibrated softmax logits (Guo et
al. 2017)."""

import torch

MAX_TEMPERATURE = 200.0
"""Largest factor from scores (ridge: near 0 and 1) to softmax logits."""
MAX_STEPS = 8
MAX_SCORES = 2**16
"""Scores of a sample that are looked at: of more, those of the first rows (samples are in random
order)."""
TOLERANCE = 1e-3
"""Relative change of a factor below which it has converged: Newton's next step would change its
square."""


def best_temperatures(
    scores: torch.Tensor, labels: torch.Tensor, seen: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """(S, c) minimisers over t in [0, MAX_TEMPERATURE] of the mean of −log softmax(t ·
    scores)[label], for scores (S, c, n, K), labels (S, n), classes that are `seen` (S, K), and row
    weights `share` (S, n) that sum to 1: convex in t, so Newton steps inside a bracket that each
    gradient's sign narrows."""
    n_used = max(
        MAX_SCORES // scores.shape[3], 1
    )  # one number is estimated: more rows would not change it visibly
    if n_used < labels.shape[1]:
        scores, labels, share = scores[:, :, :n_used], labels[:, :n_used], share[:, :n_used]
        share = share / share.sum(dim=1, keepdim=True)
    is_unseen = ~seen[:, None, :, None]
    scores = (
        scores.transpose(2, 3).masked_fill(is_unseen, 0.0).contiguous()
    )  # a softmax along few contiguous classes is slow
    mask = (
        torch.zeros_like(scores[:, :1, :, :1]).masked_fill(is_unseen, -torch.inf)
        if bool(is_unseen.any())
        else None
    )
    own = scores.gather(2, labels[:, None, None].expand(*scores.shape[:2], 1, -1))[:, :, 0]
    own = (own @ share[..., None])[..., 0]  # (S, c)
    t = torch.full_like(own, 8.0)
    low, high = torch.zeros_like(t), torch.full_like(t, MAX_TEMPERATURE)
    for _ in range(MAX_STEPS):
        logits = scores * t[..., None, None]
        p = torch.softmax(logits if mask is None else logits + mask, dim=2) * scores
        mean = p.sum(dim=2)  # (S, c, n)
        slope = (mean @ share[..., None])[..., 0] - own
        curvature = ((p.mul_(scores).sum(dim=2) - mean.square()) @ share[..., None])[..., 0]
        low, high = torch.where(slope < 0, t, low), torch.where(slope < 0, high, t)
        newton = t - slope / curvature.clamp_min(1e-12)
        middle = torch.where(low > 0, (low * high).sqrt(), high / 4)
        last, t = t, torch.where((newton > low) & (newton < high), newton, middle)
        if bool(((t - last).abs() <= TOLERANCE * t).all()):
            break
    return t
