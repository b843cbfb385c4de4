"""A column of a table by its name, and what to do where it is not there."""

import difflib
from typing import Any

from cluster.storage import UserError
from probes.tables.several_labels import binary_columns
from probes.tables.spelling import label_key
from probes.tables.table import SEPARATORS, Table, is_missing, some

TEXT_OPTION, LABEL_OPTION, PAIR_OPTION = "--text-column", "--label-column", "--pair-column"
USUAL_NAMES = {
    TEXT_OPTION: (
        *("text", "sentence", "content", "body", "review", "comment", "comment_text", "message"),
        *("tweet", "utterance", "document", "description", "question", "data", "title", "v2"),
    ),
    LABEL_OPTION: (
        *("label", "labels", "label_name", "target", "class", "category", "sentiment", "intent"),
        *("topic", "annotation", "choice", "cats", "tag", "rating", "stars", "v1"),
    ),
}
"""Names that are suggested where no name is near the one that is missed, the likeliest first."""
MIN_WORDS_OF_TEXT = 4
"""A column's name of so many words is rather a text, and the table has no line of names."""
N_FIRST_ROWS = 5
"""So many first rows are searched for the names of the columns."""
MAX_SHOWN = 8


def own_name(table: Table, name: str) -> str | None:
    """The name as the table writes it: `name` itself, or the only one that differs from it in case
    and spaces alone. None where there is none."""
    if name in table.cells:
        return name
    alike = [own for own in table.cells if label_key(own) == label_key(name)]
    return alike[0] if len(alike) == 1 else None


def column_of(table: Table, name: str, option: str, *, is_evaluation: bool = False) -> list[Any]:
    """The cells of the column `name`, which `option` chooses. In an evaluation table it must have
    the name that it has in the labelled rows. Raises UserError with what the table itself
    suggests."""
    own = own_name(table, name)
    if own is not None:
        return table.cells[own]
    twice = next((other for other in table.twice if label_key(other) == label_key(name)), None)
    if twice is not None:
        raise UserError(f"{table.where}: two columns are called {twice!r}; rename one")
    names = [*table.cells, *sorted(table.twice)]
    there = ", ".join(f"{n!r:.60}" for n in names[:MAX_SHOWN])
    there += ", ..." if len(names) > MAX_SHOWN else ""
    unread = f" ({table.unread})" if table.unread else ""
    remedy = _remedy(table, name, option)
    if remedy:
        raise UserError(f"{table.where}: no column {name!r}; it has {there}; {remedy}{unread}")
    choose = (
        f"call it {name!r} there, as in the labelled rows"
        if is_evaluation
        else f"choose one with {option}"
    )
    raise UserError(
        f"{table.where}: no column {name!r}{_guess(names, name, option)}; it has {there};"
        f" {choose}{unread}"
    )


def filled_instead(table: Table, name: str) -> str | None:
    """The column that holds something in just the rows where the column `name` is empty: the
    name changes on the way. None where there is none."""
    own = own_name(table, name)
    if own is None:
        return None
    empty = [is_missing(cell) for cell in table.cells[own]]
    others = (other for other in table.cells if other != own)
    return next((o for o in others if [not is_missing(c) for c in table.cells[o]] == empty), None)


def _guess(names: list[str], name: str, option: str) -> str:
    """` (did you mean NAME?)`: the one or two nearest names, or else a usual one."""
    keys = {label_key(own): own for own in names}
    near = difflib.get_close_matches(label_key(name), keys, n=2, cutoff=0.5)
    if not near:
        near = [usual for usual in USUAL_NAMES.get(option, ()) if usual in keys][:1]
    shown = " or ".join(repr(keys[key]) for key in near)
    return f" (did you mean {shown}?)" if near else ""


def _remedy(table: Table, name: str, option: str) -> str | None:
    only = next(iter(table.cells)) if len(table.cells) == 1 else ""
    below = _names_below(table, name)
    if below:
        return f"a row below has the names ({below!r}): remove what stands above it"
    for separator, shown in SEPARATORS.items():
        if separator in only and not _is_text(only):
            return (
                f"the separator seems to be {shown}, but not every line fits that: save the table"
                " again"
            )
    if _has_no_header(table):
        return "its first row looks like any other row: put one above it that names the columns"
    if {"data", "annotations"} <= set(table.cells) or {"data", "completions"} <= set(table.cells):
        return "it looks like Label Studio's full export: export it as CSV or JSON-MIN"
    parts = [part.strip() for part in name.replace("+", ",").split(",")]
    if len(parts) > 1 and all(own_name(table, part) for part in parts):
        return f"one column is read: join {some([repr(part) for part in parts])} into one"
    return _remedy_of_binary(table) if option == LABEL_OPTION else None


def _remedy_of_binary(table: Table) -> str | None:
    """What to do about columns of 0 and 1, one a label. None where there are none."""
    binary = binary_columns(table.cells)
    if not binary:
        return None
    shown = some([repr(column) for column in binary])
    if _labels_each(table, binary) == {1}:
        return (
            f"{shown} hold 1 in one column of each row: write that column's name into one"
            f" column, or choose one of them with {LABEL_OPTION}"
        )
    return (
        f"{shown} hold 0 and 1: several labels a row, which are not forecast together; choose"
        f" one of them with {LABEL_OPTION}"
    )


def _labels_each(table: Table, binary: list[str]) -> set[int]:
    """How many of the columns are 1 in a row."""
    rows = zip(*(table.cells[name] for name in binary), strict=True)
    return {sum(str(cell).strip().lower() in ("1", "1.0", "true") for cell in row) for row in rows}


def _names_below(table: Table, name: str) -> str | None:
    """The first name of a column that stands in one of the first rows: the rows above it are a
    title. None where there is none."""
    usual = {label_key(other) for names in USUAL_NAMES.values() for other in names}
    known = (usual - {"v1", "v2"}) | {label_key(name)}
    if known & {label_key(own) for own in table.cells}:
        return None
    for row in zip(*(column[:N_FIRST_ROWS] for column in table.cells.values()), strict=True):
        found = [cell for cell in row if isinstance(cell, str) and label_key(cell) in known]
        if len(found) > 1 or (found and len(row) == 1):  # a single one may be a label
            return found[0]
    return None


def _has_no_header(table: Table) -> bool:
    """Whether the names are cells of a first row that was taken for the header: one of them stands
    below itself, or the only one is a text."""
    if table.twice and all(name.isdecimal() for name in table.twice):
        return True
    if len(table.cells) == 1:
        return _is_text(next(iter(table.cells)))
    return any(
        name in column or (name.isdecimal() and all(str(cell).isdecimal() for cell in column))
        for name, column in table.cells.items()
        if column and isinstance(column[0], str)
    )


def _is_text(name: str) -> bool:
    return len(name.split()) >= MIN_WORDS_OF_TEXT
