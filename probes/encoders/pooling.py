"""Token vectors to one vector per text."""

import torch


def pool(hidden: torch.Tensor, lengths: torch.Tensor, pooling: str) -> torch.Tensor:
    """(B, T, D) any float dtype, right-padded; `lengths` (B,) int64 tokens of each text -> (B, D) float32.

    `cls` is the first token, `mean` and `max` go over all tokens of the text (special tokens included), never over padding.
    """
    if pooling == "cls":
        return hidden[:, 0].float()
    n_tokens = hidden.shape[1]
    is_padded = bool((lengths < n_tokens).any())
    if pooling == "mean":
        if not is_padded:
            return hidden.float().mean(dim=1)
        weights = _mask(lengths, n_tokens).float() / lengths[:, None]  # (B, T)
        return torch.bmm(weights[:, None, :], hidden.float()).squeeze(1)
    if pooling == "max":
        if is_padded:
            hidden = hidden.masked_fill(~_mask(lengths, n_tokens)[:, :, None], float("-inf"))
        return hidden.amax(dim=1).float()
    raise ValueError(f"unknown pooling {pooling!r}")


def _mask(lengths: torch.Tensor, n_tokens: int) -> torch.Tensor:
    return torch.arange(n_tokens, device=lengths.device)[None, :] < lengths[:, None]  # (B, T) bool, True on text
