"""What an encoder is to the rest of the project: texts in, one vector per text and view out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypedDict, runtime_checkable

import numpy as np

from neoberta.precision import UsedPrecision

CROSS = "cross_"
"""How poolings begin whose inputs are pairs of texts read together."""
PAIR_MARK = "\x1e"
"""Between the two texts of a pair in one input (ASCII record separator)."""


class View(NamedTuple):
    """One embedding space of an encoder: hidden states pooled over the tokens of a text, up to
    `layer` deep."""

    layer: int
    """0 = input embeddings, L = last. Where `pooling` averages layers it is the deepest of them:
    what has to be computed."""
    pooling: str
    """See `probes.encoders.reference`: `mean`, `cls`, `mean_last4`, `sentence`, `cross_cls`, ..."""

    @property
    def is_cross(self) -> bool:
        """Whether its inputs are pairs of texts read together, joined by `join_pair`."""
        return self.pooling.startswith(CROSS)

    def __str__(self) -> str:
        return f"layer={self.layer},pooling={self.pooling}"


class EncoderFacts(TypedDict):
    """An `EncoderInfo` without its views and notes, as planned work carries it."""

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
    """What is known of an encoder before it sees a text; features of the metamodel."""

    ref: str
    """The reference it was loaded from, for example `hf:all-MiniLM-L6-v2`."""
    fingerprint: str
    """16 hex digits: hash of weights, tokenizer and everything else that a vector depends on; never
    of a path."""
    family: str
    """`neoberta`, `hf`, `lsa`, `random`, `static`: evaluation can leave whole families out."""
    n_layers: int
    hidden_size: int
    n_parameters: int
    max_length: int
    """Longest input in tokens; longer texts are truncated."""
    views: tuple[View, ...]
    """Every view it offers."""
    standard_views: tuple[View, ...] = ()
    """The views that are looked at where the user names none; empty: all."""
    precision: UsedPrecision = "fp32"
    """`fp32`, or what the matrix products are rounded to, `bf16`: then part of the fingerprint."""
    notes: tuple[str, ...] = ()
    """What its users should know: a prompt that is put before the texts or is not, and what its
    folder declares that is not done here."""

    @property
    def facts(self) -> EncoderFacts:
        """What is known beside the views, as JSON."""
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
    """What an encoder has done since it was loaded."""

    n_texts: int = 0
    n_tokens: int = 0
    """Tokens that went through the encoder: after truncation, without padding."""
    n_truncated: int = 0
    """Texts that were longer than the encoder's `max_length`."""
    n_padding: int = 0
    """Padding that went through the encoder beside the tokens."""


@runtime_checkable
class Encoder(Protocol):
    """Loaded weights, ready to encode on this process's threads."""

    info: EncoderInfo
    stats: EncodingStats

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """Every view asked for from one forward pass: per view an array (n_texts, d) float32 in the
        order of `texts`, finite, independent of how the texts are batched. d is `hidden_size`; only
        a `sentence` view may be wider or narrower.

        Views of pairs read together (`View.is_cross`) take texts made by `join_pair`, and cannot be
        asked for along with views of single texts (ValueError)."""
        ...

    def count_truncated(self, texts: Sequence[str], *, are_pairs: bool = False) -> int:
        """How many of `texts` (or of pairs made by `join_pair`) are longer than it reads; nothing
        is encoded."""
        ...


@runtime_checkable
class WordEncoder(Protocol):
    """An encoder that also gives a vector for every word: what sequence labelling stands on."""

    info: EncoderInfo
    stats: EncodingStats

    def encode_words(
        self, sentences: Sequence[Sequence[str]], layers: Sequence[int]
    ) -> dict[int, np.ndarray]:
        """Per layer an array (W, d) float32, the words of all sentences in order, W their number:
        the mean of a word's tokens in its sentence. A word of which the tokenizer leaves nothing is
        the zero vector; sentences longer than the encoder reads go in as several windows of whole
        words, and count as truncated. Raises UserError for an unknown layer."""
        ...


def join_pair(text: str, text_pair: str) -> str:
    """Two texts as one input of a cross view; see `split_pair`."""
    return f"{text.replace(PAIR_MARK, ' ')}{PAIR_MARK}{text_pair}"


def split_pair(joined: str) -> tuple[str, str]:
    """What `join_pair` joined; a text that is no pair has an empty second one."""
    text, _, text_pair = joined.partition(PAIR_MARK)
    return text, text_pair
