"""The shape of a NeoBERTa, and how it is pretrained. Unknown keys are errors."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

HEAD_SIZE = 64
"""Width of an attention head, unless `n_heads` is set."""


class ModelConfig(BaseModel):
    """The shape of an encoder. The size of its vocabulary is that of the tokenizer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_layers: int = Field(4, ge=1)
    """Number of transformer blocks."""
    hidden_size: int = Field(256, ge=8)
    """Width of the residual stream."""
    n_heads: int | None = Field(None, ge=1)
    """Attention heads. Null: as many as fit with heads of 64."""
    intermediate_size: int | None = Field(None, ge=8)
    """Width of the gated feed-forward layer. Null: 8/3 of `hidden_size`, rounded up to a multiple
    of 64."""
    max_length: int = Field(128, ge=8, le=8192)
    """Tokens of a row in pretraining. The model reads no longer input."""
    rope_theta: float = Field(10_000.0, gt=1)
    """Base of the rotary position frequencies."""
    norm_eps: float = Field(1e-5, gt=0)
    """Added to the mean square in RMSNorm."""

    @model_validator(mode="after")
    def _heads_divide(self) -> "ModelConfig":
        if self.hidden_size % self.heads or (self.hidden_size // self.heads) % 2:
            raise ValueError(
                f"hidden_size {self.hidden_size} must be an even multiple of n_heads"
                f" ({self.heads}); use a multiple of {HEAD_SIZE}, or set n_heads"
            )
        return self

    @property
    def heads(self) -> int:
        """The number of attention heads, also where `n_heads` is null."""
        return self.n_heads or max(1, self.hidden_size // HEAD_SIZE)

    @property
    def intermediate(self) -> int:
        """The width of the feed-forward layer, also where `intermediate_size` is null."""
        return self.intermediate_size or -(-8 * self.hidden_size // (3 * 64)) * 64

    def n_parameters(self, vocab_size: int) -> dict[str, int]:
        """The numbers of parameters: those of the `body` (blocks and last norm), and those of the
        `embedding` (which is tied with the output layer)."""
        d = self.hidden_size
        block = 4 * d * d + 3 * d * self.intermediate + 2 * d
        return {"body": self.n_layers * block + d, "embedding": vocab_size * d}


class PretrainConfig(BaseModel):
    """One pretraining run: masked language modelling with AdamW."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: ModelConfig = ModelConfig()
    n_tokens: int = Field(1_000_000, ge=1)
    """The budget: how many positions go through the model, padding (a few per cent) included. The
    number of epochs follows from it."""
    batch_tokens: int = Field(2048, ge=8)
    """Positions of one optimiser step, over all workers. Rounded down to whole rows of
    `model.max_length`."""
    lr: float = Field(2e-3, gt=0)
    """Peak learning rate."""
    schedule: Literal["wsd", "cosine", "linear"] = "wsd"
    """The learning rate after warm-up: constant, then 1-sqrt decay (`wsd`), half a cosine, or a
    straight line. Each ends at zero."""
    warmup_fraction: float = Field(0.05, ge=0, le=1)
    """Share of the budget in which the learning rate rises from zero."""
    decay_fraction: float = Field(0.3, ge=0, le=1)
    """Share of the budget, at its end, in which a `wsd` schedule falls to zero."""
    mask_rate: float = Field(0.3, gt=0, lt=1)
    """Share of the tokens that the model has to predict, at the beginning."""
    mask_rate_end: float | None = Field(None, gt=0, lt=1)
    """The same share at the end. It is reached linearly. Null: the share is constant."""
    weight_decay: float = Field(0.01, ge=0)
    """Decoupled weight decay. It applies to matrices and embeddings, not to norms."""
    betas: tuple[float, float] = (0.9, 0.98)
    """Decay of AdamW's first and second moments."""
    grad_clip: float = Field(1.0, gt=0)
    """Largest norm of the gradient."""
    seed: int = Field(0, ge=0)
    """Seed of the initial weights, the order of rows and the masks."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products (auto: bf16 where the hardware has it). Weights, moments and the
    loss are fp32."""
    n_workers: int = Field(1, ge=1)
    """Data-parallel workers. Beyond rounding, the outcome does not depend on their number."""
    zero_stage: Literal[0, 1, 2] = 1
    """DeepSpeed's ZeRO stage: what is sharded over workers (1: moments, 2: also gradients)."""
    checkpoint_every_steps: int = Field(200, ge=1)
    """Steps between training states on storage. A run that was interrupted repeats at most this
    many steps."""

    @model_validator(mode="after")
    def _consistent(self) -> "PretrainConfig":
        if self.batch_rows < self.n_workers:
            raise ValueError(
                f"batch_tokens {self.batch_tokens} gives {self.batch_rows} rows of"
                f" {self.model.max_length} tokens, fewer than n_workers {self.n_workers}; use at"
                f" least {self.n_workers * self.model.max_length}"
            )
        if self.schedule == "wsd" and self.warmup_fraction + self.decay_fraction > 1:
            raise ValueError("warmup_fraction + decay_fraction must not exceed 1")
        return self

    @property
    def batch_rows(self) -> int:
        """Rows of one optimiser step over all workers."""
        return self.batch_tokens // self.model.max_length

    @property
    def n_steps(self) -> int:
        """Number of optimiser steps in the budget, at least one."""
        return max(1, round(self.n_tokens / (self.batch_rows * self.model.max_length)))

    def identity(self) -> dict[str, Any]:
        """Everything that the outcome depends on: the configuration without the fields that say how
        the work is spread and saved."""
        return self.model_dump(
            mode="json", exclude={"n_workers", "zero_stage", "checkpoint_every_steps"}
        )
