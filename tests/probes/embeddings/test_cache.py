"""The embedding cache: what was put in comes out, whatever happened to the files in between."""

import hashlib
import json
import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache, MissingVectorsError
from probes.embeddings.segment import MAX_MAGNITUDE, segment_bytes, text_keys
from probes.encoders import View

A, B = View(0, "cls"), View(1, "mean")
FLOAT16_RELATIVE_ERROR = 2**-11


def vectors_of(texts: list[str], view: View, d: int = 5) -> np.ndarray:
    """Values that only the text and the view decide, (n, d) float32."""
    seeds = text_keys(texts).astype(np.int64).sum(axis=1) + view.layer
    return np.stack([np.random.default_rng(seed).standard_normal(d) for seed in seeds]).astype(
        np.float32
    )


def publish(cache: EmbeddingCache, texts: list[str], *views: View) -> str:
    (key,) = cache.publish(texts, {view: vectors_of(texts, view) for view in views})
    return key


def open_cache(folder: Path) -> EmbeddingCache:
    return EmbeddingCache(Storage(folder), "f" * 16)


def segment_file(folder: Path, key: str) -> Path:
    return folder / "embeddings" / ("f" * 16) / f"{key}.safetensors"


def test_gathers_in_the_order_asked_over_segments(tmp_path: Path) -> None:
    publish(open_cache(tmp_path), ["a", "b", ""], A, B)
    publish(open_cache(tmp_path), ["c", "d \ud83d"], A, B)
    asked = ["d \ud83d", "a", "", "c", "a"]
    out = open_cache(tmp_path).vectors(asked, B)
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
        cache.vectors(["a", "b"], A)


def test_sees_what_others_publish(tmp_path: Path) -> None:
    reader = open_cache(tmp_path)
    publish(reader, ["a"], A)
    reader.vectors(["a"], A)
    publish(open_cache(tmp_path), ["b"], A)
    assert reader.vectors(["b"], A).shape == (1, 5)


def test_publishing_twice_is_one_segment(tmp_path: Path) -> None:
    key = publish(open_cache(tmp_path), ["a", "b"], A)
    before = segment_file(tmp_path, key).read_bytes()
    assert open_cache(tmp_path).publish(["b", "a"], {A: vectors_of(["b", "a"], A)}) == []
    assert segment_file(tmp_path, key).read_bytes() == before
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_only_what_is_missing_is_written(tmp_path: Path) -> None:
    """A view that comes later costs its own bytes; a text that another job wrote meanwhile is not
    written again."""
    publish(open_cache(tmp_path), ["a", "b"], A)
    keys = open_cache(tmp_path).publish(
        ["b", "c", "a"], {view: vectors_of(["b", "c", "a"], view) for view in (A, B)}
    )
    shapes = sorted(
        (name, tensor.shape)
        for key in keys
        for name, tensor in load_file(segment_file(tmp_path, key)).items()
        if name != "texts"
    )
    assert shapes == [(str(A), (1, 5)), (str(B), (3, 5))]
    for view in (A, B):
        expected = vectors_of(["c", "a", "b"], view)
        np.testing.assert_allclose(
            open_cache(tmp_path).vectors(["c", "a", "b"], view),
            expected,
            rtol=FLOAT16_RELATIVE_ERROR,
            atol=1e-7,
        )


def test_rows_are_read_when_they_are_taken(tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(20)]
    for start in range(0, 20, 6):
        publish(open_cache(tmp_path), texts[start : start + 6], A)
    mapped = open_cache(tmp_path).mapped(text_keys(texts), A)
    everything = open_cache(tmp_path).vectors(texts, A)
    assert mapped.shape == everything.shape == (20, 5) and len(mapped) == 20
    for rows in (
        slice(3, 15),
        slice(None, None, -1),
        np.array([19, 0, 7, 7]),
        np.arange(20) % 3 == 0,
        np.array([], dtype=int),
    ):
        np.testing.assert_array_equal(mapped[rows], everything[rows])
    stored = list(mapped.stored())
    assert len(stored) == 4 and all(
        array.dtype == np.float16 and not array.flags.writeable for array in stored
    )


