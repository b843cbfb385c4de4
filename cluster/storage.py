"""Artefacts under one root URI: keys, checksums, atomic publication.

Invariant: under a final name there is a whole artefact or none. A file is written under a temporary
name beside its destination, fsynced and renamed. A folder carries a `manifest.json` of checksums,
which is part of the same rename. Object stores cannot rename, so there the manifest is uploaded
last. Two writers of one key write the same content, so the last rename wins.

This module and those that it imports know no ray. Every package may import it, and so may import
the errors that it names: every package reads users' input.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from cluster.access import access_explained, check_readable, dangling_link
from cluster.errors import CorruptArtefactError, UserError
from cluster.local_files import fsync, give_usual_mode, remove, temporary_beside
from cluster.remote_storage import RemoteFiles, refuse_secrets

__all__ = [
    "CACHE_DIR_ENV_VAR",
    "MANIFEST",
    "CorruptArtefactError",
    "Storage",
    "StoredFile",
    "UserError",
    "access_explained",
    "canonical_json",
    "check_readable",
    "dangling_link",
    "digest",
    "file_digest",
]

MANIFEST = "manifest.json"
CACHE_DIR_ENV_VAR = "NEOBERTA_CACHE_DIR"
"""The folder of copies of remote artefacts on this node (default `~/.cache/neoberta`)."""


def canonical_json(value: Any) -> str:
    """`value` (JSON types, pydantic models, tuples) as JSON with sorted keys. Equal values give
    equal strings."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_jsonable
    )


def digest(value: Any, n_chars: int = 16) -> str:
    """The identity of a configuration: the first `n_chars` hex digits of the SHA-256 of its
    canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:n_chars]


def file_digest(path: str | Path) -> str:
    """SHA-256 (hex, 64 characters) of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _jsonable(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "item"):  # a numpy scalar
        return value.item()
    raise TypeError(f"{type(value).__name__} has no canonical JSON")


class StoredFile(NamedTuple):
    """A file under a storage's root."""

    key: str
    size_bytes: int
    modified_at: datetime | None
    """UTC. None where the storage does not say."""


