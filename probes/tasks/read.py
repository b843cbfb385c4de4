"""Reads rows of text classification from users' tables. Every mistake is one line with file, row
and column.

Rows are counted from 1 without the header. Lines of a file are called lines."""

import ast
import contextlib
import datetime
import json
import math
import warnings
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from cluster.storage import UserError
from probes.tables.classes import Classes, unlabelled_note
from probes.tables.column import (
    LABEL_OPTION,
    PAIR_OPTION,
    TEXT_OPTION,
    column_of,
    filled_instead,
    own_name,
)
from probes.tables.file import read_table
from probes.tables.no_label import is_code
from probes.tables.several_labels import one_label
from probes.tables.spelling import clean, is_blank, label_key
from probes.tables.table import Table, is_missing, some

_WRITTEN_AS_TEXT = (int, float, Decimal, datetime.date, datetime.time)
_SUMS = frozenset({"total", "totals", "grand total", "subtotal", "sum"})
"""The text of a last row that sums a column up, in small letters."""
PRODIGY_ANSWER = "answer"
"""Column of Prodigy's exports: a label counts where the answer is `accept`."""


class Columns(NamedTuple):
    """Column names, and how labels are read. Without a pair column the column `text_pair` is used,
    where the table has one."""

    text: str = "text"
    pair: str | None = None
    label: str = "label"
    keep_case: bool = False
    """Whether labels that differ in case alone are two classes."""
    keep_labels: tuple[str, ...] = ()
    """Labels that are classes although they look like a code for none (`NA`, `-1`)."""
    group: str | None = None
    """Column of what rows have in common (author, document, patient). None: there is none."""
    time: str | None = None
    """Column of dates or times of the rows. None: there is none."""

    def classes(self, labels: Sequence[str | None], others: Sequence[str | None] = ()) -> Classes:
        """The classes of labelled rows (`probes.tables.classes`)."""
        return Classes(labels, others, keep_case=self.keep_case, keep_labels=self.keep_labels)


class Rows(NamedTuple):
    """Rows of a table. Labels are as they are written. An empty cell is None."""

    texts: list[str]
    pairs: list[str] | None
    labels: list[str | None]
    notes: tuple[str, ...] = ()


class LabelledRows(NamedTuple):
    """Rows that have a class. Labels are the names of the classes. `rows` are positions in the
    table, from 0."""

    texts: list[str]
    pairs: list[str] | None
    labels: list[str]
    rows: list[int]
    classes: Classes
    notes: tuple[str, ...]


def read_labelled(
    path: str | Path, columns: Columns | None = None
) -> tuple[list[str], list[str] | None, list[str]]:
    """(texts, second texts of pairs or None, classes) of the labelled rows of a file. See
    `labelled_rows`. A UserWarning says what is notable about the table."""
    found = labelled_rows(read_table(path), columns or Columns())
    for note in found.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    return found.texts, found.pairs, found.labels


def labelled_rows(table: Table, columns: Columns) -> LabelledRows:
    """The labelled rows of a table. It must have two classes or more, and no blank text. Rows
    without a label are left out, with a note.

    Numbers are labels too. Raises UserError: missing column, empty, blank or non-text cell, mixed
    labels, numbers that are a quantity, one column for two purposes, one class."""
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
    if classes.quantity is not None:
        raise UserError(f"{table.where}: column {columns.label!r}: {classes.quantity}")
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
    """All rows of a table, with labels as they are written. Raises UserError."""
    if columns.label in (columns.text, columns.pair):
        raise UserError(
            f"{table.where}: column {columns.label!r} is given as text and as label; name another"
            " with --label-column"
        )
    texts, pairs = texts_of(table, columns, may_be_blank=may_be_blank)
    cells = one_label(column_of(table, columns.label, LABEL_OPTION))
    _check_one_label(cells, columns.label, table.where)
    _check_one_kind(cells, columns.label, table.where)
    has_fractions = any(isinstance(v, float) and math.isfinite(v) and v % 1 for v in cells)
    labels = [
        _label(value, row, columns.label, table.where, has_fractions=has_fractions)
        for row, value in enumerate(cells, 1)
    ]
    labels, rejected = _accepted(labels, table)
    more = _about_rows(table, texts, labels, columns)
    return Rows(texts, pairs, labels, (*table.notes, *rejected, *more))


