"""Atomic publication on the disks of this machine: write to a temporary path beside the
destination, fsync, rename."""

import contextlib
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import UserError

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def temporary_beside(destination: Path | None) -> Iterator[Path]:
    """Yields a fresh hidden path in the destination's folder, and removes it afterwards. It lies on
    the same filesystem, so that a rename is atomic. Where `destination` is None it lies anywhere.
    Raises UserError where nothing may be written, or no space is left."""
    if destination is None:
        with tempfile.TemporaryDirectory(prefix="neoberta-") as folder:
            yield Path(folder) / "artefact"
        return
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{destination.parent}: cannot write there ({error.strerror}); choose another --out"
            " folder"
        ) from error
    temporary = destination.parent / f".{destination.name}.tmp-{uuid.uuid4().hex[:8]}"
    try:
        yield temporary
    except PermissionError as error:
        raise UserError(
            f"{destination}: cannot write there ({error.strerror}); choose another --out folder"
        ) from error
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise UserError(
                f"{destination}: no space left ({os.strerror(error.errno)}); free some and run the"
                " same command again: what is done is kept"
            ) from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def fsync(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file or a folder. Its name is gone at once. Nothing happens where there is none."""
    if path.is_dir():
        doomed = path.with_name(f".{path.name}.tmp-{uuid.uuid4().hex[:8]}")
        os.rename(path, doomed)
        shutil.rmtree(doomed)
    else:
        path.unlink(missing_ok=True)