def test_segments_of_older_versions_load(tmp_path: Path) -> None:
    """Their checksums are SHA-256 over scale, shape and bytes."""
    texts = ["a", "b"]
    path = segment_file(tmp_path, publish(open_cache(tmp_path), texts, A))
    tensors = load_file(path)
    with safe_open(path, "np") as file:
        arrays = json.loads(file.metadata()["arrays"])
    for name, array in arrays.items():
        sha = hashlib.sha256(
            repr((array["scale"], tensors[name].shape)).encode() + tensors[name].tobytes()
        )
        array["sha256"] = sha.hexdigest()
        del array["xxh3"]
    save_file(tensors, path, metadata={"arrays": json.dumps(arrays)})
    np.testing.assert_allclose(
        open_cache(tmp_path).vectors(texts, A),
        vectors_of(texts, A),
        rtol=FLOAT16_RELATIVE_ERROR,
        atol=1e-7,
    )
    data = bytearray(path.read_bytes())
    data[-2 * 16 - 1] ^= 1
    path.write_bytes(data)
    assert open_cache(tmp_path).missing(texts, [A]) == texts


@pytest.mark.parametrize(
    ("n_texts", "views"), [(1, (A,)), (40, (A, B)), (3000, (A, B, View(11, "cross_mean_last4")))]
)
def test_size_is_predicted(tmp_path: Path, n_texts: int, views: tuple[View, ...]) -> None:
    texts = [str(number) for number in range(n_texts)]
    (key,) = open_cache(tmp_path).publish(texts, {view: np.ones((n_texts, 24)) for view in views})
    size_bytes = segment_file(tmp_path, key).stat().st_size
    assert abs(segment_bytes(n_texts, 24, len(views)) - size_bytes) <= 64 + 8 * len(views)


@pytest.mark.parametrize("damage", ["flip", "flip_text_key", "truncate", "empty", "header"])
def test_a_corrupt_segment_is_removed_and_encoded_again(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
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
    np.testing.assert_allclose(
        cache.vectors(["b", "c"], A),
        vectors_of(["b", "c"], A),
        rtol=FLOAT16_RELATIVE_ERROR,
        atol=1e-7,
    )


def test_corruption_found_while_reading_is_said_as_missing(tmp_path: Path) -> None:
    path = segment_file(tmp_path, publish(open_cache(tmp_path), ["a"], A))
    data = bytearray(path.read_bytes())
    data[8 + int.from_bytes(data[:8], "little")] ^= 1
    path.write_bytes(data)
    with pytest.raises(MissingVectorsError):
        open_cache(tmp_path).vectors(["a"], A)


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    tensors = load_file(segment_file(tmp_path, publish(open_cache(tmp_path), ["a", "b"], A, B)))
    assert {name: (str(t.dtype), t.shape) for name, t in tensors.items()} == {
        "texts": ("uint8", (2, 16)),
        str(A): ("float16", (2, 5)),
        str(B): ("float16", (2, 5)),
    }


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-MAX_MAGNITUDE, MAX_MAGNITUDE, width=32), min_size=1, max_size=20))
def test_float16_never_overflows_and_keeps_eleven_bits(
    tmp_path_factory: pytest.TempPathFactory, values: list[float]
) -> None:
    cache = open_cache(tmp_path_factory.mktemp("cache"))
    x = np.array([values], dtype=np.float32)
    cache.publish(["a"], {A: x})
    error = np.abs(cache.vectors(["a"], A).astype(np.float64) - x)
    largest = float(np.abs(x).max())
    assert (error <= FLOAT16_RELATIVE_ERROR * np.abs(x) + 1e-9 * largest + 1e-37).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, np.float32(2e38)])
def test_vectors_must_be_finite(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        open_cache(tmp_path).publish(["a"], {A: np.array([[value]])})
    assert not list(tmp_path.rglob("*.safetensors"))
