"""The cache on object storage: planning fetches no vectors, a node keeps one copy of what it
reads."""

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache, MissingVectorsError
from probes.embeddings.segment import text_keys
from probes.embeddings.upkeep import list_caches, prune_caches, verify_caches
from probes.encoders import View

if TYPE_CHECKING:
    from s3_server import S3Server

A, B = View(0, "cls"), View(1, "mean")
TEXTS = ["one", "two", "three"]


@pytest.fixture
def storage(s3: "S3Server") -> Storage:
    return Storage(s3.root)


def cache_with(storage: Storage, seed: int = 0) -> tuple[EmbeddingCache, dict[View, np.ndarray]]:
    vectors = {view: np.random.default_rng(seed).standard_normal((3, 4)) for view in (A, B)}
    EmbeddingCache(storage, "f" * 16).publish(TEXTS, vectors)
    return EmbeddingCache(storage, "f" * 16), vectors


def copies(storage: Storage) -> list[Path]:
    folder = storage.node_copy("embeddings")
    assert folder is not None
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_planning_fetches_keys_only_and_reading_copies_once(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, vectors = cache_with(storage)
    assert cache.missing([*TEXTS, "four"], [A, B]) == ["four"]
    assert copies(storage) == []
    np.testing.assert_allclose(cache.vectors(TEXTS[::-1], A), vectors[A][::-1], rtol=1e-3)
    (copy,) = copies(storage)
    before = copy.stat()
    again = EmbeddingCache(storage, "f" * 16)  # another process of the node
    monkeypatch.setattr(Storage, "_download", lambda *_: pytest.fail("fetched twice"))
    np.testing.assert_allclose(again.vectors(TEXTS, B), vectors[B], rtol=1e-3)
    assert (copy.stat().st_ino, copy.stat().st_size) == (before.st_ino, before.st_size)
    assert again.publish(TEXTS, vectors) == []


def test_a_damaged_copy_is_fetched_again(storage: Storage) -> None:
    cache, vectors = cache_with(storage)
    cache.vectors(TEXTS, A)
    (copy,) = copies(storage)
    data = bytearray(copy.read_bytes())
    data[-len(TEXTS) * 16 - 1] ^= 1
    copy.write_bytes(data)
    np.testing.assert_allclose(
        EmbeddingCache(storage, "f" * 16).vectors(TEXTS, B), vectors[B], rtol=1e-3
    )


def test_damage_on_the_storage_itself_counts_as_missing(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    cache, vectors = cache_with(storage)
    (file,) = [file for file in storage.files() if file.key.endswith(".safetensors")]
    data = bytearray(storage.read_bytes(file.key))
    data[-len(TEXTS) * 16 - 1] ^= 1
    storage.write_bytes(file.key, bytes(data))
    ((_, damage),) = verify_caches(storage)
    assert damage is not None and file.key in damage
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(MissingVectorsError, match="embed them first"),
    ):
        cache.vectors(TEXTS, B)
    assert not storage.exists(file.key) and copies(storage) == []
    assert len(cache.publish(TEXTS, vectors)) == 1
    np.testing.assert_allclose(cache.vectors(TEXTS, B), vectors[B], rtol=1e-3)


def test_pruning_takes_the_copies_along(storage: Storage) -> None:
    cache, _ = cache_with(storage)
    cache.vectors(TEXTS, A)
    (summary,) = list_caches(storage)
    assert (summary.n_texts, summary.n_views) == (3, 2)
    now, month = datetime.now(UTC), timedelta(days=30)
    assert prune_caches(storage, month, now) == []
    (copy,) = copies(storage)
    old = (now - 2 * month).timestamp()
    os.utime(copy, (old, old))
    assert len(prune_caches(storage, month, now)) == 1 and copies(storage) == []
    mapped = EmbeddingCache(storage, "f" * 16).mapped(
        text_keys(TEXTS), A
    )  # the vectors themselves are still there
    assert mapped.shape == (3, 4)
    assert len(prune_caches(storage, month, now + 2 * month)) == 2 and list_caches(storage) == []
