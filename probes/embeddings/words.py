"""Vectors of words in the embedding cache. The words of a sentence go through an encoder once for
any set of layers.

A word's vector depends on its sentence. So in the cache a word is named by its sentence and its
place in it. Its view is the layer with the pooling `word`. Everything else (segments, checksums,
upkeep) is as for texts.
"""

import json
from collections.abc import Callable, Sequence

import numpy as np

from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.segment import segment_bytes
from probes.encoders.base import View, WordEncoder

WORD = "word"
"""The pooling of these views: the mean of a word's tokens (`WordEncoder.encode_words`)."""
SENTENCES_PER_SEGMENT = 256
"""Sentences that are encoded and published at once. A job that was interrupted repeats at most
these."""

Sentence = tuple[str, ...]


def missing_sentences(
    cache: EmbeddingCache, sentences: Sequence[Sentence], layers: Sequence[int]
) -> list[Sentence]:
    """The distinct sentences in which a word lacks a vector in one of `layers`, in the order of
    their first appearance."""
    names = {sentence: _word_names(sentence) for sentence in sentences}
    missing = set(
        cache.missing([name for words in names.values() for name in words], _word_views(layers))
    )
    return [sentence for sentence, words in names.items() if not missing.isdisjoint(words)]


def embed_words(
    encoder: WordEncoder,
    cache: EmbeddingCache,
    sentences: Sequence[Sentence],
    layers: Sequence[int],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Make sure that the words of all `sentences` are in `cache`, all `layers` from one forward
    pass. Returns how many sentences had to be encoded now (0: all were there). `progress` gets
    (sentences done, sentences to encode). Raises UserError for a layer that the encoder does not
    have."""
    todo = missing_sentences(cache, sentences, layers)
    cache.describe(encoder.info)
    for start in range(0, len(todo), SENTENCES_PER_SEGMENT):
        part = todo[start : start + SENTENCES_PER_SEGMENT]
        vectors = encoder.encode_words(part, layers)
        names = [name for sentence in part for name in _word_names(sentence)]
        cache.publish(names, {View(layer, WORD): X for layer, X in vectors.items()})
        if progress is not None:
            progress(start + len(part), len(todo))
    return len(todo)


def word_vectors(cache: EmbeddingCache, sentences: Sequence[Sentence], layer: int) -> np.ndarray:
    """(W, d) float32: the vectors of the words of all sentences, in order. Raises
    MissingVectorsError."""
    return cache.vectors(
        [name for sentence in sentences for name in _word_names(sentence)], View(layer, WORD)
    )


def predicted_bytes(sentences: Sequence[Sentence], hidden_size: int, n_layers: int) -> int:
    """Bytes that the words of `sentences` will take in the cache."""
    return segment_bytes(sum(map(len, sentences)), hidden_size, n_layers)


def _word_names(sentence: Sentence) -> list[str]:
    whole = json.dumps(sentence)
    return [f"{whole}#{place}" for place in range(len(sentence))]


def _word_views(layers: Sequence[int]) -> list[View]:
    return [View(layer, WORD) for layer in layers]
