"""Users' files of rows, in any of the formats that are read.

Rows are counted from 1 without the header, as a spreadsheet's user counts them; lines of a file are
called lines."""

import re
from collections.abc import Callable
from pathlib import Path

from cluster.storage import UserError, access_explained, check_readable, dangling_link
from neoberta.near_miss import did_you_mean_file
from probes.tables.arrow import read_parquet
from probes.tables.decode import UNPACK, read_text
from probes.tables.delimited import read_delimited
from probes.tables.excel import read_excel
from probes.tables.fasttext import fasttext_columns
from probes.tables.hugging_face import is_saved_dataset, read_saved
from probes.tables.json_rows import read_json, read_json_lines
from probes.tables.table import Table, some


def _read_lines(path: Path) -> Table:
    """Lines of fastText, or a table with tabs, as Excel's "Unicode text". Raises UserError for any
    other text."""
    text = read_text(path)
    columns = fasttext_columns(text)
    if columns is not None:
        return Table(dict(columns), str(path))
    if "\t" in text.partition("\n")[0]:
        return read_delimited(path, "\t")
    raise UserError(
        f"{path}: a .txt is read where every line is '__label__x some text' (fastText), or where"
        " tabs stand between its columns; save anything else as .csv, .tsv or .jsonl"
    )


_READ_TEXT: dict[str, Callable[[Path], Table]] = {
    ".csv": lambda path: read_delimited(path, ","),
    ".tsv": lambda path: read_delimited(path, "\t"),
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".txt": _read_lines,
}
_READ = {**_READ_TEXT, ".parquet": read_parquet, ".xlsx": read_excel, ".xlsm": read_excel}
SUFFIXES = tuple(_READ)
_ENDINGS = ", ".join(SUFFIXES)
_LFS_POINTER = b"version https://git-lfs"
_ADDRESS = re.compile(r"[a-z][a-z0-9]+:/", re.IGNORECASE)
"""How an address begins; a path has one slash of two."""


def ending(path: Path) -> str:
    """The ending that tells the format: `.csv` of `rows.csv` and of `rows.csv.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in UNPACK and suffixes[-2] in _READ_TEXT:
        return suffixes[-2]
    return path.suffix.lower()


def is_table_name(name: str) -> bool:
    """Whether a file of this name would be read as a table."""
    return ending(Path(name)) in SUFFIXES


def read_table(path: str | Path) -> Table:
    """The table in a file that ends in any of `SUFFIXES`, or in a saved Hugging Face data set; at
    least one row. Raises UserError."""
    path = Path(path)
    with access_explained():
        is_saved = path.is_dir() and is_saved_dataset(path)
        if is_saved:
            check_readable(*(one for one in path.iterdir() if one.is_file()))
        table = read_saved(path) if is_saved else _read_file(path)
    if not table.cells and table.twice:
        raise UserError(f"{path}: two columns are called {min(table.twice)!r}; rename one")
    if not table.n_rows:
        raise UserError(f"{path}: no rows; it needs a header line and at least one row")
    return table


def _read_file(path: Path) -> Table:
    if not path.is_file():
        raise UserError(_no_file(path))
    suffix = ending(path)
    if suffix not in _READ:
        raise UserError(
            f"{path}: unknown format {suffix or '(no ending)'!r}; save it as one of {_ENDINGS}"
        )
    check_readable(path)  # the libraries would call it damaged
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; it needs a header line and at least one row")
    if _is_lfs_pointer(path):
        raise UserError(
            f"{path}: is a pointer of Git LFS, not the file itself; fetch that: git lfs pull"
        )
    return _READ[suffix](path)


def _no_file(path: Path) -> str:
    """What to say of a path that is no file."""
    if path.is_dir():
        tables = sorted(inner.name for inner in path.iterdir() if is_table_name(inner.name))
        file = f"one of its files: {some(tables)}" if tables else f"a file that ends in {_ENDINGS}"
        return f"{path}: is a folder, not a file; give {file}"
    if _ADDRESS.match(str(path)):
        return f"{path}: is an address, not a file on this machine; download it, and give its path"
    if target := dangling_link(path):
        return f"{path}: a link to {target}, which is not there; give a file"
    return f"{path}: no such file; give a file that ends in {_ENDINGS}{did_you_mean_file(path)}"


def _is_lfs_pointer(path: Path) -> bool:
    """Whether the file holds what Git keeps in the place of a file that Git LFS stores."""
    with path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER
