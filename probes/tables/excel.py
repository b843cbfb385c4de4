"""Excel workbooks, through openpyxl (the extra `excel`)."""

import zipfile
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from neoberta.extras import need
from probes.tables.table import Table, counted, repeated

MAX_BYTES_WHOLE = 5_000_000
"""Larger workbooks are read row by row, which takes little memory but does not tell which cells are
merged."""


def read_excel(path: Path) -> Table:
    """The first sheet, its first row as column names. A cell that is merged downwards counts for
    every row. Raises UserError."""
    need("excel", f"{path}: an Excel workbook (where it is not saved as CSV UTF-8)")
    import openpyxl  # type: ignore[import-untyped]

    is_whole = path.stat().st_size <= MAX_BYTES_WHOLE
    try:
        book = openpyxl.load_workbook(path, read_only=not is_whole, data_only=True)
        sheets = book.worksheets
        rows = [list(row) for row in sheets[0].iter_rows(values_only=True)]
        notes = _fill_merged(rows, sheets[0].merged_cells.ranges, path) if is_whole else []
        book.close()
    except (OSError, KeyError, IndexError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a readable Excel workbook ({error}); save it again, or as CSV UTF-8"
        ) from error
    unread = ""
    if len(sheets) > 1:
        said = f"only the first of {len(sheets)} sheets is read ({sheets[0].title})"
        notes.insert(0, f"{path.name}: {said}")
        unread = f"{said}; move the sheet of the rows to the front"
    return _table(rows, path, notes, unread)


def _fill_merged(rows: list[list[Any]], merged: Any, path: Path) -> list[str]:
    """Write the value of cells that are merged downwards into each of them; and say so."""
    n_rows = 0
    for cells in merged:
        if cells.min_col == cells.max_col and cells.min_row > 1:
            for row in rows[cells.min_row : cells.max_row]:
                row[cells.min_col - 1] = rows[cells.min_row - 1][cells.min_col - 1]
                n_rows += 1
    if not n_rows:
        return []
    return [f"{path.name}: merged cells: {counted(n_rows, 'row')} get the value from above"]


def _table(rows: list[list[Any]], path: Path, notes: list[str], unread: str) -> Table:
    filled = [row for row in rows if any(cell is not None for cell in row)]
    if not filled:
        more = f" ({unread})" if unread else ""
        raise UserError(
            f"{path}: the first sheet is empty; it needs a row of names, and rows{more}"
        )
    names = ["" if cell is None else str(cell).strip() for cell in filled[0]]
    twice = repeated(names)
    width = len(names)
    body = [(row + [None] * width)[:width] for row in filled[1:] if row != filled[0]]
    columns = [[row[i] for row in body] for i in range(width)]
    for i, name in enumerate(names):
        n_filled = sum(cell is not None for cell in columns[i])
        if not name and n_filled:
            notes.append(
                f"{path.name}: column {i + 1} has no name and is not read; it has something in"
                f" {counted(n_filled, 'row')}"
            )
    n_again = len(filled) - 1 - len(body)
    if n_again:
        notes.append(f"{path.name}: {counted(n_again, 'row')} with the names once more: left out")
    cells = {n: columns[i] for i, n in enumerate(names) if n and n not in twice}
    return Table(cells, str(path), tuple(notes), twice, unread)