def labels_of(table: Table, columns: Columns) -> list[str | None]:
    """The label column alone, as it is written. Raises UserError."""
    return rows_of(
        Table(
            {
                columns.text: ["-"] * table.n_rows,
                columns.label: column_of(table, columns.label, LABEL_OPTION, is_evaluation=True),
            },
            table.where,
        ),
        columns._replace(pair=None),
    ).labels


def texts_of(
    table: Table, columns: Columns, *, may_be_blank: bool = False, is_evaluation: bool = False
) -> tuple[list[str], list[str] | None]:
    """(texts, second texts of pairs or None). An evaluation table has the labelled rows' names.
    Raises UserError."""
    if columns.pair is not None and columns.pair == columns.text:
        raise UserError(
            f"{table.where}: column {columns.text!r} is given for both texts; name another with"
            " --pair-column"
        )
    how = {"may_be_blank": may_be_blank, "is_evaluation": is_evaluation}
    texts = _texts(table, columns.text, TEXT_OPTION, **how)
    pair = columns.pair or (
        "text_pair" if own_name(table, "text_pair") and columns.text != "text_pair" else None
    )
    return texts, None if pair is None else _texts(table, pair, PAIR_OPTION, **how)


def read_unlabelled(
    path: str | Path, columns: Columns | None = None
) -> tuple[list[str], list[str] | None]:
    """(texts, second texts of pairs or None) of a table. Its label column is not read. Raises
    UserError as `read_labelled` does."""
    return texts_of(read_table(path), columns or Columns())


def _texts(
    table: Table, name: str, option: str, *, may_be_blank: bool, is_evaluation: bool
) -> list[str]:
    """The texts of a column. Raises UserError, which counts the rows that have none. Numbers and
    dates among texts are texts, as in a CSV."""
    column = column_of(table, name, option, is_evaluation=is_evaluation)
    empty = [row for row, value in enumerate(column, 1) if is_missing(value)]
    blank = [
        row for row, value in enumerate(column, 1) if isinstance(value, str) and is_blank(value)
    ]
    for rows, what in ((empty, "empty cell"), ([] if may_be_blank else blank, "blank text")):
        if rows:
            more = "" if len(rows) == 1 else f" ({len(rows)} in all: rows {some(rows, 5)})"
            them, those = ("it", "row") if len(rows) == 1 else ("them", "rows")
            other = filled_instead(table, name) if rows is empty else None
            remedy = (
                f"fill {them} in or remove the {those}"
                if other is None
                else f"column {other!r} has something in just these rows: give both one name"
            )
            raise UserError(
                f"{table.where}: row {rows[0]}, column {name!r}: {what}{more}; {remedy}"
            )
    if 2 * sum(isinstance(value, str) for value in column) > len(column):
        column = [str(v) if isinstance(v, _WRITTEN_AS_TEXT) else v for v in column]
    for row, value in enumerate(column, 1):
        where = f"{table.where}: row {row}, column {name!r}"
        if not isinstance(value, str):
            shown = f"{value!r:.40} ({type(value).__name__})"
            raise UserError(f"{where}: {shown} is not text; {_text_remedy(value, option)}")
        _check_unicode(value, where)
    return column


def _text_remedy(value: Any, option: str) -> str:
    if isinstance(value, Mapping | list | tuple):
        return "write the text itself into the cell"
    if isinstance(value, bytes):
        return "decode it, as value.decode()"
    return f"write it as text, or choose another column with {option}"


