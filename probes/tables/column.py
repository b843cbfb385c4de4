"""A column of a table by its name, and what to do where it is not there."""

import difflib
from typing import Any

from cluster.storage import UserError
from probes.tables.several_labels import binary_columns
from probes.tables.table import SEPARATORS, Table, some

LABEL_OPTION = "--label-column"


def column_of(table: Table, name: str, option: str) -> list[Any]:
    """The cells of the column `name`, which `option` chooses. Raises UserError with what the table
    itself suggests."""
    if name in table.cells:
        return table.cells[name]
    names = list(table.cells)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    remedy = _remedy(table, option)
    guess = next((f" (did you mean {n!r}?)" for n in names if near and n.lower() == near[0]), "")
    there = ", ".join(f"{n!r:.60}" for n in names[:8]) + (", ..." if len(names) > 8 else "")
    if remedy:
        raise UserError(f"{table.where}: no column {name!r}; it has {there}; {remedy}")
    raise UserError(
        f"{table.where}: no column {name!r}{guess}; it has {there}; choose one with {option}"
    )


def _remedy(table: Table, option: str) -> str | None:
    only = next(iter(table.cells)) if len(table.cells) == 1 else ""
    for separator, shown in SEPARATORS.items():
        if separator in only:
            return (
                f"the separator seems to be {shown}, but not every line fits that: save the table"
                " again"
            )
    if _has_no_header(table):
        return "its first row looks like any other row: put one above it that names the columns"
    if {"data", "annotations"} <= set(table.cells) or {"data", "completions"} <= set(table.cells):
        return "it looks like Label Studio's full export: export it as CSV or JSON-MIN"
    binary = binary_columns(table.cells) if option == LABEL_OPTION else []
    if binary:
        shown = some([repr(name) for name in binary])
        n_each = _labels_each(table, binary)
        if n_each == {1}:
            return (
                f"{shown} hold 1 in one column of each row: write that column's name into one"
                f" column, or choose one of them with {option}"
            )
        return (
            f"{shown} hold 0 and 1: several labels a row, which are not forecast together; choose"
            f" one of them with {option}"
        )
    return None


def _labels_each(table: Table, binary: list[str]) -> set[int]:
    """How many of the columns are 1 in a row."""
    rows = zip(*(table.cells[name] for name in binary), strict=True)
    return {sum(str(cell).strip().lower() in ("1", "1.0", "true") for cell in row) for row in rows}


def _has_no_header(table: Table) -> bool:
    """Whether the names are cells of a first row that was taken for the header: one of them stands
    below itself."""
    return len(table.cells) > 1 and any(
        name in column or (name.isdecimal() and all(str(cell).isdecimal() for cell in column))
        for name, column in table.cells.items()
        if column and isinstance(column[0], str)
    )
