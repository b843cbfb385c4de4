"""What the operating system refuses, as one line: a file that may not be read or written, a folder
where a file is expected, a file system that is read-only."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import UserError

_TO_READ = "change its permissions, or ask its owner to (chmod -R a+rX)"
_TO_WRITE = "choose another folder, or ask its owner to let you write"


@contextlib.contextmanager
def access_explained(path: str | Path | None = None, *, subject: str = "") -> Iterator[None]:
    """Within the block a refusal of the operating system is a UserError of one line that begins
    with `subject`. It names the file of the error, or else `path`. Other errors pass."""
    try:
        yield
    except OSError as error:
        named = error.filename if isinstance(error.filename, str | os.PathLike) else path
        line = None if named is None else _refusal(error, Path(named))
        if line is None:
            raise
        raise UserError(f"{subject}{line}") from error


def check_readable(*paths: Path, subject: str = "") -> None:
    """Raises UserError for a file that is there and may not be read, before a library opens it that
    would call it damaged or absent."""
    for path in paths:
        with (
            access_explained(path, subject=subject),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
        ):
            open(path, "rb").close()


def dangling_link(path: Path) -> str | None:
    """What a link points to, where that is absent."""
    return os.readlink(path) if path.is_symlink() and not path.exists() else None


def _refusal(error: OSError, path: Path) -> str | None:
    if isinstance(error, PermissionError):
        closed = _closed(path)
        if closed is None:
            return f"{path}: cannot be written ({error.strerror}); {_TO_WRITE}"
        return f"{closed}: cannot be read ({error.strerror}); {_TO_READ}"
    if error.errno == errno.EROFS:
        return f"{path}: cannot be written ({error.strerror}); choose another folder"
    if isinstance(error, IsADirectoryError):
        return f"{path}: is a folder, and a file is expected there; remove it, or give another path"
    return None


def _closed(path: Path) -> Path | None:
    """The first folder on the way to `path`, or `path` itself, that this user may not read."""
    for folder in reversed(path.absolute().parents):
        if not os.access(folder, os.X_OK):
            return folder
    is_readable = os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0))
    return path if path.exists() and not is_readable else None
