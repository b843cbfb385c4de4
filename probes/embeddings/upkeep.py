"""Maintenance of the embedding caches of a storage: list what is there, verify it, and remove what
is no longer used.

The modification time of a segment's file is the time of its last use, to the hour. It is set when
the segment is published, when its vectors are read, and when a plan finds them there. On object
storage reading leaves no trace, so there it is the time of publication. A segment that is removed
too early is only encoded again.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cluster.storage import CorruptArtefactError, Storage, StoredFile
from probes.embeddings.cache import EMBEDDINGS, ENCODER_FILE
from probes.embeddings.segment import SUFFIX, Segment, verify_segment
from probes.encoders.base import View


@dataclass(frozen=True)
class CacheSummary:
    """The vectors of one encoder."""

    encoder_fingerprint: str
    ref: str
    """The encoder's reference when its first vectors were published. Empty in caches that did not
    keep it."""
    n_texts: int
    n_views: int
    size_bytes: int
    last_used_at: datetime | None


def list_caches(storage: Storage) -> list[CacheSummary]:
    """Every encoder's cache on `storage`, sorted by reference. Damaged segments count only with
    their bytes. Nothing is changed."""
    by_encoder: dict[str, list[StoredFile]] = {}
    for file in _segments(storage):
        by_encoder.setdefault(file.key.split("/")[1], []).append(file)
    summaries = []
    for fingerprint, files in by_encoder.items():
        keys: set[bytes] = set()
        views: set[View] = set()
        for file in files:
            try:
                segment = Segment(storage, file.key)
            except (CorruptArtefactError, FileNotFoundError):
                continue
            keys.update(map(bytes, segment.keys))
            views.update(segment.views)
        times = [file.modified_at for file in files if file.modified_at is not None]
        size_bytes = sum(file.size_bytes for file in files)
        last = max(times) if times else None
        summaries.append(
            CacheSummary(
                fingerprint, _ref(storage, fingerprint), len(keys), len(views), size_bytes, last
            )
        )
    return sorted(summaries, key=lambda cache: (cache.ref, cache.encoder_fingerprint))


def verify_caches(storage: Storage) -> Iterator[tuple[StoredFile, str | None]]:
    """Every segment on `storage`, read as a whole, and what is wrong with it (None: nothing).
    Removes nothing."""
    for file in _segments(storage):
        try:
            verify_segment(storage, file.key)
        except FileNotFoundError:
            continue  # it was pruned meanwhile
        except CorruptArtefactError as error:
            yield file, str(error)
        else:
            yield file, None


def prune_caches(
    storage: Storage, older_than: timedelta, now: datetime, *, dry_run: bool = False
) -> list[StoredFile]:
    """Remove the segments that were last used longer than `older_than` before `now` (UTC).
    Leftovers of killed jobs that are as old are removed too: planned texts, half-written files, and
    this node's copies of remote segments. A file without a time stays. Returns what was removed.
    With `dry_run` files are only listed."""
    found = [*storage.files(EMBEDDINGS), *_half_written(storage)]
    old = [
        file
        for file in found
        if file.modified_at is not None and now - file.modified_at > older_than
    ]
    old = [file for file in old if not file.key.endswith(f"/{ENCODER_FILE}")]
    copies = storage.node_copy(EMBEDDINGS)
    of_copies = (
        []
        if copies is None
        else prune_caches(Storage(copies.parent), older_than, now, dry_run=dry_run)
    )
    for file in old if not dry_run else ():
        storage.delete(file.key)
    return old + of_copies


def _segments(storage: Storage) -> list[StoredFile]:
    return [file for file in storage.files(EMBEDDINGS) if file.key.endswith(SUFFIX)]


def _half_written(storage: Storage) -> list[StoredFile]:
    """Files that killed jobs left under hidden names. Object storage has none."""
    if not storage.is_local:
        return []
    root, files = Path(storage.uri), []
    for path in (root / EMBEDDINGS).rglob(".*.tmp-*"):
        with contextlib.suppress(FileNotFoundError):  # its writer has just renamed it
            status = path.stat()
            modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
            files.append(StoredFile(path.relative_to(root).as_posix(), status.st_size, modified_at))
    return files


def _ref(storage: Storage, fingerprint: str) -> str:
    try:
        return str(storage.read_json(f"{EMBEDDINGS}/{fingerprint}/{ENCODER_FILE}")["ref"])
    except (FileNotFoundError, CorruptArtefactError, KeyError, TypeError):
        return ""
