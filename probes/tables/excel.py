"""Excel workbooks, through openpyxl (the extra `excel`)."""

import zipfile
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from neoberta.extras import need
from probes.tables.table import Table, check_names


def read_excel(path: Path) -> Table:
    """The first sheet, its first row as column names. Raises UserError."""
    need("excel", f"{path}: an Excel workbook (where it is not saved as CSV UTF-8)")
    import openpyxl  # type: ignore[import-untyped]

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = book.worksheets
        rows = [list(row) for row in sheets[0].iter_rows(values_only=True)]
        book.close()
    except (OSError, KeyError, IndexError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a readable Excel workbook ({error}); save it again, or as CSV UTF-8"
        ) from error
    notes: tuple[str, ...] = ()
    if len(sheets) > 1:
        notes = (
            f"{path.name}: only the first of {len(sheets)} sheets is read ({sheets[0].title})",
        )
    return Table(_columns(rows, path), str(path), notes)


def _columns(rows: list[list[Any]], path: Path) -> dict[str, list[Any]]:
    filled = [row for row in rows if any(cell is not None for cell in row)]
    if not filled:
        raise UserError(f"{path}: the first sheet is empty; it needs a row of names, and rows")
    names = ["" if cell is None else str(cell).strip() for cell in filled[0]]
    check_names([name for name in names if name], f"{path}: row 1 of the sheet")
    width = len(names)
    body = [(row + [None] * width)[:width] for row in filled[1:]]
    return {name: [row[i] for row in body] for i, name in enumerate(names) if name}
