"""A column of what rows have in common: an author, a document, a patient."""

from collections import Counter
from pathlib import Path

from cluster.storage import UserError
from probes.tables.column import column_of
from probes.tables.table import Table, is_missing


def group_names(table: Table, name: str) -> list[str | None]:
    """The groups in the column `name`, as text; None for an empty cell. Raises UserError for a
    missing column and for cells that hold several values."""
    found: list[str | None] = []
    for row, cell in enumerate(column_of(table, name, "--group-column"), 1):
        if isinstance(cell, list | tuple | set | dict):
            raise UserError(
                f"{table.where}: row {row}, column {name!r}: {cell!r:.40} ({type(cell).__name__})"
                " is not a group; give one value a row"
            )
        text = "" if is_missing(cell) else str(cell).strip()
        found.append(text or None)
    return found


def check_groups(groups: list[str | None], table: Table, name: str) -> str:
    """A note about the `groups` of the labelled rows of a table. Raises UserError where there is a
    single group, or a group for every row."""
    named = [group for group in groups if group is not None]
    n_groups = len(set(named))
    where = f"{table.where}: column {name!r}"
    if n_groups == 0:
        raise UserError(f"{where} is empty; name another with --group-column, or leave it out")
    if n_groups == 1:
        raise UserError(
            f"{where} has one value ({named[0]!r:.40}) in all labelled rows, so no group can be"
            " left out; name another with --group-column, or leave it out"
        )
    if n_groups == len(named):
        raise UserError(
            f"{where} has a value of its own in every labelled row, so no rows belong together;"
            " name another with --group-column, or leave it out"
        )
    n_alone = len(groups) - len(named)
    alone = f"; {n_alone} rows without a value stand for themselves" if n_alone else ""
    largest = max(Counter(named).values())
    return (
        f"{Path(table.where).name}: {len(groups)} labelled rows in {n_groups} groups (column"
        f" {name!r}, up to {largest} rows each): whole groups are left out, so forecasts are for"
        f" texts of new groups, and twice the rows means twice the groups{alone}"
    )
