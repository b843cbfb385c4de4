"""The embedding cache of one encoder: vectors that were computed once.

The vectors lie in `embeddings/<encoder fingerprint>/<segment key>.safetensors` (see
`probes.embeddings.segment`). A segment is published atomically and never changed. Beside the
segments `encoder.json` says whose vectors they are. The cache holds one vector for each text and
view: if another job has published it meanwhile, it is not written again. A segment that does not
match its checksums is removed, which one line in the log says, and its vectors count as missing.
"""

import contextlib
import dataclasses
import fcntl
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cluster.storage import CorruptArtefactError, Storage, access_explained
from probes.embeddings.segment import (
    KEY_BYTES,
    SUFFIX,
    Segment,
    segment_key,
    text_keys,
    write_segment,
)
from probes.encoders.base import EncoderInfo, View

EMBEDDINGS = "embeddings"
ENCODER_FILE = "encoder.json"

_logger = logging.getLogger(__name__)


class MissingVectorsError(LookupError):
    """Some of the vectors that were asked for are not in the cache, or no longer, because they were
    corrupt. Encode them and ask again."""


class EmbeddingCache:
    """The vectors of one encoder. Reading finds what other processes have published meanwhile.
    Writing the same vectors twice does no harm."""

    def __init__(self, storage: Storage, encoder_fingerprint: str):
        self.storage = storage
        self.encoder_fingerprint = encoder_fingerprint
        self.prefix = f"{EMBEDDINGS}/{encoder_fingerprint}"
        self._segments: dict[str, Segment] = {}
        self._indices: dict[tuple[View, ...], list[_Index]] = {}
        """Indices of the segments that have the same views, the largest index first. New segments
        get an index of their own. Two indices are merged when the second has at least half as many
        texts as the first."""

    def describe(self, info: EncoderInfo) -> None:
        """Write `encoder.json`, which tells people whose vectors these are."""
        key = f"{self.prefix}/{ENCODER_FILE}"
        if not self.storage.exists(key):
            kept = {
                name: value
                for name, value in dataclasses.asdict(info).items()
                if name not in ("views", "standard_views", "notes")
            }
            self.storage.write_json(key, kept)

    def missing(self, texts: Sequence[str], views: Sequence[View]) -> list[str]:
        """The distinct texts that lack a vector in one of `views`, in the order of their first
        appearance. On local storage the vectors that are there are checked, and count as used."""
        distinct = list(dict.fromkeys(texts))
        if not distinct:
            return []
        self._refresh()
        keys = text_keys(distinct)
        is_missing = np.zeros(len(distinct), dtype=bool)
        for view in views:
            is_missing |= self._lacking(keys, view)
        return [text for text, lacks in zip(distinct, is_missing, strict=True) if lacks]

    def mapped(self, keys: np.ndarray, view: View) -> "MappedVectors":
        """The vectors of the texts with these keys (`text_keys`, (n, 16) uint8), in their order.
        They stay in the files until rows are taken. Raises MissingVectorsError."""
        segment_idx, rows, segments = self._find(keys, view)
        if (segment_idx < 0).any():
            self._refresh()
            segment_idx, rows, segments = self._find(keys, view)
        n_missing = int((segment_idx < 0).sum())
        if n_missing:
            raise MissingVectorsError(
                f"{self.storage.uri}/{self.prefix}: {n_missing} of {len(keys)} texts lack {view};"
                " embed them first"
            )
        return MappedVectors(segments, view, segment_idx, rows)

    def vectors(self, texts: Sequence[str], view: View) -> np.ndarray:
        """(n_texts, d) float32; row i is the vector of texts[i]. Raises MissingVectorsError."""
        return self.mapped(text_keys(texts), view)[:]

    def publish(self, texts: Sequence[str], vectors: Mapping[View, np.ndarray]) -> list[str]:
        """Write the vectors of distinct `texts`, each (n_texts, d) float. Those that are in the
        cache by now are left out. Returns the keys of the new segments: none where all vectors are
        there, one as a rule, several where some texts lack only some views."""
        keys = text_keys(texts)
        published = []
        with self._publishing():
            self._refresh()
            views_by_missing: dict[bytes, list[View]] = {}
            for view in vectors:
                views_by_missing.setdefault(self._lacking(keys, view).tobytes(), []).append(view)
            for missing_mask, views in views_by_missing.items():
                rows = np.flatnonzero(np.frombuffer(missing_mask, dtype=bool))
                if not len(rows):
                    continue
                key = segment_key(self.encoder_fingerprint, keys[rows], views)
                with self.storage.writing(f"{self.prefix}/{key}{SUFFIX}") as path:
                    write_segment(path, keys[rows], {view: vectors[view][rows] for view in views})
                published.append(key)
        return published

    @contextlib.contextmanager
    def _publishing(self) -> Iterator[None]:
        """Within the block no other process publishes vectors of this encoder: look there for what
        is missing and write it. On object storage nothing can be locked. If two processes publish a
        text in the same moment, both vectors are written, and one of them is read."""
        if not self.storage.is_local:
            yield
            return
        folder = Path(self.storage.uri) / self.prefix
        with access_explained():
            folder.mkdir(parents=True, exist_ok=True)
            lock = open(folder / ".lock", "w")  # noqa: SIM115
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refresh(self) -> None:
        """Open the segments that were published since the last look, and drop those that were
        removed."""
        names = {name for name in self.storage.keys(self.prefix) if name.endswith(SUFFIX)}
        for name in set(self._segments) - names:
            self._drop(name)
        new: dict[tuple[View, ...], list[Segment]] = {}
        for name in sorted(names - set(self._segments)):
            try:
                segment = self._segments[name] = Segment(self.storage, name)
                new.setdefault(segment.views, []).append(segment)
            except FileNotFoundError:
                continue  # another process has removed it since it was listed
            except CorruptArtefactError as error:
                self._remove(name, error)
        for views, segments in new.items():
            indices = self._indices.setdefault(views, [])
            indices.append(_Index(segments))
            while len(indices) > 1 and 2 * indices[-1].n_texts >= indices[-2].n_texts:
                indices[-2:] = [_Index(indices[-2].segments + indices[-1].segments)]

    def _lacking(self, keys: np.ndarray, view: View) -> np.ndarray:
        """(n,) bool, for keys (n, 16) uint8: whether the text lacks a vector. Remote vectors are
        not fetched to be checked here. They are checked when they are read."""
        return (self._find if self.storage.is_local else self._look_up)(keys, view)[0] < 0

    def _find(self, keys: np.ndarray, view: View) -> tuple[np.ndarray, np.ndarray, list[Segment]]:
        """The same as `_look_up`, but only from segments whose checksums match."""
        if not self._segments:
            self._refresh()
        while True:
            segment_idx, rows, segments = self._look_up(keys, view)
            used = np.unique(segment_idx)
            if all([self._is_sound(segments[number], view) for number in used[used >= 0]]):
                return segment_idx, rows, segments

    def _look_up(
        self, keys: np.ndarray, view: View
    ) -> tuple[np.ndarray, np.ndarray, list[Segment]]:
        """For each key the number of its segment (n,) int64, or -1 where there is none, and its row
        (n,) int64. Also returns the segments."""
        segment_idx, rows = (
            np.full(len(keys), -1, dtype=np.int64),
            np.zeros(len(keys), dtype=np.int64),
        )
        segments: list[Segment] = []
        for index in [
            index for views, indices in self._indices.items() if view in views for index in indices
        ]:
            at = np.flatnonzero(segment_idx < 0)
            found, inside = index.find(keys[at])
            hit = found >= 0
            segment_idx[at[hit]], rows[at[hit]] = found[hit] + len(segments), inside[hit]
            segments += index.segments
        return segment_idx, rows, segments

    def _is_sound(self, segment: Segment, view: View) -> bool:
        """Whether the vectors of a segment can be read. If not, the segment is dropped."""
        try:
            segment.vectors(view)
            return True
        except FileNotFoundError:  # it was pruned since it was listed
            self._drop(segment.name)
        except CorruptArtefactError as error:
            self._remove(segment.name, error)
        return False

    def _drop(self, name: str) -> None:
        segment = self._segments.pop(name, None)
        if segment is not None:
            left = [
                other
                for index in self._indices[segment.views]
                for other in index.segments
                if other is not segment
            ]
            self._indices[segment.views] = [_Index(left)]

    def _remove(self, name: str, error: CorruptArtefactError) -> None:
        _logger.warning(
            "removed a corrupt cache segment, its texts will be encoded again: %s", error
        )
        self.storage.delete(name)
        self._drop(name)


