"""Rows of text classification from users' tables, read strictly. Every mistake is one line with
file, row and column.

Rows are counted from 1 without the header, as a spreadsheet's user counts them; lines of a file are
called lines."""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cluster.storage import UserError
from probes.tables.classes import Classes, unlabelled_note
from probes.tables.column import column_of
from probes.tables.file import read_table
from probes.tables.several_labels import one_label
from probes.tables.table import Table, some

PRODIGY_ANSWER = "answer"
"""Column of Prodigy's exports: a label counts where the answer is `accept`."""


class Columns(NamedTuple):
    """Column names, and how labels are read. A pair column of None is used when the table has a
    column `text_pair`."""

    text: str = "text"
    pair: str | None = None
    label: str = "label"
    keep_case: bool = False
    """Labels that differ in case alone are two classes."""
    keep_labels: tuple[str, ...] = ()
    """Labels that are classes although they look like a code for none (`NA`, `-1`)."""

    def classes(self, labels: Sequence[str | None], others: Sequence[str | None] = ()) -> Classes:
        """The classes of labelled rows (`probes.tables.classes`)."""
        return Classes(labels, others, keep_case=self.keep_case, keep_labels=self.keep_labels)


class Rows(NamedTuple):
    """Rows of a table: labels as they are written, None for an empty cell."""

    texts: list[str]
    pairs: list[str] | None
    labels: list[str | None]
    notes: tuple[str, ...] = ()


class LabelledRows(NamedTuple):
    """Rows that have a class: labels by the classes' names, `rows` their positions in the table
    (from 0)."""

    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    rows: list[int]
    classes: Classes
    notes: tuple[str, ...]


def read_labelled(
    path: str | Path, columns: Columns | None = None
) -> tuple[list[str], list[str] | None, list[str]]:
    """(texts, second texts of pairs or None, classes) of the labelled rows of a file, as
    `labelled_rows` has them; what must be said of it is a UserWarning."""
    found = labelled_rows(read_table(path), columns or Columns())
    for note in found.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return found.texts, found.pairs, found.labels


def labelled_rows(table: Table, columns: Columns) -> LabelledRows:
    """The labelled rows of a table that is all there is, so that it must have two classes and no
    blank text. Rows without a label are left out, with a note.

    Whole numbers are labels too (`1`, not `1.5`). Raises UserError: missing column, empty, blank or
    non-text cell, mixed labels, one column for two purposes, one class."""
    texts, pairs, written, notes = rows_of(table, columns, may_be_blank=False)
    classes = columns.classes(written)
    labels = [classes.of(label) for label in written]
    rows = [row for row, label in enumerate(labels) if label is not None]
    found = [label for label in labels if label is not None]
    unlabelled = unlabelled_note(written, classes, "left out")
    if not found:
        raise UserError(
            f"{table.where}: no row has a label in column {columns.label!r}; fill it in"
        )
    if len(set(found)) == 1:
        others = "; add rows of another class" if unlabelled is None else f"; {unlabelled}"
        raise UserError(
            f"{table.where}: only one class ({found[0]!r}) in {len(found)} rows{others}"
        )
    name = Path(table.where).name
    about = [*classes.notes, *([unlabelled] if unlabelled else [])]
    return LabelledRows(
        [texts[row] for row in rows],
        None if pairs is None else [pairs[row] for row in rows],
        found,
        rows,
        classes,
        (*notes, *(f"{name}: {note}" for note in about)),
    )


def rows_of(table: Table, columns: Columns, *, may_be_blank: bool = True) -> Rows:
    """All rows, labels as they are written. Raises UserError."""
    if columns.label in (columns.text, columns.pair):
        raise UserError(
            f"{table.where}: column {columns.label!r} is given as text and as label; name another"
            " with --label-column"
        )
    texts, pairs = texts_of(table, columns, may_be_blank=may_be_blank)
    cells = one_label(column_of(table, columns.label, "--label-column"))
    _check_one_label(cells, columns.label, table.where)
    _check_one_kind(cells, columns.label, table.where)
    labels = [_label(value, row, columns.label, table.where) for row, value in enumerate(cells, 1)]
    labels, rejected = _accepted(labels, table)
    return Rows(texts, pairs, labels, (*table.notes, *rejected))


def labels_of(table: Table, columns: Columns) -> list[str | None]:
    """The label column alone, as it is written. Raises UserError."""
    return rows_of(
        Table(
            {columns.text: ["-"] * table.n_rows, columns.label: table.cells[columns.label]},
            table.where,
        ),
        columns._replace(pair=None),
    ).labels


