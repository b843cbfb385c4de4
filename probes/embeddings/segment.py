"""One file of the embedding cache: vectors of some texts through one encoder, as float16 that is
mapped into memory.

A segment is a plain safetensors file: `texts` (n, 16) uint8, the texts' keys, and one float16 array
(n, d) per view, named like the view. The header's metadata, `arrays`, is JSON: for each array its
scale, by which stored values are multiplied, and its checksum (XXH3, 128 bits, over scale, shape
and bytes; older segments have SHA-256). The bytes on disk are what is mapped, so all processes of a
node share them; of a remote segment only header and keys are read until its vectors are asked for,
then this node keeps a copy.

float16 keeps 11 bits; a power-of-two scale per view brings the largest value near float16's, so
nothing overflows and only what is 1e-9 of the largest value underflows. Relative error of a value:
at most 2^-11.
"""

import contextlib
import errno
import hashlib
import json
import math
import mmap
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash
from safetensors import SafetensorError
from safetensors.numpy import save_file

from cluster.storage import CorruptArtefactError, Storage, digest
from probes.encoders.base import View

KEY_BYTES = 16
"""Bytes of the SHA-256 of a text that name it."""
SUFFIX = ".safetensors"
MAX_MAGNITUDE = 2.0**127
"""Largest component that is stored: rounded to eleven bits it is still a float32."""
USE_RECORDED_AFTER_S = 3600.0
"""A segment's file (or this node's copy of it) has the time of its last use as its modification
time, to the hour."""

_TEXTS = "texts"
_MAX_EXPONENT = 15
"""Scaled values lie below 2^15; float16 ends at 65504."""
_MIN_EXPONENT = -120
"""Of a scale: the division must stay within float32."""
_FIRST_READ_BYTES = 16_384
"""What is fetched of a remote segment to begin with: most headers are shorter."""
_DTYPES: dict[str, np.dtype] = {"F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_HEADER_BYTES_PER_ARRAY = 192
"""Of a header, measured: an array's two JSON entries."""


_Read = Callable[[int, int], bytes | memoryview]
"""(offset, bytes) -> what lies there, less where the file ends before."""


class _Array(NamedTuple):
    """One array of a segment: where it is in the file, its scale and checksum."""

    dtype: np.dtype
    shape: tuple[int, int]
    offset: int
    scale: float
    checksum: str

    @property
    def n_bytes(self) -> int:
        return self.shape[0] * self.shape[1] * self.dtype.itemsize


def text_keys(texts: Sequence[str]) -> np.ndarray:
    """(n, 16) uint8: the first half of the SHA-256 of each text's UTF-8."""
    joined = b"".join(
        [
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:KEY_BYTES]
            for text in texts
        ]
    )
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(texts), KEY_BYTES)


def segment_key(encoder_fingerprint: str, keys: np.ndarray, views: Sequence[View]) -> str:
    """The identity of a segment: its encoder, its texts' keys (n, 16) uint8 in order, its views."""
    texts = hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
    return digest(
        {
            "encoder": encoder_fingerprint,
            "texts": texts,
            "views": sorted(str(view) for view in views),
        }
    )


def segment_bytes(n_texts: int, n_columns: int, n_views: int) -> int:
    """Predicted size of a segment's file, all of whose vectors have `n_columns`."""
    header = 8 + _HEADER_BYTES_PER_ARRAY * (n_views + 1)
    return header + n_texts * (KEY_BYTES + _DTYPES["F16"].itemsize * n_columns * n_views)


def write_segment(path: Path, keys: np.ndarray, vectors: Mapping[View, np.ndarray]) -> None:
    """Write keys (n, 16) uint8 and vectors, each (n, d) float, as one file. Raises ValueError for
    vectors that are not finite, OSError where they cannot be written."""
    tensors: dict[str, np.ndarray] = {_TEXTS: np.ascontiguousarray(keys)}
    scales = {_TEXTS: 1.0}
    for view, values in vectors.items():
        if not (np.abs(values) <= MAX_MAGNITUDE).all():  # also false for NaN
            raise ValueError(f"vectors of {view} are not finite, or beyond {MAX_MAGNITUDE:g}")
        scale = _power_of_two_scale(values)
        tensors[str(view)] = np.ascontiguousarray(values / scale, dtype=np.float16)
        scales[str(view)] = scale
    arrays = {
        name: {"scale": scales[name], "xxh3": _xxh3(tensors[name], scales[name])}
        for name in tensors
    }
    try:
        # one entry: the library writes several in any order, and equal segments shall be equal
        # files
        save_file(tensors, path, metadata={"arrays": json.dumps(arrays)})
    except SafetensorError as error:
        raise OSError(_errno_of(error), str(error), str(path)) from error


