"""Users' tables of text: CSV, TSV, JSON Lines or Parquet, read strictly. Every mistake is one line
with file, row and column.

Rows are counted from 1 without the header, as a spreadsheet's user counts them; lines of a file are
called lines."""

import csv
import difflib
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import UserError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
MAX_CELL_CHARS = 50_000_000


class Columns(NamedTuple):
    """Column names. A pair column of None is used when the table has a column `text_pair`."""

    text: str = "text"
    pair: str | None = None
    label: str = "label"


def read_labelled(
    path: str | Path, columns: Columns | None = None, *, is_whole: bool = True
) -> tuple[list[str], list[str] | None, list[str]]:
    """(texts, second texts of pairs or None, labels as text) of a labelled table; at least one row.

    Whole numbers are labels too (`1`, not `1.5`). `is_whole`: the file is all there is, so that it
    must have two classes and no blank text; a split of a larger set may lack both. Raises
    UserError: no such file, unknown format, wrong encoding, broken quotes, empty file, missing
    column, empty or non-text cell, missing or mixed labels, one column for two purposes."""
    texts, pairs, labels = columns_to_rows(
        read_table(path), columns or Columns(), path, may_be_blank=not is_whole
    )
    if is_whole and len(set(labels)) == 1:
        raise UserError(
            f"{path}: only one class ({labels[0]!r}) in {len(labels)} rows; add rows of another"
            " class"
        )
    return texts, pairs, labels


def columns_to_rows(
    table: dict[str, list[Any]], columns: Columns, where: str | Path, *, may_be_blank: bool = True
) -> tuple[list[str], list[str] | None, list[str]]:
    """As `read_labelled`, of a table that is read already; `where` names it in errors. Raises
    UserError."""
    if columns.label in (columns.text, columns.pair):
        raise UserError(
            f"{where}: column {columns.label!r} is given as text and as label; name another with"
            " --label-column"
        )
    texts, pairs = _texts(table, columns, where, may_be_blank)
    column = _column(table, columns.label, "--label-column", where)
    _check_one_kind(column, columns.label, where)
    return (
        texts,
        pairs,
        [_label(value, row, columns.label, where) for row, value in enumerate(column, 1)],
    )


def read_unlabelled(
    path: str | Path, columns: Columns | None = None
) -> tuple[list[str], list[str] | None]:
    """(texts, second texts of pairs or None) of a table whose label column, if it has one, is not
    looked at. Raises UserError as `read_labelled` does."""
    return _texts(read_table(path), columns or Columns(), path, may_be_blank=False)


def read_table(path: str | Path) -> dict[str, list[Any]]:
    """Column name -> cells, for any of SUFFIXES; cells of CSV and TSV are text, an empty one is
    None. At least one row. Raises UserError."""
    path = Path(path)
    if not path.is_file():
        what = "is a folder, not a file" if path.is_dir() else "no such file"
        raise UserError(f"{path}: {what}; give a file that ends in {', '.join(SUFFIXES)}")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UserError(
            f"{path}: unknown format {suffix or '(no ending)'!r}; save it as one of"
            f" {', '.join(SUFFIXES)}"
        )
    try:
        if path.stat().st_size == 0:
            raise UserError(
                f"{path}: the file is empty; it needs a header line and at least one row"
            )
        if suffix == ".parquet":
            table = _read_parquet(path)
        elif suffix == ".jsonl":
            table = _read_jsonl(path)
        else:
            table = _read_delimited(path, "\t" if suffix == ".tsv" else ",")
    except PermissionError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); change its permissions"
        ) from error
    if not table or not next(iter(table.values())):
        raise UserError(f"{path}: no rows; it needs a header line and at least one row")
    return table


def _texts(
    table: dict[str, list[Any]], columns: Columns, path: str | Path, may_be_blank: bool
) -> tuple[list[str], list[str] | None]:
    if columns.pair is not None and columns.pair == columns.text:
        raise UserError(
            f"{path}: column {columns.text!r} is given for both texts; name another with"
            " --pair-column"
        )
    column = _column(table, columns.text, "--text-column", path)
    texts = [
        _text(value, row, columns.text, path, may_be_blank) for row, value in enumerate(column, 1)
    ]
    pair = columns.pair or (
        "text_pair" if "text_pair" in table and columns.text != "text_pair" else None
    )
    if pair is None:
        return texts, None
    column = _column(table, pair, "--pair-column", path)
    return texts, [
        _text(value, row, pair, path, may_be_blank) for row, value in enumerate(column, 1)
    ]


def _column(table: dict[str, list[Any]], name: str, option: str, path: str | Path) -> list[Any]:
    if name in table:
        return table[name]
    separator = _separator_seen(table, path)
    if separator:
        raise UserError(f"{path}: no column {name!r}; {separator}")
    near = difflib.get_close_matches(
        name.lower(), [known.lower() for known in table], n=1, cutoff=0.5
    )
    guess = next(
        (f" (did you mean {known!r}?)" for known in table if near and known.lower() == near[0]), ""
    )
    there = ", ".join(map(repr, list(table)[:12])) + (", ..." if len(table) > 12 else "")
    raise UserError(f"{path}: no column {name!r}{guess}; it has {there}; choose one with {option}")


