"""Vectors that were computed once: the embedding cache of one encoder.

Layout: `embeddings/<encoder fingerprint>/<segment key>.safetensors`, one file a segment, published atomically and never
changed. It holds `texts` (n, 16) uint8, the texts' keys, and one float16 array (n, d) per view, named like the view; the
header's metadata has each array's scale and checksum. The bytes on disk are what is mapped into memory, so all workers of a
node share them. A segment that does not match its checksums is removed, said in one line, and counts as missing.

float16 keeps 11 bits; a power-of-two scale per view brings the largest value near float16's, so nothing overflows and only
what is 1e-9 of the largest value underflows. Relative error of a value: at most 2^-11.
"""

import hashlib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from cluster.storage import CorruptArtefactError, Storage, digest
from probes.encoders.base import View

KEY_BYTES = 16
"""Bytes of the SHA-256 of a text that name it."""

_TEXTS = "texts"
MAX_MAGNITUDE = 2.0**127
"""Largest component that is stored: rounded to eleven bits it is still a float32."""
_MAX_EXPONENT = 15
"""Scaled values lie below 2^15; float16 ends at 65504."""
_MIN_EXPONENT = -120
"""Of a scale: the division must stay within float32."""

_logger = logging.getLogger(__name__)


class MissingVectorsError(LookupError):
    """Vectors were asked for that are not (or, being corrupt, no longer) in the cache: encode them and ask again."""


def text_keys(texts: Sequence[str]) -> np.ndarray:
    """(n, 16) uint8: the first half of the SHA-256 of each text's UTF-8."""
    joined = b"".join(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES] for text in texts)
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), KEY_BYTES)