def _check_unicode(value: str, where: str) -> None:
    """Raises UserError for half a surrogate pair. JSON can spell one, and no file can hold it."""
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
        is_one_hot = all(sorted(map(str, column[r - 1])) == _one_hot(len(value)) for r in rows)
        remedy = (
            "it looks one-hot: give the position of the 1, as labels.argmax(axis=1)"
            if is_one_hot
            else "several labels in a cell are not forecast; give one label a row"
        )
        raise UserError(
            f"{where}: row {rows[0]}, column {name!r}: {value!r:.40} ({type(value).__name__}) is"
            f" not a class{more}: {remedy}"
        )
    first = next((row for row, value in enumerate(column) if not is_missing(value)), None)
    if first is not None and _is_object(column[first]):
        raise UserError(
            f"{where}: row {first + 1}, column {name!r}: {column[first]!r:.40} is an object,"
            " not a class; write the label itself into the cell"
        )


def _one_hot(n: int) -> list[str]:
    return ["0"] * (n - 1) + ["1"]


def _is_object(value: Any) -> bool:
    """Whether a text is an object of JSON or Python, or a list of them."""
    if not isinstance(value, str) or not value.startswith(("{", "[{")):
        return False
    for read in (json.loads, ast.literal_eval):
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return isinstance(read(value), dict | list)
    return False


def _check_one_kind(column: list[Any], name: str, where: str) -> None:
    """Labels are all text or all numbers: a table that mixes them (`1`, `"spam"`) was put together
    wrongly. A text that is a number, or a code for no label, may stand beside numbers."""
    other = next((v for v in column if not is_missing(v) and not isinstance(v, str)), None)
    if other is None:
        return
    first = next(value for value in column if not is_missing(value))
    for row, value in enumerate(column, 1):
        if not is_missing(value) and _is_text(value, other) != _is_text(first, other):
            kinds = (
                f"{value!r:.30} ({type(value).__name__}) after {first!r:.30}"
                f" ({type(first).__name__})"
            )
            raise UserError(
                f"{where}: row {row}, column {name!r}: mixed label types: {kinds}; write all labels"
                " as text"
            )


def _is_text(value: Any, other: Any) -> bool:
    """Whether the label is a text that is not of the kind of `other`, which is none."""
    if not isinstance(value, str):
        return False
    key = label_key(value)
    if isinstance(other, bool):
        return key not in ("true", "false") and not is_code(key)
    return not (key.lstrip("+-").replace(".", "", 1).isdecimal() or is_code(key))


def _label(
    value: Any, row: int, column: str, where: str, *, has_fractions: bool = False
) -> str | None:
    """The label as text; None where the cell is empty. `has_fractions`: some labels of the column
    are no whole numbers, so 2.0 keeps its form. Raises UserError."""
    place = f"{where}: row {row}, column {column!r}"
    if isinstance(value, Decimal) and value.is_finite():
        value = float(value) if value % 1 else int(value)
    if is_missing(value):
        return None
    if isinstance(value, str):
        _check_unicode(value, place)
        return value if value.strip() else None
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value) if has_fractions else str(int(value))
    remedy = (
        "write the label itself into the cell"
        if isinstance(value, Mapping)
        else "write it as text, or choose another column with --label-column"
    )
    raise UserError(
        f"{place}: {value!r:.40} ({type(value).__name__}) is not a class; labels are text or"
        f" numbers: {remedy}"
    )


def _about_rows(
    table: Table, texts: Sequence[str], labels: Sequence[str | None], columns: Columns
) -> list[str]:
    """What to say of labels that stand in another column, and of a last row that is a sum."""
    notes, name = [], Path(table.where).name
    other = filled_instead(table, columns.label) if None in labels else None
    if other is not None:
        notes.append(
            f"{name}: column {other!r} has something in just the rows where {columns.label!r} is"
            " empty: give both one name where they hold the same"
        )
    if texts and clean(texts[-1]).rstrip(": ").casefold() in _SUMS:
        notes.append(f"{name}: the last row looks like a sum ({texts[-1]!r:.40}): is it a row?")
    return notes


def _accepted(labels: list[str | None], table: Table) -> tuple[list[str | None], tuple[str, ...]]:
    """The labels that a Prodigy export calls accepted, and a note. Other labels become None."""
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
