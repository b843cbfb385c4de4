"""Temperature scaling: the factor that turns scores into the best calibrated softmax logits (Guo et al. 2017)."""

import torch

MAX_TEMPERATURE = 200.0
"""Largest factor from scores (ridge: near 0 and 1) to softmax logits."""


def best_temperatures(scores: torch.Tensor, labels: torch.Tensor, seen: torch.Tensor, n_steps: int = 8) -> torch.Tensor:
    """(c,) minimisers over t in [0, MAX_TEMPERATURE] of the mean of −log softmax(t · scores)[label]: convex in t, so Newton
    steps inside a bracket that each gradient's sign narrows."""
    scores = scores[:, :, seen]
    chosen = torch.nn.functional.one_hot(labels, len(seen))[:, seen].to(scores.dtype)
    own = (scores * chosen).sum(dim=-1).mean(dim=-1)  # (c,)
    t = torch.full_like(own, 8.0)
    low, high = torch.zeros_like(t), torch.full_like(t, MAX_TEMPERATURE)
    for _ in range(n_steps):
        p = torch.softmax(scores * t[:, None, None], dim=-1)
        mean = (p * scores).sum(dim=-1)  # (c, n)
        slope = mean.mean(dim=-1) - own
        curvature = ((p * scores.square()).sum(dim=-1) - mean.square()).mean(dim=-1)
        low, high = torch.where(slope < 0, t, low), torch.where(slope < 0, high, t)
        newton = t - slope / curvature.clamp_min(1e-12)
        middle = torch.where(low > 0, (low * high).sqrt(), high / 4)
        t = torch.where((newton > low) & (newton < high), newton, middle)
    return t
