"""The interface of an encoder. It takes texts, and gives one vector for each text and view."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict, runtime_checkable

import numpy as np

from neoberta.precision import UsedPrecision

CROSS = "cross_"
"""The names of poolings of two texts that are read together begin so."""
PAIR_MARK = "\x1e"
"""Separates the two texts of a pair in one input (ASCII record separator)."""


class View(NamedTuple):
    """One embedding space of an encoder: the hidden states of `layer`, pooled over the tokens of a
    text."""

    layer: int
    """0 is the input embeddings, L the last layer. Where `pooling` averages several layers, this is
    the deepest one of them."""
    pooling: str
    """See `probes.encoders.reference`: `mean`, `cls`, `mean_last4`, `sentence`, `cross_cls`, ..."""

    @property
    def is_cross(self) -> bool:
        """Whether its inputs are pairs of texts read together, joined by `join_pair`."""
        return self.pooling.startswith(CROSS)

    def __str__(self) -> str:
        return f"layer={self.layer},pooling={self.pooling}"


class EncoderFacts(TypedDict):
    """An `EncoderInfo` without its views, its notes and where it is from. Planned work carries
    it."""

    ref: str
    fingerprint: str
    family: str
    n_layers: int
    hidden_size: int
    n_parameters: int
    max_length: int
    precision: UsedPrecision


@dataclass(frozen=True)
class EncoderInfo:
    """The facts about an encoder that are known before it reads a text. The metamodel uses them as
    features."""

    ref: str
    """The reference it was loaded from, for example `hf:all-MiniLM-L6-v2`."""
    fingerprint: str
    """16 hex digits: a hash of weights, tokenizer and everything else that a vector depends on. A
    path is no part of it."""
    family: str
    """`neoberta`, `hf`, `lsa`, `random` or `static`. An evaluation can leave whole families out."""
    n_layers: int
    hidden_size: int
    n_parameters: int
    max_length: int
    """The longest input, in tokens. Longer texts are truncated."""
    views: tuple[View, ...]
    """Every view it offers."""
    standard_views: tuple[View, ...] = ()
    """The views that are compared where the user names none. Empty means all views."""
    precision: UsedPrecision = "fp32"
    """The precision of the matrix products. `bf16` is part of the fingerprint, `fp32` is not."""
    notes: tuple[str, ...] = ()
    """Notes for the user: which prompt is put before the texts, and what the encoder's folder asks
    for that is not done here."""
    weights: str = ""
    """16 hex digits: hash of the tensors that hidden states depend on, and of nothing else. The
    same weights have the same one in any folder, whatever their files are called. Empty for
    families that have no tensors, and for untrained weights."""
    hub_id: str = ""
    """Its name on the hub, where its files were downloaded from there. Empty for any other folder,
    whatever it is called."""

    @property
    def facts(self) -> EncoderFacts:
        """The facts without views and notes, as JSON."""
        return {
            "ref": self.ref,
            "fingerprint": self.fingerprint,
            "family": self.family,
            "n_layers": self.n_layers,
            "hidden_size": self.hidden_size,
            "n_parameters": self.n_parameters,
            "max_length": self.max_length,
            "precision": self.precision,
        }


@dataclass
class EncodingStats:
    """Counts of what an encoder has done since it was loaded."""

    n_texts: int = 0
    n_tokens: int = 0
    """Tokens that went through the encoder, after truncation and without padding."""
    n_truncated: int = 0
    """Texts that were longer than the encoder's `max_length`."""
    n_padding: int = 0
    """Padding positions that went through the encoder."""


@runtime_checkable
class Encoder(Protocol):
    """Loaded weights, ready to encode on this process's threads."""

    info: EncoderInfo
    stats: EncodingStats

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """The vectors of `texts` in each of the views, from one forward pass.

        Each view has an array (n_texts, d) float32 in the order of `texts`. Its values are finite,
        and do not depend on how the texts are batched. d is `hidden_size`; only a `sentence` view
        may have another width. Views of pairs that are read together (`View.is_cross`) take texts
        made by `join_pair`. They cannot be mixed with views of single texts (ValueError)."""
        ...

    def count_truncated(self, texts: Sequence[str], *, are_pairs: bool = False) -> int:
        """How many of `texts` (or of pairs made by `join_pair`) are longer than the encoder reads.
        Nothing is encoded."""
        ...


@runtime_checkable
class WordEncoder(Protocol):
    """An encoder that also gives a vector for every word. Sequence labelling needs one."""

    info: EncoderInfo
    stats: EncodingStats

    def encode_words(
        self, sentences: Sequence[Sequence[str]], layers: Sequence[int]
    ) -> dict[int, np.ndarray]:
        """The vectors of the W words of all sentences, in order. Each layer has an array (W, d)
        float32.

        The vector of a word is the mean of its tokens in its sentence. A word without tokens has
        the zero vector. A sentence that is longer than the encoder reads is encoded as several
        windows of whole words, and counts as truncated. Raises UserError for an unknown layer."""
        ...


def join_pair(text: str, text_pair: str) -> str:
    """Two texts as one input of a cross view. `split_pair` separates them again."""
    return f"{text.replace(PAIR_MARK, ' ')}{PAIR_MARK}{text_pair}"


def split_pair(joined: str) -> tuple[str, str]:
    """The two texts that `join_pair` joined. The second one is empty where the text is no pair."""
    text, _, text_pair = joined.partition(PAIR_MARK)
    return text, text_pair
