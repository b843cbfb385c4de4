"""Artefacts under one root URI: keys, checksums, atomic publication.

Invariant: under a final name there is a whole artefact or none. A file is written under a temporary name beside its
destination, fsynced and renamed; a folder carries a `manifest.json` of checksums that is part of the same rename (on object
stores, where nothing renames, it is uploaded last). Two writers of one key write the same content, so the last rename wins.

This module knows no ray and is open to every package; `UserError` lives here because every package reads users' input.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

_T = TypeVar("_T")

MANIFEST = "manifest.json"
CACHE_DIR_ENV_VAR = "NEOBERTA_CACHE_DIR"
"""Where copies of remote artefacts are kept on this node (default `~/.cache/neoberta`)."""
S3_ENDPOINT_ENV_VARS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Where an S3 server other than Amazon's listens; the first that is set counts."""
S3_ATTEMPTS = 8
"""Tries of one request, with waits that double from about half a second to ten: a minute in all."""
REMOTE_ATTEMPTS, FIRST_WAIT_S = 3, 0.5
"""Tries of a whole upload or download after that, for what no single request can mend (an upload whose end was confirmed to
nobody, a connection that breaks in the middle of a file)."""


_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class UserError(Exception):
    """A mistake that the user can mend: one line with what is wrong, where, and the remedy. The CLI exits with code 2."""


class CorruptArtefactError(Exception):
    """A stored artefact does not match its checksum or cannot be parsed. It is safe to delete and make again."""


