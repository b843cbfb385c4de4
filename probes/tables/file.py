"""Users' files of rows, in any of the formats that are read.

Rows are counted from 1 without the header, as a spreadsheet's user counts them; lines of a file are
called lines."""

from collections.abc import Callable
from pathlib import Path

from cluster.storage import UserError, access_explained, check_readable, dangling_link
from probes.tables.arrow import read_parquet
from probes.tables.decode import UNPACK, read_text
from probes.tables.delimited import read_delimited
from probes.tables.excel import read_excel
from probes.tables.fasttext import fasttext_columns
from probes.tables.hugging_face import is_saved_dataset, read_saved
from probes.tables.json_rows import read_json, read_json_lines
from probes.tables.table import Table


def _read_lines(path: Path) -> Table:
    """Lines of fastText. Raises UserError for any other text."""
    columns = fasttext_columns(read_text(path))
    if columns is None:
        raise UserError(
            f"{path}: a .txt is read where every line is '__label__x some text' (fastText); save"
            " anything else as .csv, .tsv or .jsonl"
        )
    return Table(dict(columns), str(path))


_READ_TEXT: dict[str, Callable[[Path], Table]] = {
    ".csv": lambda path: read_delimited(path, ","),
    ".tsv": lambda path: read_delimited(path, "\t"),
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".json": read_json,
    ".txt": _read_lines,
}
_READ = {**_READ_TEXT, ".parquet": read_parquet, ".xlsx": read_excel}
SUFFIXES = tuple(_READ)


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
    if not table.n_rows:
        raise UserError(f"{path}: no rows; it needs a header line and at least one row")
    return table


def _read_file(path: Path) -> Table:
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        if target := dangling_link(path):
            what = f"a link to {target}, which is not there"
        raise UserError(f"{path}: {what}; give a file that ends in {', '.join(SUFFIXES)}")
    suffix = ending(path)
    if suffix not in _READ:
        raise UserError(
            f"{path}: unknown format {suffix or '(no ending)'!r}; save it as one of"
            f" {', '.join(SUFFIXES)}"
        )
    check_readable(path)  # the libraries would call it damaged
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty; it needs a header line and at least one row")
    return _READ[suffix](path)