class Segment:
    """A segment whose header and keys were read and checked; its vectors are mapped when they are
    asked for, and the mapping (with its file descriptor) lasts as long as the array that is given
    out.

    Raises CorruptArtefactError, FileNotFoundError."""

    def __init__(self, storage: Storage, name: str):
        self.name = name
        self._storage = storage
        self._sound: set[View] = set()
        read = self._mapped if storage.is_local else self._fetched
        try:
            self._arrays, self._texts = _parse_header(read)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptArtefactError(
                f"{self._place}: no readable header ({type(error).__name__})"
            ) from error
        self.views = tuple(self._arrays)
        self.n_texts = self._texts.shape[0]
        keys = self._array(self._texts, read)
        _check(keys, self._texts, self._place)
        self._fetched_keys = None if storage.is_local else keys

    @property
    def keys(self) -> np.ndarray:
        """(n, 16) uint8"""
        return (
            self._array(self._texts, self._mapped)
            if self._fetched_keys is None
            else self._fetched_keys
        )

    def vectors(self, view: View) -> np.ndarray:
        """(n, d) float16, mapped, still to be multiplied by `scale(view)`; checked, and noted as
        used, the first time."""
        values = self._array(self._arrays[view], self._mapped)
        if view not in self._sound:
            try:
                _check(values, self._arrays[view], self._place)
            except CorruptArtefactError:
                copy = self._storage.node_copy(self.name)
                if copy is None:
                    raise
                copy.unlink(
                    missing_ok=True
                )  # damaged on this node, or where it came from: fetch it once more
                values = self._array(self._arrays[view], self._mapped)
                _check(values, self._arrays[view], self._place)
            self._record_use()
            self._sound.add(view)
        return values

    def scale(self, view: View) -> float:
        return self._arrays[view].scale

    def width(self, view: View) -> int:
        """Columns of the vectors."""
        return self._arrays[view].shape[1]

    def _record_use(self) -> None:
        path = self._storage.node_copy(self.name) or Path(self._storage.uri) / self.name
        with contextlib.suppress(
            OSError
        ):  # a store that may only be read, or a file that is just being removed
            if time.time() - path.stat().st_mtime > USE_RECORDED_AFTER_S:
                os.utime(path)

    @property
    def _place(self) -> str:
        return f"{self._storage.uri}/{self.name}"

    def _array(self, array: _Array, read: _Read) -> np.ndarray:
        data = read(array.offset, array.n_bytes)
        if len(data) != array.n_bytes:
            raise CorruptArtefactError(f"{self._place}: truncated")
        return np.frombuffer(data, dtype=array.dtype).reshape(array.shape)

    def _mapped(self, offset: int, n_bytes: int) -> memoryview:
        with open(self._storage.local_path(self.name), "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise CorruptArtefactError(f"{self._place}: empty")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))[
                offset : offset + n_bytes
            ]

    def _fetched(self, offset: int, n_bytes: int) -> bytes:
        return self._storage.read_range(self.name, offset, n_bytes)


def verify_segment(storage: Storage, name: str) -> None:
    """Read all of a segment as it lies on storage and check it. Raises CorruptArtefactError,
    FileNotFoundError."""
    place, data = f"{storage.uri}/{name}", memoryview(storage.read_bytes(name))
    try:
        arrays, texts = _parse_header(lambda offset, n_bytes: data[offset : offset + n_bytes])
        for array in (texts, *arrays.values()):
            values = np.frombuffer(
                data[array.offset : array.offset + array.n_bytes], array.dtype
            ).reshape(array.shape)
            _check(values, array, place)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtefactError(
            f"{place}: truncated, or no readable header ({type(error).__name__})"
        ) from error


def _parse_header(read: _Read) -> tuple[dict[View, _Array], _Array]:
    """The arrays of a segment file. Layout: https://huggingface.co/docs/safetensors (8 bytes of
    length, JSON, data)."""
    start = bytes(read(0, _FIRST_READ_BYTES))
    n_bytes = int.from_bytes(start[:8], "little")
    if 8 + n_bytes > len(start):
        if n_bytes > 100 * 2**20:
            raise ValueError("no header is so long")
        start += bytes(read(len(start), 8 + n_bytes - len(start)))
    header = json.loads(start[8 : 8 + n_bytes])
    stored = json.loads(header.pop("__metadata__")["arrays"])
    arrays = {}
    for name, entry in header.items():
        n_rows, n_columns = entry["shape"]
        described = stored[name]
        checksum = described["xxh3"] if "xxh3" in described else described["sha256"]
        offset = 8 + n_bytes + entry["data_offsets"][0]
        arrays[name] = _Array(
            _DTYPES[entry["dtype"]], (n_rows, n_columns), offset, described["scale"], checksum
        )
    texts = arrays.pop(_TEXTS)
    return {_parse_view(name): array for name, array in arrays.items()}, texts


def _parse_view(name: str) -> View:
    layer, pooling = (part.partition("=")[2] for part in name.split(","))
    return View(int(layer), pooling)


def _check(values: np.ndarray, array: _Array, place: str) -> None:
    checksum = _xxh3 if len(array.checksum) == xxhash.xxh3_128().digest_size * 2 else _sha256
    if checksum(values, array.scale) != array.checksum:
        raise CorruptArtefactError(f"{place}: checksum does not match")


def _xxh3(values: np.ndarray, scale: float) -> str:
    hasher = xxhash.xxh3_128(repr((float(scale), values.shape)).encode())
    hasher.update(np.ascontiguousarray(values).data)
    return hasher.hexdigest()


def _sha256(values: np.ndarray, scale: float) -> str:
    sha = hashlib.sha256(repr((float(scale), values.shape)).encode())
    sha.update(np.ascontiguousarray(values).data)
    return sha.hexdigest()


def _power_of_two_scale(values: np.ndarray) -> float:
    """The power of two that brings the largest magnitude into [2^14, 2^15); 1 where all is zero."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return 1.0
    return 2.0 ** max(math.frexp(largest)[1] - _MAX_EXPONENT, _MIN_EXPONENT)


def _errno_of(error: SafetensorError) -> int:
    """What the operating system said when the library could not write; it passes it on as text
    only."""
    found = (
        code
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES)
        if f"(os error {code})" in str(error)
    )
    return next(found, errno.EIO)
