"""The text of a file: unpacked where it is compressed, decoded where it is UTF-8, or UTF-16 with a
byte order mark; else one line with a remedy that fits its bytes."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO

from cluster.storage import UserError
from probes.tables.table import counted, some

MAX_UNPACKED_BYTES = 4 * 1024**3
"""A small file may unpack to more than the memory holds: nothing larger is unpacked."""


def _within_limit(opened: IO[bytes] | gzip.GzipFile) -> bytes:
    """What an opened compressed file holds. Raises ValueError beyond `MAX_UNPACKED_BYTES`."""
    with opened:
        data = opened.read(MAX_UNPACKED_BYTES + 1)
    if len(data) > MAX_UNPACKED_BYTES:
        raise ValueError(f"it unpacks to more than {MAX_UNPACKED_BYTES:,} bytes")
    return data


def _only_file(data: bytes) -> bytes:
    """What lies in a zip archive of one file, read in memory: names in it never become paths.
    Raises ValueError where there are other files."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        names = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
        if len(names) != 1:
            raise ValueError(f"{len(names)} files in the archive; one is wanted")
        return _within_limit(archive.open(names[0]))


UNPACK: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda data: _within_limit(gzip.open(io.BytesIO(data))),  # noqa: SIM115
    ".bz2": lambda data: _within_limit(bz2.open(io.BytesIO(data))),  # noqa: SIM115
    ".xz": lambda data: _within_limit(lzma.open(io.BytesIO(data))),  # noqa: SIM115
    ".zip": _only_file,
}
"""What may follow the ending of a file of text. `_within_limit` closes what is opened here."""
_PACKED_WRONGLY = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
MAX_ACCENTED = 3
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
N_BYTES_LOOKED_AT = 1000
"""So many first bytes tell UTF-16 without a byte order mark: most of one half of them are zero."""
_OTHER_FORMATS = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "rename a workbook to .xlsx, or unpack"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "save it as .xlsx or as CSV UTF-8"),
    (b"PAR1", "a Parquet file", "rename it to .parquet"),
    (b"\x1f\x8b", "compressed with gzip", "add .gz to its name"),
    (b"%PDF", "a PDF document", "give a table"),
    (b"<!DOCTYPE html", "a web page", "download the file itself"),
    (b"<html", "a web page", "download the file itself"),
)


def read_text(path: Path) -> str:
    """The file's text without a byte order mark. Raises UserError."""
    data = path.read_bytes()
    unpack = UNPACK.get(path.suffix.lower())
    if unpack is not None:
        try:
            data = unpack(data)
        except _PACKED_WRONGLY as error:
            raise UserError(f"{path}: cannot be unpacked ({error}); compress it again") from error
    if data.startswith(_UTF16_MARKS):
        try:
            return data.decode("utf-16")
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: byte {error.start + 1}: not UTF-16, as its first bytes say; save it as"
                " UTF-8"
            ) from error
    for encoding, zeros in (
        ("UTF-16LE", data[1:N_BYTES_LOOKED_AT:2]),
        ("UTF-16BE", data[:N_BYTES_LOOKED_AT:2]),
    ):
        if zeros.count(0) > len(zeros) / 2:
            raise UserError(
                f"{path}: seems to be {encoding}, and has no mark of that; convert it: iconv -f"
                f" {encoding} -t UTF-8 {path.name} > new{path.suffix}"
            )
    for mark, what, remedy in _OTHER_FORMATS:
        if data.startswith(mark):
            raise UserError(f"{path}: is {what}, whatever its ending says; {remedy}")
    try:
        return data.decode("utf-8-sig").lstrip("\ufeff")
    except UnicodeDecodeError as error:
        number = data.count(b"\n", 0, error.start) + 1
        place = f"{path}: line {number}, byte {error.start + 1}: not UTF-8"
        raise UserError(f"{place}; {_remedy(data, path)}") from error


def _remedy(data: bytes, path: Path) -> str:
    """What to do about bytes that are not UTF-8, tried on these bytes."""
    bad, n_good = [], 0
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.isascii():
            continue
        try:
            line.decode()
            n_good += 1
        except UnicodeDecodeError:
            bad.append(number)
    if n_good:
        lines = f"line {bad[0]} alone is" if len(bad) == 1 else f"lines {some(bad)} alone are"
        other = "1 other line is UTF-8" if n_good == 1 else f"{n_good} other lines are UTF-8"
        return (
            f"{lines} written in another encoding ({other} beyond ASCII): type"
            f" {'it' if len(bad) == 1 else 'them'} again, since converting the whole file would"
            " garble the others"
        )
    if _looks_western(data):
        return f"convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > new{path.suffix}"
    return (
        f"{counted(len(bad), 'line')} in an encoding that is not told: save it as UTF-8 in the"
        " program that wrote it"
    )


def _looks_western(data: bytes) -> bool:
    """Whether Windows-1252 makes text of it in which few accented letters stand side by side."""
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    runs = re.findall(r"[^\W\d_]+", "".join(char if char > "\x7f" else " " for char in text))
    return all(len(run) <= MAX_ACCENTED for run in runs)