class MappedVectors:
    """Vectors (n, d) of some texts that lie in the cache's files. `vectors[rows]` reads these rows
    (a slice, integers or a mask) as float32. Nothing else is copied into memory."""

    def __init__(
        self, segments: Sequence[Segment], view: View, segment_idx: np.ndarray, rows: np.ndarray
    ):
        self._segments, self._view = segments, view
        self._segment_idx, self._rows = segment_idx.astype(np.int32), rows.astype(np.int32)
        self.shape = (len(rows), segments[int(segment_idx[0])].width(view) if len(rows) else 0)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, rows: slice | np.ndarray) -> np.ndarray:
        """(k, d) float32."""
        segment_idx, inside = self._segment_idx[rows], self._rows[rows]
        out = np.empty((len(inside), self.shape[1]), dtype=np.float32)
        for at, stored, scale in self._parts(segment_idx, inside):
            out[at] = stored
            out[at] *= scale
        return out

    def stored(self) -> Iterator[np.ndarray]:
        """The mapped float16 arrays (n_segment, d) in which the vectors lie, unscaled, one after
        the other."""
        for number in np.unique(self._segment_idx):
            yield self._segments[number].vectors(self._view)

    def _parts(
        self, segment_idx: np.ndarray, inside: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, float]]:
        """(places in the result, float16 rows, their scale) for each segment."""
        order = np.argsort(segment_idx, kind="stable")
        bounds = np.append(np.flatnonzero(np.diff(segment_idx[order], prepend=-1)), len(order))
        for start, stop in itertools.pairwise(bounds):
            at = order[start:stop]
            segment = self._segments[segment_idx[at[0]]]
            yield at, segment.vectors(self._view)[inside[at]], segment.scale(self._view)


