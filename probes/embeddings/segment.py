"""One file of the embedding cache: vectors of some texts from one encoder, as float16 that is
mapped into memory.

A segment is a plain safetensors file. It holds `texts` (n, 16) uint8, the texts' keys, and for each
view one float16 array (n, d), named like the view. The header's metadata, `arrays`, is JSON. It
has, for each array, its scale, by which stored values are multiplied, and its checksum (XXH3, 128
bits, over scale, shape and bytes; older segments have SHA-256). The bytes on disk are mapped as
they are, so all processes of a node share them. Of a remote segment only header and keys are read,
until its vectors are asked for; then this node keeps a copy.

float16 keeps 11 bits. Each view has a scale, a power of two that brings the largest value near the
end of float16's range. So nothing overflows, and only values below 1e-9 of the largest underflow.
The relative error of a value is at most 2^-11.
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
"""Length of a text's key: the first bytes of the text's SHA-256."""
SUFFIX = ".safetensors"
MAX_MAGNITUDE = 2.0**127
"""Largest component that is stored. Rounded to eleven bits it is still a float32."""
USE_RECORDED_AFTER_S = 3600.0
"""The modification time of a segment's file (or of this node's copy) records its last use. It is
set anew only when it is older than this many seconds."""

_TEXTS = "texts"
_MAX_EXPONENT = 15
"""Scaled values lie below 2^15. float16 ends at 65504."""
_MIN_EXPONENT = -120
"""Least exponent of a scale. The division by the scale must stay within float32."""
_FIRST_READ_BYTES = 16_384
"""Bytes of a remote segment that are fetched first. Most headers are shorter."""
_DTYPES: dict[str, np.dtype] = {"F16": np.dtype("<f2"), "U8": np.dtype("u1")}
_HEADER_BYTES_PER_ARRAY = 192
"""Bytes of the header that one array takes (two JSON entries), as measured."""


_Read = Callable[[int, int], bytes | memoryview]
"""(offset, number of bytes) -> the bytes there, fewer where the file ends before."""


class _Array(NamedTuple):
    """One array of a segment: its place in the file, its scale and its checksum."""

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
    """The identity of a segment: its encoder, the keys (n, 16) uint8 of its texts in order, its
    views."""
    texts = hashlib.sha256(np.ascontiguousarray(keys).tobytes()).hexdigest()
    return digest(
        {
            "encoder": encoder_fingerprint,
            "texts": texts,
            "views": sorted(str(view) for view in views),
        }
    )


def segment_bytes(n_texts: int, n_columns: int, n_views: int) -> int:
    """Predicted size of a segment's file whose vectors all have `n_columns`."""
    header = 8 + _HEADER_BYTES_PER_ARRAY * (n_views + 1)
    return header + n_texts * (KEY_BYTES + _DTYPES["F16"].itemsize * n_columns * n_views)


def write_segment(path: Path, keys: np.ndarray, vectors: Mapping[View, np.ndarray]) -> None:
    """Write keys (n, 16) uint8 and vectors, each (n, d) float, as one file. Raises ValueError for
    vectors that are not finite, and OSError where the file cannot be written."""
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
        # a single entry: the library would write several in any order, and equal segments must be
        # equal files
        save_file(tensors, path, metadata={"arrays": json.dumps(arrays)})
    except SafetensorError as error:
        raise OSError(_errno_of(error), str(error), str(path)) from error


class Segment:
    """A segment whose header and keys have been read and checked. Its vectors are mapped when they
    are asked for. A mapping, with its file descriptor, lives as long as the array that was
    returned.

    Raises CorruptArtefactError, FileNotFoundError.
    """

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
        """(n, 16) uint8."""
        return (
            self._array(self._texts, self._mapped)
            if self._fetched_keys is None
            else self._fetched_keys
        )

    def vectors(self, view: View) -> np.ndarray:
        """(n, d) float16, mapped, to be multiplied by `scale(view)`. The first call checks them and
        records the use."""
        values = self._array(self._arrays[view], self._mapped)
        if view not in self._sound:
            try:
                _check(values, self._arrays[view], self._place)
            except CorruptArtefactError:
                copy = self._storage.node_copy(self.name)
                if copy is None:
                    raise
                # the damage may be on this node only: fetch the segment once more
                copy.unlink(missing_ok=True)
                values = self._array(self._arrays[view], self._mapped)
                _check(values, self._arrays[view], self._place)
            self._record_use()
            self._sound.add(view)
        return values

    def scale(self, view: View) -> float:
        return self._arrays[view].scale

    def width(self, view: View) -> int:
        """The number of columns of the vectors."""
        return self._arrays[view].shape[1]

    def _record_use(self) -> None:
        path = self._storage.node_copy(self.name) or Path(self._storage.uri) / self.name
        # OSError: the storage is read-only, or the file is being removed
        with contextlib.suppress(OSError):
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
    """Read a whole segment as it lies on storage, and check it. Raises CorruptArtefactError,
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
    """The arrays of a segment file. Its layout is that of https://huggingface.co/docs/safetensors:
    8 bytes of length, JSON, data."""
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
    """The power of two that brings the largest magnitude into [2^14, 2^15). 1 where all values are
    zero."""
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0.0:
        return 1.0
    return 2.0 ** max(math.frexp(largest)[1] - _MAX_EXPONENT, _MIN_EXPONENT)


def _errno_of(error: SafetensorError) -> int:
    """The error number of the operating system when the library could not write. The library passes
    it on only as text."""
    found = (
        code
        for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS)
        if f"(os error {code})" in str(error)
    )
    return next(found, errno.EIO)
