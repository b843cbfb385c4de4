"""Files below a remote root: `s3://bucket/prefix`, `gs://bucket/prefix`, or any other place that
pyarrow or fsspec opens.

Invariant: an object is there whole or not at all, and a request to a server that fails is repeated
before it counts as failed. `cluster.storage` makes one artefact of several files (`manifest.json`
is written last).
"""

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.fs as pafs

from cluster.errors import UserError
from cluster.retries import Result, call_with_retries

S3_ENDPOINT_ENV_VARS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""The address of an S3 server other than Amazon's. The first variable that is set counts."""
S3_ATTEMPTS = 8
"""Tries of one request. Waits double from about half a second to ten: a minute in all."""
REMOTE_ATTEMPTS, FIRST_WAIT_S = 3, 0.5
"""Tries of a whole upload or download after that. They help where a repeated request cannot: an
upload whose end was not confirmed, or a connection that breaks in the middle of a file."""


class RemoteFiles:
    """The files below one remote root, by key. Opening an S3 root asks the server for the bucket's
    region. Instances cannot be pickled.

    Credentials, region and endpoint come from the environment. Raises UserError where the place
    cannot be opened.
    """

    def __init__(self, uri: str):
        self.uri = uri
        self.filesystem, root = _open(uri)
        self.root = root.rstrip("/")
        """The path of the root on `filesystem`."""

    def kind(self, key: str) -> pafs.FileType:
        """What lies under `key`: a file, a folder (on object stores: some file below it), or
        nothing."""
        return self.filesystem.get_file_info(self._path(key)).type

    def files(self, prefix: str = "") -> dict[str, pafs.FileInfo]:
        """All files below the folder `prefix`, sorted by key."""
        selector = pafs.FileSelector(
            self._path(prefix).rstrip("/"), allow_not_found=True, recursive=True
        )
        found = [
            info
            for info in self.filesystem.get_file_info(selector)
            if info.type == pafs.FileType.File
        ]
        return {
            info.path[len(self.root) + 1 :]: info
            for info in sorted(found, key=lambda info: info.path)
        }

    def read_bytes(self, key: str) -> bytes:
        """The bytes of a file. Raises FileNotFoundError."""

        def read() -> bytes:
            with self.filesystem.open_input_stream(self._path(key)) as stream:
                return bytes(stream.read())

        return _with_retries(read)

    def read_range(self, key: str, offset: int, n_bytes: int) -> bytes:
        """`n_bytes` of a file from `offset` on, fewer where the file ends before. Raises
        FileNotFoundError."""
        with self.filesystem.open_input_file(self._path(key)) as file:
            return bytes(file.read_at(max(min(n_bytes, file.size() - offset), 0), offset))

    def download(self, key: str, to: Path) -> None:
        """Copy a file to the path `to`. Of a folder everything below it is copied, and `to` is a
        folder."""
        local = pafs.LocalFileSystem()

        def copy() -> None:
            pafs.copy_files(
                self._path(key),
                str(to),
                source_filesystem=self.filesystem,
                destination_filesystem=local,
            )

        _with_retries(copy)

    def upload(self, path: Path, key: str) -> None:
        """Upload a local file as the object `key`."""
        _with_retries(lambda: self._upload(path, self._path(key)))

    def delete(self, key: str) -> None:
        """Remove a file or a folder; nothing happens where there is none."""
        kind = self.kind(key)
        if kind == pafs.FileType.Directory:
            self.filesystem.delete_dir(self._path(key))
        elif kind == pafs.FileType.File:
            self.filesystem.delete_file(self._path(key))

    def _path(self, key: str) -> str:
        return f"{self.root}/{key}"

    def _upload(self, path: Path, to: str) -> None:
        """Upload once. `pyarrow.fs.copy_files` is not used, because it reports no error when the
        server fails at the very end. Everything goes in one `write`: the object is made when the
        stream is closed, so there is nothing to interrupt before."""
        fs = self.filesystem
        is_object_store = not isinstance(fs, pafs.PyFileSystem) and fs.type_name in (
            "s3",
            "gcs",
            "abfs",
        )
        if not is_object_store:
            fs.create_dir(to.rpartition("/")[0])
        stream = fs.open_output_stream(to)
        if path.stat().st_size:
            with pa.memory_map(str(path)) as source:
                stream.write(source.read_buffer())
        stream.close()


def refuse_secrets(uri: str) -> None:
    """Raises UserError for a URI with a password or options, because URIs are logged and stored.
    The error repeats neither."""
    scheme, _, rest = uri.partition("://")
    user, at, _ = rest.partition("/")[0].rpartition("@")
    if (at and (":" in user or scheme == "s3")) or "?" in rest:
        raise UserError(
            f"{scheme}://{rest.partition('?')[0].rpartition('@')[2]}: write the place without keys"
            " and options, which would be logged and stored; give them by the environment"
            " (AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL, ...)"
        )


def _with_retries(work: Callable[[], Result]) -> Result:
    answers = (FileNotFoundError, PermissionError)  # the server works: this is its answer
    return call_with_retries(
        work, (OSError,), permanent=answers, n_tries=REMOTE_ATTEMPTS, first_s=FIRST_WAIT_S
    )


def _open(uri: str) -> tuple[pafs.FileSystem, str]:
    try:
        return _s3_filesystem(uri) if uri.startswith("s3://") else pafs.FileSystem.from_uri(uri)
    except pa.ArrowInvalid:  # not one of pyarrow's own kinds
        return _fsspec_filesystem(uri)
    # the bucket's region is asked for here: no network, no such bucket, or no credentials
    except OSError as error:
        reason = str(error).partition("; Details")[0]
        raise UserError(
            f"{uri}: cannot be opened ({reason}); check the name, the network and the credentials"
        ) from error


def _s3_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    """The filesystem, which repeats requests to a server that fails, and the root on it. A small
    file is one request."""
    root = uri.removeprefix("s3://").strip("/")
    endpoint = next(filter(None, map(os.environ.get, S3_ENDPOINT_ENV_VARS)), None)
    region = None if endpoint else pafs.resolve_s3_region(root.partition("/")[0])
    retries = pafs.AwsStandardS3RetryStrategy(max_attempts=S3_ATTEMPTS)
    fs = pafs.S3FileSystem(
        region=region, endpoint_override=endpoint, retry_strategy=retries, allow_delayed_open=True
    )
    return fs, root


def _fsspec_filesystem(uri: str) -> tuple[pafs.FileSystem, str]:
    import fsspec

    try:
        fs, root = fsspec.core.url_to_fs(uri)
    except (ValueError, ImportError) as error:
        raise UserError(
            f"{uri}: cannot open this kind of storage ({error}); use a folder, s3:// or gs://"
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(fs)), root