class _Index:
    """Text key -> (segment, row), over several segments. Of two vectors of the same text it finds
    one. It takes 20 bytes for each text."""

    def __init__(self, segments: Sequence[Segment]):
        self.segments = list(segments)
        keys = [np.zeros((0, KEY_BYTES), np.uint8), *(segment.keys for segment in segments)]
        halves = np.concatenate(keys).view("<u8")  # (n, 2)
        self._starts = np.cumsum([0, *(segment.n_texts for segment in segments)])
        self.n_texts = int(self._starts[-1])
        order = np.argsort(halves[:, 0])
        self._first, self._second = halves[order, 0], halves[order, 1]
        self._position = order.astype(np.uint32)

    def find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For keys (n, 16) uint8: segment numbers (n,) int64, -1 where there is none, and rows (n,)
        int64."""
        halves = np.ascontiguousarray(keys).view("<u8")
        at = np.searchsorted(self._first, halves[:, 0])
        segment_idx, rows = (
            np.full(len(keys), -1, dtype=np.int64),
            np.zeros(len(keys), dtype=np.int64),
        )
        inside = np.flatnonzero(at < len(self._first))
        place = at[inside]
        # The second 8 bytes tell apart texts that share the first 8. With a chance of 2^-64 a text
        # is missed here; then it is encoded again.
        hit = (self._first[place] == halves[inside, 0]) & (self._second[place] == halves[inside, 1])
        position = self._position[place[hit]].astype(np.int64)
        found = np.searchsorted(self._starts, position, side="right") - 1
        segment_idx[inside[hit]] = found
        rows[inside[hit]] = position - self._starts[found]
        return segment_idx, rows
