"""Word vectors in the embedding cache."""

from pathlib import Path

import numpy as np
import pytest
from tiny_models import N_LAYERS, save_tiny_model

from cluster.storage import Storage, UserError
from probes.embeddings.cache import EmbeddingCache, MissingVectorsError
from probes.embeddings.upkeep import verify_caches
from probes.embeddings.words import embed_words, missing_sentences, predicted_bytes, word_vectors
from probes.encoders import load_encoder
from probes.encoders.base import WordEncoder

SENTENCES = [("fit", "the", "model"), (), ("the", "the", ""), ("fit", "the", "model"), ("model",)]
LAYERS = [0, N_LAYERS]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> WordEncoder:
    return load_encoder(f"hf:{save_tiny_model(tmp_path_factory.mktemp('model'))}", precision="fp32")


def test_words_are_encoded_once_for_all_layers(tmp_path: Path, encoder: WordEncoder) -> None:
    cache, n_before = (
        EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint),
        encoder.stats.n_texts,
    )
    with pytest.raises(MissingVectorsError):
        word_vectors(cache, SENTENCES, 0)
    seen: list[tuple[int, int]] = []
    assert (
        embed_words(encoder, cache, SENTENCES, LAYERS, progress=lambda *done: seen.append(done))
        == 3
    )
    assert encoder.stats.n_texts - n_before == 3, "not again for a layer, nor where it is repeated"
    assert seen == [(3, 3)]
    (path,) = tmp_path.glob("embeddings/*/*.safetensors")
    expected = encoder.encode_words(SENTENCES, LAYERS)
    for layer in LAYERS:
        found = word_vectors(
            EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint), SENTENCES, layer
        )
        np.testing.assert_allclose(found, expected[layer], rtol=2**-10, atol=1e-4)
    distinct = [SENTENCES[0], SENTENCES[2], SENTENCES[4]]
    assert (
        path.stat().st_size
        <= predicted_bytes(distinct, encoder.info.hidden_size, 2)
        < path.stat().st_size + 500
    )
    assert [damage for _, damage in verify_caches(Storage(tmp_path))] == [None]


def test_only_what_is_missing_is_encoded(tmp_path: Path, encoder: WordEncoder) -> None:
    cache = EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint)
    embed_words(encoder, cache, SENTENCES[:1], [0])
    n_before = encoder.stats.n_texts
    assert embed_words(encoder, cache, SENTENCES, [0]) == 2
    assert embed_words(encoder, cache, SENTENCES, [0]) == 0
    assert missing_sentences(cache, SENTENCES, LAYERS) == [
        SENTENCES[0],
        SENTENCES[2],
        SENTENCES[4],
    ], "the other layer"
    assert encoder.stats.n_texts - n_before == 2
    assert embed_words(encoder, cache, [()], [0]) == 0


def test_a_layer_that_is_not_there(tmp_path: Path, encoder: WordEncoder) -> None:
    with pytest.raises(UserError, match=f"has layers 0 to {N_LAYERS}, not 9"):
        embed_words(
            encoder, EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint), SENTENCES, [9]
        )