def _separator_seen(names: Iterable[str], path: str | Path) -> str:
    """What to do about a delimited file whose only column name looks like several under another
    separator; else empty."""
    only, suffix = "".join(names), Path(path).suffix.lower()
    if len(list(names)) != 1 or suffix not in (".csv", ".tsv"):
        return ""
    if suffix == ".csv" and "\t" in only:
        return "the separator seems to be a tab: rename the file to .tsv"
    if suffix == ".tsv" and "," in only:
        return "the separator seems to be ',': rename the file to .csv"
    if ";" in only:
        return (
            "the separator seems to be ';': save it with ',' (.csv) or with tabs (.tsv) between the"
            " cells"
        )
    return ""


def _check_unicode(value: str, where: str) -> None:
    """JSON can spell half a surrogate pair, which no file can hold. Raises UserError."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(value[error.start]):04x}"
        raise UserError(
            f"{where}: not valid Unicode ({code} alone, character {error.start + 1}); remove it"
        ) from None


def _text(value: Any, row: int, column: str, path: str | Path, may_be_blank: bool) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise UserError(
            f"{path}: row {row}, column {column!r}: empty cell; fill it in or remove the row"
        )
    if not isinstance(value, str):
        shown = f"{value!r:.40} ({type(value).__name__})"
        raise UserError(
            f"{path}: row {row}, column {column!r}: {shown} is not text; put quotes around it or"
            " remove the row"
        )
    if not may_be_blank and not value.strip():
        raise UserError(
            f"{path}: row {row}, column {column!r}: blank text; fill it in or remove the row"
        )
    _check_unicode(value, f"{path}: row {row}, column {column!r}")
    return value


def _check_one_kind(column: list[Any], name: str, path: str | Path) -> None:
    """Labels are all text or all numbers: a table that mixes them (`1`, `"spam"`) was put together
    wrongly."""
    first = next((value for value in column if value is not None), None)
    for row, value in enumerate(column, 1):
        if value is not None and isinstance(value, str) != isinstance(first, str):
            kinds = (
                f"{value!r:.30} ({type(value).__name__}) after {first!r:.30}"
                f" ({type(first).__name__})"
            )
            raise UserError(
                f"{path}: row {row}, column {name!r}: mixed label types: {kinds}; write all labels"
                " as text"
            )


def _label(value: Any, row: int, column: str, path: str | Path) -> str:
    where = f"{path}: row {row}, column {column!r}"
    if (
        value is None
        or (isinstance(value, float) and math.isnan(value))
        or (isinstance(value, str) and not value.strip())
    ):
        raise UserError(f"{where}: no label; fill it in, or move the row to the unlabelled file")
    if isinstance(value, str):
        _check_unicode(value, where)
        return value.strip()
    if isinstance(value, int) or (
        isinstance(value, float) and value.is_integer()
    ):  # infinity is no integer
        return str(value if isinstance(value, bool) else int(value))
    raise UserError(
        f"{where}: {value!r:.40} ({type(value).__name__}) is not a class; labels are text or whole"
        " numbers"
    )


def _read_delimited(path: Path, delimiter: str) -> dict[str, list[Any]]:
    text = _decode(path)
    csv.field_size_limit(MAX_CELL_CHARS)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    start = 1  # line on which the present record begins
    header: list[str] = []
    cells: list[list[str | None]] = []
    try:
        for record in reader:
            if not header:
                header = _header(record, path)
                cells = [[] for _ in header]
            elif record:  # an empty line is no row
                if len(record) != len(header):
                    advice = (
                        _separator_seen(header, path)
                        or "put quotes around cells that contain the separator or a line break"
                    )
                    raise UserError(
                        f"{path}: line {start}: {len(record)} cells under {len(header)} column"
                        f" names; {advice}"
                    )
                for column, cell in zip(cells, record, strict=True):
                    column.append(cell or None)
            start = reader.line_num + 1
    except csv.Error as error:
        advice = _separator_seen(header, path) or "double every quote in a cell"
        raise UserError(
            f"{path}: line {start}: unbalanced or misplaced quote ({error}); {advice}"
        ) from error
    return dict(zip(header, cells, strict=True))


def _header(record: Sequence[str], path: Path) -> list[str]:
    header = [name.strip() for name in record]
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise UserError(f"{path}: line 1: two columns are called {twice[0]!r}; rename one")
    return header


def _read_jsonl(path: Path) -> dict[str, list[Any]]:
    table: dict[str, list[Any]] = {}
    n_rows = 0
    for number, line in enumerate(_decode(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{path}: line {number}: not JSON ({error}); write one object on each line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(
                f'{path}: line {number}: not an object; write {{"text": ..., "label": ...}} on each'
                " line"
            )
        for name in row:
            table.setdefault(name, [None] * n_rows)
        for name, cells in table.items():
            cells.append(row.get(name))
        n_rows += 1
    return table


def _read_parquet(path: Path) -> dict[str, list[Any]]:
    try:
        table = pq.read_table(path)
        for name in table.column_names:
            if isinstance(table.schema.field(name).type, pa.DictionaryType):  # a pandas categorical
                index = table.column_names.index(name)
                table = table.set_column(
                    index, name, table[name].cast(table.schema.field(name).type.value_type)
                )
        return table.to_pydict()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a readable Parquet file ({reason}); write it again"
        ) from error


def _decode(path: Path) -> str:
    data = path.read_bytes()
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(
            f"{path}: byte 1: UTF-16, not UTF-8; convert it: iconv -f UTF-16 -t UTF-8 {path.name} >"
            f" new{path.suffix}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        advice = f"convert it: iconv -f WINDOWS-1252 -t UTF-8 {path.name} > new{path.suffix}"
        raise UserError(
            f"{path}: line {line}, byte {error.start + 1}: not UTF-8; {advice}"
        ) from error
