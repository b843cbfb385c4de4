"""The encoder: pre-norm blocks of bidirectional attention (RoPE) and SwiGLU, with RMSNorm and
without biases. The output layer is tied to the embedding.

It computes the same function as `eurobert` in transformers, so that checkpoints load there without
remote code. There are three differences in how it is computed: projections are fused, attention
stays inside packed documents, and logits are computed only for the positions to predict. Letters: B
rows, T positions, D hidden size, H heads, N positions to predict.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from neoberta.config import ModelConfig
from neoberta.precision import Precision, autocast_dtype

INIT_STD = 0.02


class NeoBERTa(nn.Module):
    """`forward` gives the pretraining loss. `hidden_states` is the encoder, and `logits` predicts
    masked tokens."""

    frequencies: Tensor
    """(head / 2,) angle of the rotary embedding per position, in radians."""

    def __init__(
        self,
        config: ModelConfig,
        vocab_size: int,
        *,
        seed: int = 0,
        precision: Precision = "fp32",
    ):
        """Weights are drawn from `seed`. `precision` is that of matrix products: `fp32`, `bf16` or
        `auto`."""
        super().__init__()
        self.config, self.vocab_size, self.precision = config, vocab_size, precision
        self.embed_tokens = nn.Embedding(vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.norm = nn.RMSNorm(config.hidden_size, eps=config.norm_eps)
        head_size = config.hidden_size // config.heads
        frequencies = config.rope_theta ** -(
            torch.arange(0, head_size, 2, dtype=torch.float32) / head_size
        )
        self.register_buffer("frequencies", frequencies, persistent=False)
        self._initialise(seed)

    def forward(
        self,
        *,
        tokens: Tensor,
        document: Tensor,
        position: Tensor,
        target_idx: Tensor,
        targets: Tensor,
        scale: Tensor,
    ) -> Tensor:
        """Sum of the cross-entropies (nats) at the positions to predict, times `scale` (); fp32.

        `tokens`, `document`, `position` are (B, T) int64. `target_idx` (N,) int64 holds the
        positions to predict, as indices into the flattened batch. `targets` (N,) int64 holds the
        original tokens there.
        """
        with self._autocast(tokens):
            hidden = self.hidden_states(tokens, position, same_document(document))[-1]
            logits = self.logits(hidden.flatten(0, 1)[target_idx])
        return F.cross_entropy(logits.float(), targets, reduction="sum") * scale

    def hidden_states(self, tokens: Tensor, position: Tensor, attends: Tensor) -> list[Tensor]:
        """n_layers + 1 tensors (B, T, D): the embeddings, then the residual stream after each
        block. `attends` (B, 1, T, T) bool says which position (third axis) sees which (fourth
        axis)."""
        hidden = self.embed_tokens(tokens)
        angles = position.unsqueeze(1).unsqueeze(-1) * self.frequencies  # (B, 1, T, head / 2)
        rotation = torch.cat([angles, angles], dim=-1)
        cos, sin = rotation.cos(), rotation.sin()
        states = [hidden]
        for block in self.layers:
            states.append(block(states[-1], cos, sin, attends))
        return states

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of every token (..., V), from the last hidden states (..., D)."""
        return F.linear(self.norm(hidden), self.embed_tokens.weight)

    def _autocast(self, tokens: Tensor) -> torch.autocast:
        device_type = tokens.device.type
        dtype = autocast_dtype(self.precision, device_type)
        return torch.autocast(device_type, dtype=dtype, enabled=dtype is not None)

    def _initialise(self, seed: int) -> None:
        """Draw normal weights. Those that write to the residual stream are smaller by a factor
        sqrt(2 n_layers), so that it is equally large at the start for any depth (Radford et al.
        2019)."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.ndim == 2:
                    writes_residual = name.endswith(("attention_out.weight", "down.weight"))
                    std = (
                        INIT_STD / math.sqrt(2 * self.config.n_layers)
                        if writes_residual
                        else INIT_STD
                    )
                    parameter.copy_(torch.randn(parameter.shape, generator=generator) * std)


class TransformerBlock(nn.Module):
    """Attention, then the gated feed-forward layer. Each reads the normed residual stream and adds
    to it."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        d, self.n_heads = config.hidden_size, config.heads
        self.attention_norm = nn.RMSNorm(d, eps=config.norm_eps)
        self.qkv = nn.Linear(d, 3 * d, bias=False)
        self.attention_out = nn.Linear(d, d, bias=False)
        self.mlp_norm = nn.RMSNorm(d, eps=config.norm_eps)
        self.gate_up = nn.Linear(d, 2 * config.intermediate, bias=False)
        self.down = nn.Linear(config.intermediate, d, bias=False)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, attends: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)."""
        n_rows, n_positions, _ = hidden.shape
        qkv = self.qkv(self.attention_norm(hidden)).view(n_rows, n_positions, 3, self.n_heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, T, head)
        cos, sin = cos.to(query.dtype), sin.to(query.dtype)
        query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attends)
        hidden = hidden + self.attention_out(mixed.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.mlp_norm(hidden)).chunk(2, dim=-1)
        fed_forward: Tensor = self.down(F.silu(gate) * up)
        return hidden + fed_forward


def same_document(document: Tensor) -> Tensor:
    """(B, 1, T, T) bool from document numbers (B, T): a position sees the positions of its own
    document. Padding sees padding."""
    return (document.unsqueeze(2) == document.unsqueeze(1)).unsqueeze(1)


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary position embedding (Su et al. 2021) of (B, H, T, head). Element i of a head is paired
    with element i + head / 2."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin
