"""What the caches of a storage hold, which files are damaged, and what is removed for not being
used."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.segment import text_keys
from probes.embeddings.upkeep import list_caches, prune_caches, verify_caches
from probes.encoders import View
from probes.encoders.base import EncoderInfo

A, B = View(0, "cls"), View(1, "mean")
NOW = datetime.now(UTC)
MONTH = timedelta(days=30)


def fill(storage: Storage, fingerprint: str, texts: list[str], *views: View) -> Path:
    """One segment of vectors of width 4; returns its file."""
    cache = EmbeddingCache(storage, fingerprint)
    cache.describe(EncoderInfo(f"hf:{fingerprint}", fingerprint, "hf", 1, 4, 10, 512, (A, B)))
    (key,) = cache.publish(texts, {view: np.ones((len(texts), 4)) for view in views})
    return Path(storage.uri) / cache.prefix / f"{key}.safetensors"


def set_age(path: Path, age: timedelta) -> None:
    at = (NOW - age).timestamp()
    os.utime(path, (at, at))


def test_listing(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    assert list_caches(storage) == []
    files = [
        fill(storage, "b" * 16, ["x", "y"], A, B),
        fill(storage, "b" * 16, ["y", "z", "w"], A),
        fill(storage, "a" * 16, ["x"], B),
    ]
    for file in files:
        set_age(file, MONTH)
    (
        Path(storage.uri) / "embeddings" / ("a" * 16) / "encoder.json"
    ).unlink()  # as older versions left it
    unnamed, named = list_caches(storage)
    assert (unnamed.encoder_fingerprint, unnamed.ref, unnamed.n_texts, unnamed.n_views) == (
        "a" * 16,
        "",
        1,
        1,
    )
    assert (named.encoder_fingerprint, named.ref, named.n_texts, named.n_views) == (
        "b" * 16,
        f"hf:{'b' * 16}",
        4,
        2,
    )
    assert named.size_bytes == sum(file.stat().st_size for file in files[:2])
    assert named.last_used_at is not None and abs(NOW - MONTH - named.last_used_at) < timedelta(
        minutes=1
    )


@pytest.mark.parametrize("damage", ["flip", "truncate", "extend_header", "empty"])
def test_every_damaged_file_is_named_and_none_removed(tmp_path: Path, damage: str) -> None:
    storage = Storage(tmp_path)
    sound, broken = fill(storage, "a" * 16, ["x", "y"], A, B), fill(storage, "a" * 16, ["z"], A, B)
    assert [damaged for _, damaged in verify_caches(storage)] == [None, None]
    data = bytearray(broken.read_bytes())
    match damage:
        case "flip":  # in the second view: nobody has read it
            data[-KEYS_AND_LAST_VALUE] ^= 1
        case "truncate":
            data = data[:-5]
        case "extend_header":
            data[:8] = (2**40).to_bytes(8, "little")
        case "empty":
            data = bytearray()
    broken.write_bytes(data)
    found = {Path(storage.uri) / file.key: damaged for file, damaged in verify_caches(storage)}
    assert found[sound] is None
    assert found[broken] is not None and broken.name in found[broken] and "\n" not in found[broken]
    assert broken.exists()


KEYS_AND_LAST_VALUE = 16 + 1
"""Bytes from the end of a segment of one text to the last byte of its last vector."""


def test_what_is_used_stays(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    read, planned, unused = (
        fill(storage, "a" * 16, [text], A) for text in ("read", "planned", "unused")
    )
    for file in (read, planned, unused):
        set_age(file, timedelta(days=31))
    EmbeddingCache(storage, "a" * 16).vectors(["read"], A)
    assert EmbeddingCache(storage, "a" * 16).missing(["planned"], [A]) == []
    would = prune_caches(storage, MONTH, NOW, dry_run=True)
    assert [Path(storage.uri) / file.key for file in would] == [unused] and unused.exists()
    assert prune_caches(storage, MONTH, NOW) == would
    assert read.exists() and planned.exists() and not unused.exists()
    assert EmbeddingCache(storage, "a" * 16).missing(["read", "unused"], [A]) == ["unused"]
    assert prune_caches(storage, timedelta(0), NOW + timedelta(days=1)) != []
    assert list_caches(storage) == []


def test_a_reader_survives_pruning(tmp_path: Path) -> None:
    """What it has mapped stays readable; what it looks for afterwards is missing, not an error of
    the file system."""
    storage = Storage(tmp_path)
    fill(storage, "a" * 16, ["x"], A, B)
    reader = EmbeddingCache(storage, "a" * 16)
    (array,) = list(reader.mapped(text_keys(["x"]), A).stored())
    prune_caches(storage, timedelta(0), NOW + timedelta(days=1))
    assert array.shape == (1, 4) and float(array[0, 0]) != 0
    assert reader.missing(["x"], [B]) == ["x"]


def test_leftovers_of_a_killed_writer_are_pruned(tmp_path: Path) -> None:
    code = f"""
import os, signal
from cluster.storage import Storage
with Storage({str(tmp_path)!r}).writing("embeddings/{"a" * 16}/0123.safetensors") as path:
    path.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert (
        subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode
        == -signal.SIGKILL
    )
    storage = Storage(tmp_path)
    storage.write_bytes(f"embeddings/{'a' * 16}/texts/0123.parquet", b"planned")
    assert prune_caches(storage, MONTH, NOW) == []
    assert len(prune_caches(storage, MONTH, NOW + 2 * MONTH)) == 2
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
