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


@runtime_checkable
class Encoder(Protocol):
    """Loaded weights, ready to encode on this process's threads."""

    info: EncoderInfo

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """Every view asked for from one forward pass: per view an array (n_texts, hidden_size) float32 in the order of
        `texts`, finite, independent of how the texts are batched."""
        ...
