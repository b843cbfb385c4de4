"""Atomic publication on the disks of this machine: write to a temporary path beside the
destination, give it the usual mode, fsync, rename."""

import contextlib
import errno
import os
import shutil
import stat
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

from cluster.errors import UserError

_NOT_WRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR)
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
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            place = destination if error.errno == errno.EISDIR else destination.parent
            raise UserError(
                f"{place}: cannot write there ({error.strerror}); choose another --out folder"
            ) from error
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


def give_usual_mode(path: Path) -> None:
    """Give a file, or a folder and everything in it, the mode that the umask (or the access list of
    its folder) gives to new files: colleagues share results. Libraries that write by way of a
    private temporary file, as safetensors does, leave it readable to its owner alone."""
    usual = _usual_mode(path.parent)
    for one in [*path.rglob("*"), path] if path.is_dir() else [path]:
        if not one.is_symlink():
            mode = stat.S_IMODE(one.stat().st_mode)
            # a folder keeps what it has inherited: the group of its folder, for example
            wanted = usual | (mode & ~0o777) if one.is_dir() else usual & 0o666
            if mode != wanted:
                # vfat and some network file systems have fixed modes, and refuse
                with contextlib.suppress(PermissionError):
                    one.chmod(wanted)


def _usual_mode(folder: Path) -> int:
    """The permissions of a new folder in `folder`. The umask itself cannot be asked for without
    changing it for all threads."""
    probe = folder / f".mode.tmp-{uuid.uuid4().hex[:8]}"
    probe.mkdir()
    try:
        return stat.S_IMODE(probe.stat().st_mode) & 0o777
    finally:
        probe.rmdir()


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
