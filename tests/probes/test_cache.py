"""The embedding cache: what was put in comes out, whatever happened to the files in between."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.storage import Storage
from probes.cache import MAX_MAGNITUDE, EmbeddingCache, MissingVectorsError, text_keys
from probes.encoders import View

A, B = View(0, "cls"), View(1, "mean")
FLOAT16_RELATIVE_ERROR = 2**-11


def vectors_of(texts: list[str], view: View, d: int = 5) -> np.ndarray:
    """Values that only the text and the view decide, (n, d) float32."""
    seeds = text_keys(texts).astype(np.int64).sum(axis=1) + view.layer
    return np.stack([np.random.default_rng(seed).standard_normal(d) for seed in seeds]).astype(np.float32)


def publish(cache: EmbeddingCache, texts: list[str], *views: View) -> str:
    return cache.publish(texts, {view: vectors_of(texts, view) for view in views})


def open_cache(folder: Path) -> EmbeddingCache:
    return EmbeddingCache(Storage(folder), "f" * 16)


def segment_file(folder: Path, key: str) -> Path:
    return folder / "embeddings" / ("f" * 16) / f"{key}.safetensors"


def test_gathers_in_the_order_asked_over_segments(tmp_path: Path) -> None:
    publish(open_cache(tmp_path), ["a", "b", ""], A, B)
    publish(open_cache(tmp_path), ["c", "d \ud83d"], A, B)
    asked = ["d \ud83d", "a", "", "c", "a"]
    out = open_cache(tmp_path).view(asked, B)
    assert out.dtype == np.float32 and out.shape == (5, 5)
    np.testing.assert_allclose(out, vectors_of(asked, B), rtol=FLOAT16_RELATIVE_ERROR, atol=1e-7)
    np.testing.assert_array_equal(out[1], out[4])


def test_missing_is_distinct_in_order_and_by_view(tmp_path: Path) -> None:
    cache = open_cache(tmp_path)
    assert cache.missing([], [A]) == []
    assert cache.missing(["b", "a", "b"], [A]) == ["b", "a"]
    publish(cache, ["a"], A)
    assert cache.missing(["b", "a", "c", "b"], [A]) == ["b", "c"]
    assert cache.missing(["a"], [A, B]) == ["a"]
    publish(open_cache(tmp_path), ["a"], B)  # another process adds the other view
    assert cache.missing(["a"], [A, B]) == []
    with pytest.raises(MissingVectorsError, match="1 of 2 texts lack layer=0,pooling=cls"):
        cache.view(["a", "b"], A)


def test_sees_what_others_publish(tmp_path: Path) -> None:
    reader = open_cache(tmp_path)
    publish(reader, ["a"], A)
    reader.view(["a"], A)
    publish(open_cache(tmp_path), ["b"], A)
    assert reader.view(["b"], A).shape == (1, 5)


def test_publishing_twice_is_one_segment(tmp_path: Path) -> None:
    key = publish(open_cache(tmp_path), ["a", "b"], A)
    before = segment_file(tmp_path, key).read_bytes()
    assert publish(open_cache(tmp_path), ["a", "b"], A) == key
    assert segment_file(tmp_path, key).read_bytes() == before
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    assert open_cache(tmp_path).has_segment(key)


@pytest.mark.parametrize("damage", ["flip", "flip_text_key", "truncate", "empty", "header"])
def test_a_corrupt_segment_is_removed_and_encoded_again(tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
    key = publish(open_cache(tmp_path), ["a", "b"], A)
    publish(open_cache(tmp_path), ["c"], A)
    path = segment_file(tmp_path, key)
    data = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(data[:8], "little")
    match damage:
        case "flip":
            data[start + 3] ^= 4
        case "flip_text_key":
            data[-1] ^= 1
        case "truncate":
            data = data[: start + 10]
        case "empty":
            data = bytearray()
        case "header":
            data[20] = 0xFF
    path.write_bytes(data)
    cache = open_cache(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert cache.missing(["a", "b", "c"], [A]) == ["a", "b"]
    assert len(caplog.records) == 1 and "\n" not in caplog.records[0].getMessage()
    assert not path.exists()
    publish(cache, ["a", "b"], A)
    np.testing.assert_allclose(cache.view(["b", "c"], A), vectors_of(["b", "c"], A), rtol=FLOAT16_RELATIVE_ERROR, atol=1e-7)


def test_corruption_found_while_reading_is_said_as_missing(tmp_path: Path) -> None:
    path = segment_file(tmp_path, publish(open_cache(tmp_path), ["a"], A))
    data = bytearray(path.read_bytes())
    data[8 + int.from_bytes(data[:8], "little")] ^= 1
    path.write_bytes(data)
    with pytest.raises(MissingVectorsError):
        open_cache(tmp_path).view(["a"], A)


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    tensors = load_file(segment_file(tmp_path, publish(open_cache(tmp_path), ["a", "b"], A, B)))
    assert {name: (str(t.dtype), t.shape) for name, t in tensors.items()} == {
        "texts": ("uint8", (2, 16)),
        str(A): ("float16", (2, 5)),
        str(B): ("float16", (2, 5)),
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, width=32), min_size=1, max_size=20))
def test_float16_never_overflows_and_keeps_eleven_bits(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    cache = open_cache(tmp_path_factory.mktemp("cache"))
    x = np.array([values], dtype=np.float32)
    cache.publish(["a"], {A: x})
    error = np.abs(cache.view(["a"], A).astype(np.float64) - x)
    largest = float(np.abs(x).max())
    assert (error <= FLOAT16_RELATIVE_ERROR * np.abs(x) + 1e-9 * largest + 1e-37).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32(2e38)])
def test_vectors_must_be_finite(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        open_cache(tmp_path).publish(["a"], {A: np.array([[value]])})
    assert not list(tmp_path.rglob("*.safetensors"))
