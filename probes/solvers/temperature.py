"""Temperature scaling: the factor that makes the softmax of scores best calibrated (Guo et al.
2017)."""

import torch

MAX_TEMPERATURE = 200.0
"""Largest factor from scores to softmax logits. (Scores of ridge are near 0 and 1.)"""
MAX_STEPS = 8
MAX_SCORES = 2**16
"""Scores of a sample that are used. Where there are more, those of the first rows are (samples are
in random order)."""
TOLERANCE = 1e-3
"""A factor has converged when its relative change is below this. The next Newton step would change
it by about the square of that."""


def best_temperatures(
    scores: torch.Tensor, labels: torch.Tensor, seen: torch.Tensor, share: torch.Tensor
) -> torch.Tensor:
    """(S, c): the t in [0, MAX_TEMPERATURE] that minimises the mean of −log softmax(t ·
    scores)[label].

    scores are (S, c, n, K), labels (S, n). `seen` (S, K) says which classes the sample has. Row
    weights `share` (S, n) sum to 1. The objective is convex in t, so Newton steps are taken inside
    a bracket, which the sign of each gradient narrows.
    """
    # only one number is estimated, so more rows would hardly change it
    n_used = max(MAX_SCORES // scores.shape[3], 1)
    if n_used < labels.shape[1]:
        scores, labels, share = scores[:, :, :n_used], labels[:, :n_used], share[:, :n_used]
        share = share / share.sum(dim=1, keepdim=True)
    is_unseen = ~seen[:, None, :, None]
    # classes before rows: a softmax along few contiguous classes is slow
    scores = scores.transpose(2, 3).masked_fill(is_unseen, 0.0).contiguous()

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
