"""Looking after the embedding caches of a storage: what is there, whether it is whole, what nobody
uses any more.

A segment's last use is the modification time of its file: publishing sets it, and so does whoever
reads its vectors or plans work that finds them there, to the hour. On object storage, where reading
leaves no trace, it is the time of publication; what is removed too early is only encoded again.
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
    """The encoder's reference when its first vectors were published; empty in caches that did not
    keep it."""
    n_texts: int
    n_views: int
    size_bytes: int
    last_used_at: datetime | None


def list_caches(storage: Storage) -> list[CacheSummary]:
    """Every encoder's cache on `storage`, by reference. Damaged segments count with their bytes
    only; nothing is changed."""
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
    """Every segment on `storage`, read whole, with what is wrong with it (None: nothing). Removes
    nothing."""
    for file in _segments(storage):
        try:
            verify_segment(storage, file.key)
        except FileNotFoundError:
            continue  # pruned meanwhile
        except CorruptArtefactError as error:
            yield file, str(error)
        else:
            yield file, None


def prune_caches(
    storage: Storage, older_than: timedelta, now: datetime, *, dry_run: bool = False
) -> list[StoredFile]:
    """Remove (`dry_run`: only list) the segments that were last used longer than `older_than`
    before `now` (UTC), and as old leftovers of killed jobs: planned texts, half-written files, this
    node's copies of remote segments. A file without a time stays. Returns what was removed."""
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
    """What killed jobs left under hidden names; on object storage nothing."""
    if not storage.is_local:
        return []
    root, files = Path(storage.uri), []
    for path in (root / EMBEDDINGS).rglob(".*.tmp-*"):
        with contextlib.suppress(FileNotFoundError):  # its writer lives, and has just renamed it
            status = path.stat()
            modified_at = datetime.fromtimestamp(status.st_mtime, UTC)
            files.append(StoredFile(path.relative_to(root).as_posix(), status.st_size, modified_at))
    return files


def _ref(storage: Storage, fingerprint: str) -> str:
    try:
        return str(storage.read_json(f"{EMBEDDINGS}/{fingerprint}/{ENCODER_FILE}")["ref"])
    except (FileNotFoundError, CorruptArtefactError, KeyError, TypeError):
        return ""
