"""Pooling: from the vectors of tokens to one vector for each text.

The name of a pooling says what is done with the tokens of a layer: `cls`, `mean`, `max`, `last`. A
second word says which layers are averaged: `mean_all`, `mean_last4`, `mean_ends`. The pooled
vectors of the layers are averaged.
"""

import torch

TOKEN_POOLINGS = ("cls", "mean", "max", "last")
COMBINATIONS = ("all", "last4", "ends")
"""`all`: all layers and the input embeddings. `last4`: the last four layers. `ends`: the first
layer above the embeddings and the last one, as in SimCSE."""


def layers_of(layer: int, pooling: str) -> tuple[tuple[int, ...], str]:
    """The layers that `pooling` up to `layer` averages, and what it does with the tokens of
    each."""
    tokens, _, combination = pooling.partition("_")
    if combination == "all":
        return tuple(range(layer + 1)), tokens
    if combination == "last4":
        return tuple(range(max(layer - 3, 0), layer + 1)), tokens
    if combination == "ends":
        return (min(1, layer), layer), tokens
    return (layer,), tokens


def pool(hidden: torch.Tensor, lengths: torch.Tensor, tokens: str) -> torch.Tensor:
    """(B, T, D) any float dtype, right-padded; `lengths` (B,) int64 tokens of each text -> (B, D)
    float32.

    `cls` is the first token, `last` the last one of the text; `mean` and `max` go over all its
    tokens (special tokens included), never over padding. Raises ValueError for another name.
    """
    if tokens == "cls":
        return hidden[:, 0].float()
    n_tokens = hidden.shape[1]
    is_padded = bool((lengths < n_tokens).any())
    if tokens == "last":
        return hidden[torch.arange(len(hidden), device=hidden.device), lengths - 1].float()
    if tokens == "mean":
        if not is_padded:
            return hidden.float().mean(dim=1)
        weights = text_mask(lengths, n_tokens).float() / lengths[:, None]  # (B, T)
        return torch.bmm(weights[:, None, :], hidden.float()).squeeze(1)
    if tokens == "max":
        if is_padded:
            hidden = hidden.masked_fill(~text_mask(lengths, n_tokens)[:, :, None], float("-inf"))
        return hidden.amax(dim=1).float()
    raise ValueError(f"unknown pooling {tokens!r}")


def text_mask(lengths: torch.Tensor, n_tokens: int) -> torch.Tensor:
    """(B, n_tokens) bool, True on the tokens of a text, False on padding."""
    return torch.arange(n_tokens, device=lengths.device)[None, :] < lengths[:, None]
