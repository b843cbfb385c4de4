"""What an encoder is to the rest of the project: texts in, one vector per text and view out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np


class View(NamedTuple):
    """One embedding space of an encoder: the hidden states of `layer` (0 = input embeddings, L = last) pooled over tokens."""

    layer: int
    pooling: str
    """`cls` (first token), `mean` or `max` over the text's tokens (special tokens included, padding not)."""

    def __str__(self) -> str:
        return f"layer={self.layer},pooling={self.pooling}"


@dataclass(frozen=True)
class EncoderInfo:
    """What is known of an encoder before it sees a text; features of the metamodel."""

    ref: str
    """The reference it was loaded from, for example `hf:all-MiniLM-L6-v2`."""
    fingerprint: str
    """16 hex digits: hash of weights, tokenizer and everything else that a vector depends on; never of a path."""
    family: str
    """`neoberta`, `hf`, `lsa`, `random`, `static`: evaluation can leave whole families out."""
    n_layers: int
    hidden_size: int
    n_parameters: int
    max_length: int
    """Longest input in tokens; longer texts are truncated."""
    views: tuple[View, ...]
    """Every view it offers."""


@dataclass
class EncodingStats:
    """What an encoder has done since it was loaded."""

    n_texts: int = 0
    n_tokens: int = 0
    """Tokens that went through the encoder: after truncation, without padding."""
    n_truncated: int = 0
    """Texts that were longer than the encoder's `max_length`."""


@runtime_checkable
class Encoder(Protocol):
    """Loaded weights, ready to encode on this process's threads."""

    info: EncoderInfo
    stats: EncodingStats

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """Every view asked for from one forward pass: per view an array (n_texts, hidden_size) float32 in the order of
        `texts`, finite, independent of how the texts are batched."""
        ...