class EmbeddingCache:
    """The vectors of one encoder. Reading sees what others have published meanwhile; writing the same twice does no harm."""

    def __init__(self, storage: Storage, encoder_fingerprint: str):
        self.storage = storage
        self.encoder_fingerprint = encoder_fingerprint
        self.prefix = f"embeddings/{encoder_fingerprint}"
        self._segments: dict[str, _Segment] = {}
        self._indices: dict[View, _Index] = {}

    def missing(self, texts: Sequence[str], views: Sequence[View]) -> list[str]:
        """The distinct texts that lack a vector in one of `views`, in the order of their first appearance."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return []
        self._refresh()
        keys = text_keys(distinct)
        is_missing = np.zeros(len(distinct), dtype=bool)
        for view in views:
            segment_idx, _ = self._verified_index(view).find(keys)
            is_missing |= segment_idx < 0
        return [text for text, lacks in zip(distinct, is_missing, strict=True) if lacks]

    def view(self, texts: Sequence[str], view: View) -> np.ndarray:
        """(n_texts, d) float32, row i the vector of texts[i]. Raises MissingVectorsError."""
        keys = text_keys(texts)
        segment_idx, rows = self._verified_index(view).find(keys)
        if (segment_idx < 0).any():
            self._refresh()
            segment_idx, rows = self._verified_index(view).find(keys)
        n_missing = int((segment_idx < 0).sum())
        if n_missing:
            raise MissingVectorsError(
                f"{self.storage.uri}/{self.prefix}: {n_missing} of {len(texts)} texts lack {view}; embed them first"
            )
        segments = self._indices[view].segments
        if not segments:
            return np.zeros((0, 0), dtype=np.float32)
        out = np.empty((len(texts), segments[0].arrays[view].shape[1]), dtype=np.float32)
        for number in np.unique(segment_idx):
            at = np.flatnonzero(segment_idx == number)
            out[at] = segments[number].read(view)[rows[at]]
            out[at] *= segments[number].arrays[view].scale
        return out

    def publish(self, texts: Sequence[str], vectors: Mapping[View, np.ndarray]) -> str:
        """Write the vectors, each (n_texts, d) float, of distinct `texts` as one segment; returns its key."""
        keys = text_keys(texts)
        key = segment_key(self.encoder_fingerprint, keys, list(vectors))
        tensors: dict[str, np.ndarray] = {_TEXTS: np.ascontiguousarray(keys)}
        scales = {_TEXTS: 1.0}
        for view, values in vectors.items():
            if not (np.abs(values) <= MAX_MAGNITUDE).all():  # also false for NaN
                raise ValueError(f"vectors of {view} are not finite, or beyond {MAX_MAGNITUDE:g}")
            scale = _power_of_two_scale(values)
            tensors[str(view)] = np.ascontiguousarray(values / scale, dtype=np.float16)
            scales[str(view)] = scale
        arrays = {name: {"scale": scales[name], "sha256": _checksum(tensors[name], scales[name])} for name in tensors}
        with self.storage.writing(f"{self.prefix}/{key}.safetensors") as path:
            # one entry: the library writes several in any order, and equal segments shall be equal files
            save_file(tensors, path, metadata={"arrays": json.dumps(arrays)})
        return key

    def has_segment(self, key: str) -> bool:
        """Whether a segment of this key is published (its checksums are verified when it is read)."""
        return self.storage.exists(f"{self.prefix}/{key}.safetensors")

    def _refresh(self) -> None:
        """Take in segments that were published, and drop those that were removed, since the last look."""
        names = {name for name in self.storage.keys(self.prefix) if name.endswith(".safetensors")}
        gone, new = set(self._segments) - names, sorted(names - set(self._segments))
        for name in gone:
            del self._segments[name]
        for name in new:
            try:
                self._segments[name] = _Segment(self.storage, name)
            except FileNotFoundError:
                continue  # removed by another process since it was listed
            except CorruptArtefactError as error:
                self._remove(name, error)
        if gone or new:
            self._indices.clear()

    def _verified_index(self, view: View) -> "_Index":
        """Where the vectors of `view` are, over segments whose checksums hold."""
        if not self._segments:
            self._refresh()
        if view not in self._indices:
            segments = []
            for name, segment in list(self._segments.items()):
                if view not in segment.arrays:
                    continue
                try:
                    segment.verify(view)
                    segments.append(segment)
                except CorruptArtefactError as error:
                    self._remove(name, error)
            self._indices[view] = _Index(segments)
        return self._indices[view]

    def _remove(self, name: str, error: CorruptArtefactError) -> None:
        _logger.warning("removed a corrupt cache segment, its texts will be encoded again: %s", error)
        if not self.storage.is_local:
            self.storage.local_path(name).unlink(missing_ok=True)  # this node's copy
        self.storage.delete(name)
        self._segments.pop(name, None)
        self._indices.clear()


def segment_key(encoder_fingerprint: str, keys: np.ndarray, views: Sequence[View]) -> str:
    """The identity of a segment: its encoder, its texts' keys (n, 16) uint8 in order, its views."""
    texts = hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
    return digest({"encoder": encoder_fingerprint, "texts": texts, "views": sorted(str(view) for view in views)})


class _Array:
    """One array of a segment: where it is in the file, its scale and checksum."""

    def __init__(self, dtype: np.dtype, shape: tuple[int, int], offset: int, scale: float, sha256: str):
        self.dtype, self.shape, self.offset, self.scale, self.sha256 = dtype, shape, offset, scale, sha256


class _Segment:
    """An open segment: its header parsed, its arrays mapped when they are read."""

    def __init__(self, storage: Storage, name: str):
        self.name = f"{storage.uri}/{name}"
        self._path = storage.local_path(name)
        try:
            self.arrays, texts = _parse_header(self._path)
        except (ValueError, KeyError, TypeError, AttributeError, SafetensorError) as error:
            raise CorruptArtefactError(f"{self.name}: no readable header ({type(error).__name__})") from error
        self._texts = texts
        self._verified: set[View] = set()
        self.keys = np.array(self._map(texts))  # (n, 16) uint8, in memory: the index needs them
        self._check(self.keys, texts)

    def read(self, view: View) -> np.ndarray:
        """(n, d) float16, mapped, still to be multiplied by the scale."""
        return self._map(self.arrays[view])

    def verify(self, view: View) -> None:
        """Raises CorruptArtefactError; reads the array once a process and segment."""
        if view not in self._verified:
            self._check(self.read(view), self.arrays[view])
            self._verified.add(view)

    def _map(self, array: _Array) -> np.ndarray:
        try:
            return np.memmap(self._path, mode="r", dtype=array.dtype, shape=array.shape, offset=array.offset)
        except (OSError, ValueError) as error:
            raise CorruptArtefactError(f"{self.name}: truncated") from error

    def _check(self, values: np.ndarray, array: _Array) -> None:
        if _checksum(values, array.scale) != array.sha256:
            raise CorruptArtefactError(f"{self.name}: checksum does not match")


