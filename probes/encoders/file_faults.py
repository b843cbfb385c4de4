"""Files of a model folder that are not what their names say: what was left where the file should
have come from Git LFS, links to nowhere, byte order marks that no library skips."""

import codecs
import os
from collections.abc import Iterable
from pathlib import Path

from cluster.storage import UserError, check_readable

_POINTER = b"version https://git-lfs.github.com/spec/"
_TEXT = (".json", ".txt")


def check_files(paths: Iterable[Path], ref: str, *, may_have_mark: bool = False) -> None:
    """Raises UserError for the first of `paths` that is not what it should be. Files that are not
    there are skipped. `may_have_mark`: whether who reads them skips a byte order mark."""
    for path in paths:
        check_readable(path, subject=f"encoder {ref}: ")
        fault = _fault(path, may_have_mark)
        if fault is not None:
            raise UserError(f"encoder {ref}: {path} {fault}")


def _fault(path: Path, may_have_mark: bool) -> str | None:
    """What is wrong with a file, and what to do."""
    if path.is_symlink() and not path.exists():
        return (
            f"is a link to a file that is not there ({os.readlink(path)}); copy the folder with the"
            " files behind its links (cp -rL)"
        )
    if not path.is_file():
        return None
    with open(path, "rb") as file:
        head = file.read(len(_POINTER))
    if head == _POINTER:
        return (
            "is a pointer of Git LFS, not the file itself; run `git lfs install` and"
            f" `git lfs pull` in {path.parent}, or download the file"
        )
    if not may_have_mark and path.suffix in _TEXT and head.startswith(codecs.BOM_UTF8):
        return (
            "begins with a byte order mark, which transformers does not skip; save it as UTF-8"
            " without one"
        )
    return None