def texts_of(
    table: Table, columns: Columns, *, may_be_blank: bool = False
) -> tuple[list[str], list[str] | None]:
    """(texts, second texts of pairs or None). Raises UserError."""
    if columns.pair is not None and columns.pair == columns.text:
        raise UserError(
            f"{table.where}: column {columns.text!r} is given for both texts; name another with"
            " --pair-column"
        )
    texts = _texts(table, columns.text, "--text-column", may_be_blank)
    pair = columns.pair or (
        "text_pair" if "text_pair" in table.cells and columns.text != "text_pair" else None
    )
    return texts, None if pair is None else _texts(table, pair, "--pair-column", may_be_blank)


def read_unlabelled(
    path: str | Path, columns: Columns | None = None
) -> tuple[list[str], list[str] | None]:
    """(texts, second texts of pairs or None) of a table whose label column, if it has one, is not
    looked at. Raises UserError as `read_labelled` does."""
    return texts_of(read_table(path), columns or Columns())


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, pandas' NA and NaT."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def _texts(table: Table, name: str, option: str, may_be_blank: bool) -> list[str]:
    """The texts of a column. Raises UserError, which counts the rows that have none."""
    column = column_of(table, name, option)
    empty = [row for row, value in enumerate(column, 1) if is_missing(value)]
    blank = [
        row for row, value in enumerate(column, 1) if isinstance(value, str) and not value.strip()
    ]
    for rows, what in ((empty, "empty cell"), ([] if may_be_blank else blank, "blank text")):
        if rows:
            more = "" if len(rows) == 1 else f" ({len(rows)} in all: rows {some(rows, 5)})"
            them, those = ("it", "row") if len(rows) == 1 else ("them", "rows")
            raise UserError(
                f"{table.where}: row {rows[0]}, column {name!r}: {what}{more}; fill {them} in or"
                f" remove the {those}"
            )
    for row, value in enumerate(column, 1):
        where = f"{table.where}: row {row}, column {name!r}"
        if not isinstance(value, str):
            shown = f"{value!r:.40} ({type(value).__name__})"
            raise UserError(f"{where}: {shown} is not text; put quotes around it or remove the row")
        _check_unicode(value, where)
    return column


def _check_unicode(value: str, where: str) -> None:
    """JSON can spell half a surrogate pair, which no file can hold. Raises UserError."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        code = f"\\u{ord(value[error.start]):04x}"
        raise UserError(
            f"{where}: not valid Unicode ({code} alone, character {error.start + 1}); remove it"
        ) from None


def _check_one_label(column: list[Any], name: str, where: str) -> None:
    rows = [row for row, value in enumerate(column, 1) if isinstance(value, list | tuple | set)]
    if rows:
        value = column[rows[0] - 1]
        more = "" if len(rows) == 1 else f" ({len(rows)} rows have lists)"
        raise UserError(
            f"{where}: row {rows[0]}, column {name!r}: {value!r:.40} ({type(value).__name__}) is"
            f" not a class{more}: several labels in a cell are not forecast; give one label a row"
        )


def _check_one_kind(column: list[Any], name: str, where: str) -> None:
    """Labels are all text or all numbers: a table that mixes them (`1`, `"spam"`) was put together
    wrongly."""
    first = next((value for value in column if not is_missing(value)), None)
    for row, value in enumerate(column, 1):
        if not is_missing(value) and isinstance(value, str) != isinstance(first, str):
            kinds = (
                f"{value!r:.30} ({type(value).__name__}) after {first!r:.30}"
                f" ({type(first).__name__})"
            )
            raise UserError(
                f"{where}: row {row}, column {name!r}: mixed label types: {kinds}; write all labels"
                " as text"
            )


def _label(value: Any, row: int, column: str, where: str) -> str | None:
    """The label as text; None where the cell is empty. Raises UserError."""
    place = f"{where}: row {row}, column {column!r}"
    if is_missing(value):
        return None
    if isinstance(value, str):
        _check_unicode(value, place)
        return value if value.strip() else None
    if isinstance(value, int) or (
        isinstance(value, float) and value.is_integer()
    ):  # infinity is no integer
        return str(value if isinstance(value, bool) else int(value))
    raise UserError(
        f"{place}: {value!r:.40} ({type(value).__name__}) is not a class; labels are text or whole"
        " numbers"
    )


def _accepted(labels: list[str | None], table: Table) -> tuple[list[str | None], tuple[str, ...]]:
    """Labels that a Prodigy export says were accepted, the others as None; and a note."""
    answers = table.cells.get(PRODIGY_ANSWER, [])
    if not answers or not set(answers) <= {"accept", "reject", "ignore"}:
        return labels, ()
    n_other = sum(answer != "accept" for answer in answers)
    if not n_other:
        return labels, ()
    kept = [
        label if answer == "accept" else None for label, answer in zip(labels, answers, strict=True)
    ]
    name = Path(table.where).name
    said = f"{name}: column 'answer' rejects or ignores the label of {n_other} rows"
    return kept, (said,)