class Storage:
    """Artefacts under one root URI: a local folder (also as `file://`), `s3://bucket/prefix`,
    `gs://bucket/prefix`, or any other that pyarrow or fsspec opens.

    A key is a relative POSIX path, for example `probes/3f2a.parquet`. Anything else (absolute,
    `..`, empty parts) is a ValueError, so that no key leads out of the root. Instances are cheap
    and picklable: send the URI or the instance to a worker, never an open file. Credentials, region
    and endpoint come from the environment that every S3 client reads (AWS_* variables, ~/.aws, the
    node's role), because URIs are logged and stored. Raises UserError for a URI that names no
    place, or that holds a password or options. Every method raises UserError for what this user may
    not read or write.
    """

    def __init__(self, uri: str | Path):
        self.uri = str(uri)
        if not self.uri.strip():
            raise UserError("the place to store results has an empty name; write a folder or a URI")
        if self.uri.startswith("file://"):
            self.uri = unquote(urlsplit(self.uri).path)
        self.is_local = "://" not in self.uri
        if self.is_local:
            try:
                self.uri = str(Path(self.uri).expanduser().resolve())
            except RuntimeError as error:  # no such user, or links in a circle
                raise UserError(
                    f"{uri}: no such place ({error}); write the path in full"
                ) from error
        elif not self.uri.partition("://")[2].strip("/"):
            raise UserError(f"{uri}: nothing follows ://; write for example s3://bucket/folder")
        else:
            refuse_secrets(self.uri)

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    # --- reading ----------------------------------------------------------------------------------

    def exists(self, key: str) -> bool:
        """Whether a whole artefact (file, or folder with its manifest) lies under `key`."""
        _check_key(key)
        with access_explained():
            return self._file_exists(key) or self._file_exists(f"{key}/{MANIFEST}")

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all files below the folder `prefix`, sorted. Temporary and hidden names are left
        out."""
        if self.is_local:
            with access_explained():
                return sorted(_local_keys(Path(self.uri), prefix))
        return list(self._remote().files(prefix))

    def files(self, prefix: str = "") -> list[StoredFile]:
        """The files that `keys` lists, with sizes and times. Files that disappear meanwhile are
        left out."""
        if not self.is_local:
            return [
                StoredFile(key, info.size, info.mtime)
                for key, info in self._remote().files(prefix).items()
            ]
        listed = []
        for key in self.keys(prefix):
            with contextlib.suppress(FileNotFoundError):
                status = (Path(self.uri) / key).stat()
                listed.append(
                    StoredFile(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
                )
        return listed

    def read_bytes(self, key: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        _check_key(key)
        if self.is_local:
            with access_explained():
                return (Path(self.uri) / key).read_bytes()
        return self._remote().read_bytes(key)

    def read_range(self, key: str, offset: int, n_bytes: int) -> bytes:
        """`n_bytes` of a file from `offset` on, fewer where it ends before. A remote file is not
        fetched whole. Raises FileNotFoundError."""
        _check_key(key)
        if self.is_local:
            with access_explained(), open(Path(self.uri) / key, "rb") as file:
                file.seek(offset)
                return file.read(n_bytes)
        return self._remote().read_range(key, offset, n_bytes)

    def node_copy(self, key: str) -> Path | None:
        """The path of this node's copy of a remote artefact, whether the copy is there or not. None
        where the artefact itself is local."""
        _check_key(key)
        return None if self.is_local else self._node_copy(key)

    def read_json(self, key: str) -> Any:
        """A JSON file. Raises FileNotFoundError, CorruptArtefactError."""
        try:
            return json.loads(self.read_bytes(key))
        except ValueError as error:
            raise CorruptArtefactError(f"{self.uri}/{key}: not JSON ({error})") from error

    def read_table(self, key: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet file; its page checksums are verified. Raises FileNotFoundError,
        CorruptArtefactError."""
        # outside the `try`: here an OSError is a server that fails, not a damaged file
        data = pa.BufferReader(self.read_bytes(key))
        try:
            return pq.ParquetFile(data, page_checksum_verification=True).read(columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptArtefactError(f"{self.uri}/{key}: {error}") from error

    def local_path(self, key: str) -> Path:
        """A path on this machine that can be opened or memory-mapped: the artefact itself, or this
        node's copy of a remote one. The copy is made once, and checked against the folder's
        manifest. Raises FileNotFoundError, CorruptArtefactError."""
        _check_key(key)
        if self.is_local:
            path = Path(self.uri) / key
            with access_explained():
                if not path.exists():
                    raise FileNotFoundError(path)
                _check_readable_in(path)
            return path
        copy = self._node_copy(key)
        if not copy.exists():
            self._download(key, copy)
        return copy

    def copy_folder(self, key: str, to: Path) -> None:
        """Copy a folder that is not an artefact (it has no manifest) into the folder `to`. Raises
        FileNotFoundError."""
        _check_key(key)
        if self.is_local:
            if not (Path(self.uri) / key).is_dir():
                raise FileNotFoundError(f"{self.uri}/{key}")
            _check_readable_in(Path(self.uri) / key)
            shutil.copytree(Path(self.uri) / key, to, dirs_exist_ok=True)
            return
        remote = self._remote()
        if remote.kind(key) != pafs.FileType.Directory:
            raise FileNotFoundError(f"{self.uri}/{key}")
        remote.download(key, to)

    def filesystem(self) -> tuple[pafs.FileSystem | None, str]:
        """The storage in the form that Ray's libraries take: the filesystem (None: this machine's)
        and the root on it."""
        if self.is_local:
            return None, self.uri
        remote = self._remote()
        return remote.filesystem, remote.root

    def verify_folder(self, key: str) -> None:
        """Check every file of a folder against its manifest. Raises FileNotFoundError,
        CorruptArtefactError."""
        _check_manifest(self.local_path(key), f"{self.uri}/{key}")

    # --- writing ----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Yields a temporary path for one file. When the block ends without an error, the file is
        published under `key`."""
        _check_key(key)
        destination = Path(self.uri) / key if self.is_local else None
        with temporary_beside(destination) as temporary:
            yield temporary
            self._publish_file(temporary, key)

    @contextlib.contextmanager
    def writing_folder(self, key: str) -> Iterator[Path]:
        """Yields a temporary folder. When the block ends without an error, the folder is published
        under `key`, with its manifest. If another writer has published it meanwhile, that one is
        kept."""
        _check_key(key)
        destination = Path(self.uri) / key if self.is_local else None
        with temporary_beside(destination) as temporary:
            temporary.mkdir()
            yield temporary
            _write_manifest(temporary)
            if destination is None:
                self._upload_folder(temporary, key)
                return
            if destination.exists() and not (destination / MANIFEST).exists():
                raise UserError(
                    f"{destination}: exists and is not one of our artefacts; choose another folder"
                    " or remove it"
                )
            give_usual_mode(temporary)
            for path in (*temporary.rglob("*"), temporary):
                fsync(path)
            try:
                os.rename(temporary, destination)
            except OSError:
                if not (destination / MANIFEST).exists():
                    raise
            fsync(destination.parent)

    def write_bytes(self, key: str, data: bytes) -> None:
        with self.writing(key) as path:
            path.write_bytes(data)

    def write_json(self, key: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, default=_jsonable, sort_keys=False)
        self.write_bytes(key, text.encode())

    def write_table(self, key: str, table: pa.Table) -> None:
        """Write Parquet, compressed by zstd, with page checksums."""
        with self.writing(key) as path:
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)

    def delete(self, key: str) -> None:
        """Remove a file or a folder, and this node's copy of it. Nothing happens where there is
        none."""
        _check_key(key)
        if self.is_local:
            with access_explained():
                remove(Path(self.uri) / key)
            return
        remove(self._node_copy(key))
        self._remote().delete(key)

    # --- inside -----------------------------------------------------------------------------------

    def _remote(self) -> RemoteFiles:
        return RemoteFiles(self.uri)

    def _node_copy(self, key: str) -> Path:
        cache_root = os.environ.get(CACHE_DIR_ENV_VAR) or Path.home() / ".cache" / "neoberta"
        return Path(cache_root) / digest(self.uri) / key

    def _file_exists(self, key: str) -> bool:
        if self.is_local:
            return (Path(self.uri) / key).is_file()
        return bool(self._remote().kind(key) == pafs.FileType.File)

    def _publish_file(self, temporary: Path, key: str) -> None:
        if self.is_local:
            give_usual_mode(temporary)
            fsync(temporary)
            destination = Path(self.uri) / key
            os.replace(temporary, destination)
            fsync(destination.parent)
            return
        self._remote().upload(temporary, key)

    def _upload_folder(self, folder: Path, key: str) -> None:
        names = sorted(
            path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()
        )
        # the manifest comes last: it says that everything is there
        for name in sorted(names, key=lambda name: name == MANIFEST):
            self._publish_file(folder / name, f"{key}/{name}")

    def _download(self, key: str, copy: Path) -> None:
        remote = self._remote()
        kind = remote.kind(key)
        if kind == pafs.FileType.NotFound:
            raise FileNotFoundError(f"{self.uri}/{key}")
        with temporary_beside(copy) as temporary:
            if kind == pafs.FileType.Directory:
                temporary.mkdir()  # a download makes only the folders below it
            remote.download(key, temporary)
            if kind == pafs.FileType.Directory:
                _check_manifest(temporary, f"{self.uri}/{key}")
            give_usual_mode(temporary)
            try:
                os.rename(temporary, copy)
            except OSError:
                if not copy.exists():  # otherwise another process of this node was first
                    raise


def _local_keys(root: Path, prefix: str) -> Iterator[str]:
    """Keys of the files below a folder. Raises PermissionError for a folder that may not be read:
    its files are not absent."""

    def refuse(error: OSError) -> None:
        if isinstance(error, PermissionError):
            raise error

    for folder, folders, names in os.walk(root / prefix, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():  # not a link to nothing
                yield path.relative_to(root).as_posix()


def _check_readable_in(path: Path) -> None:
    """Raises UserError for a file that may not be read, at `path` or in the folder there."""
    if path.is_dir():
        with access_explained():
            check_readable(*(one for one in path.iterdir() if one.is_file()))
    else:
        check_readable(path)


def _check_key(key: str) -> None:
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(
            f"{key!r} is no key: a key is a relative path without empty parts, '.' or '..'"
        )


def _write_manifest(folder: Path) -> None:
    files: Mapping[str, Any] = {
        path.relative_to(folder).as_posix(): {
            "sha256": file_digest(path),
            "size_bytes": path.stat().st_size,
        }
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    (folder / MANIFEST).write_text(json.dumps({"files": files}, indent=1))


def _check_manifest(folder: Path, name: str) -> None:
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        for file_name, expected in files.items():
            path = folder / file_name
            if not path.is_file() or path.stat().st_size != expected["size_bytes"]:
                raise CorruptArtefactError(f"{name}/{file_name}: missing or truncated")
            if file_digest(path) != expected["sha256"]:
                raise CorruptArtefactError(f"{name}/{file_name}: checksum does not match")
    except FileNotFoundError:
        raise CorruptArtefactError(f"{name}: no {MANIFEST}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptArtefactError(
            f"{name}/{MANIFEST}: not a manifest ({type(error).__name__}: {error})"
        ) from error