def canonical_json(value: Any) -> str:
    """`value` (JSON types, pydantic models, tuples) as JSON with sorted keys: equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=_jsonable)


def digest(value: Any, n_chars: int = 16) -> str:
    """The identity of a configuration: the first `n_chars` hex digits of the SHA-256 of its canonical JSON."""
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
    """UTC; None where the storage does not say."""


class Storage:
    """Artefacts under one root URI: a local folder (also as `file://`), `s3://bucket/prefix`, `gs://bucket/prefix`, or any
    other that pyarrow or fsspec opens.

    Keys are relative POSIX paths, for example `probes/3f2a.parquet`; anything else (absolute, `..`, empty parts) is a
    ValueError, so that no key leads out of the root. Instances are cheap and picklable: send the URI or the instance to a
    worker, never an open file. Credentials, region and endpoint come from the environment that every S3 client reads (AWS_*
    variables, ~/.aws, the node's role): URIs are logged and stored. Raises UserError for a URI that names no place, or that
    holds a password or options.
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
                raise UserError(f"{uri}: no such place ({error}); write the path in full") from error
        elif not self.uri.partition("://")[2].strip("/"):
            raise UserError(f"{uri}: nothing follows ://; write for example s3://bucket/folder")
        else:
            _refuse_secrets(self.uri)

    def __repr__(self) -> str:
        return f"Storage({self.uri!r})"

    # --- reading ---------------------------------------------------------------------------------------------------

    def exists(self, key: str) -> bool:
        """Whether a whole artefact (file, or folder with its manifest) lies under `key`."""
        _check_key(key)
        if self._file_exists(key):
            return True
        return self._file_exists(f"{key}/{MANIFEST}")

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of all files below the folder `prefix`, sorted; temporary and hidden names are left out."""
        if self.is_local:
            root = Path(self.uri)
            found = (path.relative_to(root) for path in (root / prefix).rglob("*") if path.is_file())
            return sorted(key.as_posix() for key in found if not any(part.startswith(".") for part in key.parts))
        fs, root = self._remote()
        selector = pafs.FileSelector(f"{root}/{prefix}".rstrip("/"), allow_not_found=True, recursive=True)
        return sorted(i.path[len(root) + 1 :] for i in fs.get_file_info(selector) if i.type == pafs.FileType.File)

    def files(self, prefix: str = "") -> list[StoredFile]:
        """What `keys` lists, with sizes and times. Files that go meanwhile are left out."""
        if not self.is_local:
            fs, root = self._remote()
            selector = pafs.FileSelector(f"{root}/{prefix}".rstrip("/"), allow_not_found=True, recursive=True)
            found = [i for i in fs.get_file_info(selector) if i.type == pafs.FileType.File]
            listed = [StoredFile(i.path[len(root) + 1 :], i.size, i.mtime) for i in found]
            return sorted(listed, key=lambda file: file.key)
        listed = []
        for key in self.keys(prefix):
            with contextlib.suppress(FileNotFoundError):
                status = (Path(self.uri) / key).stat()
                listed.append(StoredFile(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC)))
        return listed

    def read_bytes(self, key: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""
        _check_key(key)
        if self.is_local:
            return (Path(self.uri) / key).read_bytes()
        fs, root = self._remote()

        def read() -> bytes:
            with fs.open_input_stream(f"{root}/{key}") as stream:
                return stream.read()

        return _retried(read)

    def read_range(self, key: str, offset: int, n_bytes: int) -> bytes:
        """`n_bytes` of a file from `offset` on, fewer where it ends before: a remote file is not fetched whole. Raises
        FileNotFoundError."""
        _check_key(key)
        if self.is_local:
            with open(Path(self.uri) / key, "rb") as file:
                file.seek(offset)
                return file.read(n_bytes)
        fs, root = self._remote()
        with fs.open_input_file(f"{root}/{key}") as file:
            return file.read_at(max(min(n_bytes, file.size() - offset), 0), offset)

    def node_copy(self, key: str) -> Path | None:
        """Where this node's copy of a remote artefact lies or would lie; None where the artefact itself is local."""
        _check_key(key)
        return None if self.is_local else self._node_copy(key)

    def read_json(self, key: str) -> Any:
        """A JSON file. Raises FileNotFoundError, CorruptArtefactError."""
        try:
            return json.loads(self.read_bytes(key))
        except ValueError as error:
            raise CorruptArtefactError(f"{self.uri}/{key}: not JSON ({error})") from error

    def read_table(self, key: str, columns: list[str] | None = None) -> pa.Table:
        """A Parquet file, page checksums verified. Raises FileNotFoundError, CorruptArtefactError."""
        data = pa.BufferReader(self.read_bytes(key))  # a server that fails is an OSError from here, and no damage to the file
        try:
            return pq.ParquetFile(data, page_checksum_verification=True).read(columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptArtefactError(f"{self.uri}/{key}: {error}") from error

    def local_path(self, key: str) -> Path:
        """A path on this machine that can be opened or memory-mapped: the artefact itself, or this node's copy of a remote
        one (copied once, checked against the folder's manifest). Raises FileNotFoundError, CorruptArtefactError."""
        _check_key(key)
        if self.is_local:
            path = Path(self.uri) / key
            if not path.exists():
                raise FileNotFoundError(path)
            return path
        copy = self._node_copy(key)
        if not copy.exists():
            self._download(key, copy)
        return copy

    def copy_folder(self, key: str, to: Path) -> None:
        """Copy a folder that is not one of our artefacts (it has no manifest) into the folder `to`. Raises
        FileNotFoundError."""
        _check_key(key)
        fs, root = (pafs.LocalFileSystem(), self.uri) if self.is_local else self._remote()
        if fs.get_file_info(f"{root}/{key}").type != pafs.FileType.Directory:
            raise FileNotFoundError(f"{self.uri}/{key}")
        local = pafs.LocalFileSystem()
        _retried(lambda: pafs.copy_files(f"{root}/{key}", str(to), source_filesystem=fs, destination_filesystem=local))

    def filesystem(self) -> tuple[pafs.FileSystem | None, str]:
        """What Ray's libraries take: the filesystem (None: this machine's) and the root on it."""
        return (None, self.uri) if self.is_local else self._remote()

    def verify_folder(self, key: str) -> None:
        """Check every file of a folder against its manifest. Raises FileNotFoundError, CorruptArtefactError."""
        _check_manifest(self.local_path(key), f"{self.uri}/{key}")

    # --- writing ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """Yields a temporary path to write one file to; publishes it under `key` when the block ends without an error."""
        _check_key(key)
        destination = Path(self.uri) / key if self.is_local else None
        with _temporary_beside(destination) as temporary:
            yield temporary
            self._publish_file(temporary, key)

    @contextlib.contextmanager
    def writing_folder(self, key: str) -> Iterator[Path]:
        """Yields a temporary folder to fill; publishes it under `key`, with its manifest, when the block ends without an
        error. A folder that another writer has published meanwhile is kept."""
        _check_key(key)
        destination = Path(self.uri) / key if self.is_local else None
        with _temporary_beside(destination) as temporary:
            temporary.mkdir()
            yield temporary
            _write_manifest(temporary)
            if destination is None:
                self._upload_folder(temporary, key)
                return
            if destination.exists() and not (destination / MANIFEST).exists():
                raise UserError(f"{destination}: exists and is not one of our artefacts; choose another folder or remove it")
            for path in (*temporary.rglob("*"), temporary):
                _fsync(path)
            try:
                os.rename(temporary, destination)
            except OSError:
                if not (destination / MANIFEST).exists():
                    raise
            _fsync(destination.parent)

    def write_bytes(self, key: str, data: bytes) -> None:
        with self.writing(key) as path:
            path.write_bytes(data)

    def write_json(self, key: str, value: Any) -> None:
        text = json.dumps(value, indent=1, ensure_ascii=False, default=_jsonable, sort_keys=False)
        self.write_bytes(key, text.encode())

    def write_table(self, key: str, table: pa.Table) -> None:
        """Parquet, zstd, with page checksums."""
        with self.writing(key) as path:
            pq.write_table(table, path, compression="zstd", write_page_checksum=True)

    def delete(self, key: str) -> None:
        """Remove a file or a folder, and this node's copy of it; nothing happens where there is none."""
        _check_key(key)
        if self.is_local:
            _remove(Path(self.uri) / key)
            return
        _remove(self._node_copy(key))
        fs, root = self._remote()
        kind = fs.get_file_info(f"{root}/{key}").type
        if kind == pafs.FileType.Directory:
            fs.delete_dir(f"{root}/{key}")
        elif kind == pafs.FileType.File:
            fs.delete_file(f"{root}/{key}")

    # --- inside ----------------------------------------------------------------------------------------------------

    def _remote(self) -> tuple[pafs.FileSystem, str]:
        try:
            if self.uri.startswith("s3://"):
                fs, root = _s3_filesystem(self.uri)
            else:
                fs, root = pafs.FileSystem.from_uri(self.uri)
        except pa.ArrowInvalid:  # not one of pyarrow's own kinds
            fs, root = _fsspec_filesystem(self.uri)
        except OSError as error:  # the bucket's region is asked for here: no network, no such bucket, no credentials
            reason = str(error).partition("; Details")[0]
            raise UserError(
                f"{self.uri}: cannot be opened ({reason}); check the name, the network and the credentials"
            ) from error
        return fs, root.rstrip("/")

    def _node_copy(self, key: str) -> Path:
        cache_root = os.environ.get(CACHE_DIR_ENV_VAR) or Path.home() / ".cache" / "neoberta"
        return Path(cache_root) / digest(self.uri) / key

    def _file_exists(self, key: str) -> bool:
        if self.is_local:
            return (Path(self.uri) / key).is_file()
        fs, root = self._remote()
        return fs.get_file_info(f"{root}/{key}").type == pafs.FileType.File

    def _publish_file(self, temporary: Path, key: str) -> None:
        _fsync(temporary)
        if self.is_local:
            destination = Path(self.uri) / key
            os.replace(temporary, destination)
            _fsync(destination.parent)
            return
        fs, root = self._remote()
        _retried(lambda: _upload(temporary, fs, f"{root}/{key}"))

    def _upload_folder(self, folder: Path, key: str) -> None:
        names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
        for name in sorted(names, key=lambda name: name == MANIFEST):  # the manifest last: it says that all is there
            self._publish_file(folder / name, f"{key}/{name}")

    def _download(self, key: str, copy: Path) -> None:
        fs, root = self._remote()
        info = fs.get_file_info(f"{root}/{key}")
        if info.type == pafs.FileType.NotFound:
            raise FileNotFoundError(f"{self.uri}/{key}")
        with _temporary_beside(copy) as temporary:
            if info.type == pafs.FileType.Directory:
                temporary.mkdir()  # copy_files makes the folders below it only
            local = pafs.LocalFileSystem()
            _retried(
                lambda: pafs.copy_files(f"{root}/{key}", str(temporary), source_filesystem=fs, destination_filesystem=local)
            )
            if info.type == pafs.FileType.Directory:
                _check_manifest(temporary, f"{self.uri}/{key}")
            try:
                os.rename(temporary, copy)
            except OSError:
                if not copy.exists():  # otherwise another process of this node was first
                    raise


def _check_key(key: str) -> None:
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise ValueError(f"{key!r} is no key: a key is a relative path without empty parts, '.' or '..'")


def _refuse_secrets(uri: str) -> None:
    scheme, _, rest = uri.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and (":" in user or scheme == "s3")) or "?" in rest:
        raise UserError(
            f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}: write the place without keys and options, which would be "
            "logged and stored; give them by the environment (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...)"
        )