class _Index:
    """Text key -> (segment, row) for one view; of vectors that are there twice, one."""

    def __init__(self, segments: Sequence[_Segment]):
        self.segments = list(segments)
        keys = np.concatenate([segment.keys for segment in segments]) if segments else np.zeros((0, KEY_BYTES), np.uint8)
        halves = np.ascontiguousarray(keys).view("<u8")  # (n, 2)
        segment_idx = np.repeat(np.arange(len(segments)), [len(segment.keys) for segment in segments])
        rows = np.concatenate([np.arange(len(segment.keys)) for segment in segments]) if segments else np.zeros(0, np.int64)
        order = np.lexsort((halves[:, 1], halves[:, 0]))
        self._first, self._second = halves[order, 0], halves[order, 1]
        self._segment_idx, self._rows = segment_idx[order].astype(np.int64), rows[order]

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For (n, 16) uint8 keys: segment numbers (n,) int64, -1 where there is none, and rows (n,) int64."""
        halves = np.ascontiguousarray(keys).view("<u8")
        at = np.searchsorted(self._first, halves[:, 0])
        segment_idx, rows = np.full(len(keys), -1, dtype=np.int64), np.zeros(len(keys), dtype=np.int64)
        inside = np.flatnonzero(at < len(self._first))
        position = at[inside]
        # Two texts that share the first 8 bytes are told apart by the rest; a 2^-64 chance is at worst encoded again.
        hit = (self._first[position] == halves[inside, 0]) & (self._second[position] == halves[inside, 1])
        segment_idx[inside[hit]] = self._segment_idx[position[hit]]
        rows[inside[hit]] = self._rows[position[hit]]
        return segment_idx, rows


def _parse_header(path: Path) -> tuple[dict[View, _Array], _Array]:
    """The arrays of a segment file. Layout: https://huggingface.co/docs/safetensors (8 bytes of length, JSON, data)."""
    with open(path, "rb") as file:
        n_bytes = int.from_bytes(file.read(8), "little")
        if n_bytes > path.stat().st_size:
            raise ValueError("header longer than the file")
        header = json.loads(file.read(n_bytes))
    stored = json.loads(header.pop("__metadata__")["arrays"])
    dtypes = {"F16": np.dtype("<f2"), "U8": np.dtype("u1")}
    arrays = {}
    for name, entry in header.items():
        n_rows, n_columns = entry["shape"]
        offset = 8 + n_bytes + entry["data_offsets"][0]
        described = stored[name]
        arrays[name] = _Array(dtypes[entry["dtype"]], (n_rows, n_columns), offset, described["scale"], described["sha256"])
    texts = arrays.pop(_TEXTS)
    return {_parse_view(name): array for name, array in arrays.items()}, texts


def _parse_view(name: str) -> View:
    layer, pooling = (part.partition("=")[2] for part in name.split(","))
    return View(int(layer), pooling)


def _checksum(values: np.ndarray, scale: float) -> str:
    sha = hashlib.sha256(repr((float(scale), values.shape)).encode())
    sha.update(np.ascontiguousarray(values))
    return sha.hexdigest()


def _power_of_two_scale(values: np.ndarray) -> float:
    """The power of two that brings the largest magnitude into [2^14, 2^15); 1 where all is zero."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return 1.0
    return 2.0 ** max(math.frexp(largest)[1] - _MAX_EXPONENT, _MIN_EXPONENT)