def _s3_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem, patient with a server that fails, and the root on it. Small files travel in one request."""
    root = uri.removeprefix("s3://").strip("/")
    endpoint = next(filter(None, map(os.environ.get, S3_ENDPOINT_ENV_VARS)), None)
    region = None if endpoint else pafs.resolve_s3_region(root.partition("/")[0])
    retries = pafs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS)
    fs = pafs.S3FileSystem(region=region, endpoint_override=endpoint, retry_strategy=retries, allow_delayed_open=True)
    return fs, root


def _upload(path: Path, fs: pafs.FileSystem, to: str) -> None:
    """Copy a whole local file to an object. Not `pyarrow.fs.copy_files`, which is silent when the server fails at the very
    end. One `write` of everything: an object is made when the stream is closed, and there is nothing to interrupt before."""
    is_object_store = not isinstance(fs, pafs.PyFileSystem) and fs.type_name in ("s3", "gcs", "abfs")
    if not is_object_store:
        fs.create_dir(to.rpartition("/")[0])
    stream = fs.open_output_stream(to)
    if path.stat().st_size:
        with pa.memory_map(str(path)) as source:
            stream.write(source.read_buffer())
    stream.close()


def _retried(work: Callable[[], _T]) -> _T:
    """`work()`, again after a wait where storage failed it; a file that is not there is no failure."""
    for attempt in range(REMOTE_ATTEMPTS):
        try:
            return work()
        except (FileNotFoundError, PermissionError):
            raise
        except OSError:
            if attempt == REMOTE_ATTEMPTS - 1:
                raise
        time.sleep(FIRST_WAIT_S * 2**attempt)
    raise AssertionError("unreachable")


def _fsspec_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise UserError(f"{uri}: cannot open this kind of storage ({error}); use a folder, s3:// or gs://") from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), root


def _remove(path: Path) -> None:
    if path.is_dir():
        doomed = path.with_name(f".{path.name}.tmp-{uuid.uuid4().hex[:8]}")  # gone under its name at once
        os.rename(path, doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _temporary_beside(destination: Path | None) -> Iterator[Path]:
    """A fresh hidden path in the destination's folder (same filesystem, so that a rename is atomic); removed afterwards."""
    if destination is None:
        with tempfile.TemporaryDirectory(prefix="neoberta-") as folder:
            yield Path(folder) / "artefact"
        return
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{destination.parent}: cannot write there ({error.strerror}); choose another --out folder") from error
    temporary = destination.parent / f".{destination.name}.tmp-{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
    except PermissionError as error:
        raise UserError(f"{destination}: cannot write there ({error.strerror}); choose another --out folder") from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise UserError(
                f"{destination}: no space left ({os.strerror(error.errno)}); free some and run the same command again: what is "
                "done is kept"
            ) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_manifest(folder: Path) -> None:
    files: Mapping[str, Any] = {
        path.relative_to(folder).as_posix(): {"sha256": file_digest(path), "size_bytes": path.stat().st_size}
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
        raise CorruptArtefactError(f"{name}/{MANIFEST}: not a manifest ({type(error).__name__}: {error})") from error
