"""Reading of a user's tables (a file, a data frame, columns, a list) into samples.

A label column in the evaluation table is not looked at unless the user asks for it. Then a row with
an empty cell is unlabelled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cluster.storage import UserError
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample
from probes.tasks.read import Columns, columns_to_rows, read_labelled, read_table, read_unlabelled

Table = str | Path | pd.DataFrame | Mapping[str, Sequence[Any]]
"""A file that `probes.tasks.read` can read, a data frame, or columns by name."""


def read_samples(
    train: Table,
    evaluation: Table | Sequence[str] | None,
    columns: Columns,
    *,
    eval_labels: bool = False,
) -> tuple[LabelledSample, EvalSample | None, list[str]]:
    """The labelled sample, the evaluation sample (None where there is none), and warnings about the
    tables.

    `evaluation` may also be a list of texts. `columns` names the columns. With `eval_labels` the
    labels in the evaluation table are read. Classes are sorted: whole numbers by value, then other
    names. Raises UserError for a table that cannot be read or used.
    """
    texts, pairs, labels = _labelled(train, columns)
    names = tuple(
        sorted(
            set(labels),
            key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name),
        )
    )
    index = {name: i for i, name in enumerate(names)}
    numbers = np.array([index[label] for label in labels], dtype=np.int64)
    sample = LabelledSample(tuple(texts), numbers, names, None if pairs is None else tuple(pairs))
    if evaluation is None:
        if eval_labels:
            raise UserError(
                "--eval-labels: there is no evaluation sample; give --eval as well, or leave it out"
            )
        return sample, None, []
    table, where = _table(evaluation, columns, "eval")
    eval_texts, eval_pairs = _texts_of(table, evaluation, columns, where)
    known: np.ndarray | None = None
    notes: list[str] = []
    if eval_labels:
        known, notes = _known_labels(table, index, columns, where)
    elif columns.label in table:
        name = Path(where).name
        notes = [
            f"{name} has a column '{columns.label}': not looked at, evaluation rows count as"
            " unlabelled (--eval-labels uses it)"
        ]
    return (
        sample,
        EvalSample(
            tuple(eval_texts), None if eval_pairs is None else tuple(eval_pairs), labels=known
        ),
        notes,
    )


def _labelled(train: Table, columns: Columns) -> tuple[list[str], list[str] | None, list[str]]:
    """Texts, second texts (None without such a column) and labels of the labelled table."""
    if isinstance(train, str | Path):
        return read_labelled(train, columns)
    table, where = _table(train, columns, "train")
    texts, pairs, labels = columns_to_rows(table, columns, where, may_be_blank=False)
    if len(set(labels)) == 1:
        raise UserError(
            f"{where}: only one class ({labels[0]!r}) in {len(labels)} rows; add rows of another"
            " class"
        )
    return texts, pairs, labels


def _table(given: Any, columns: Columns, name: str) -> tuple[dict[str, list[Any]], str]:
    """The table `given` as column name -> cells, and what errors call it (its path, or `name`). A
    list of texts becomes a table of one column."""
    if isinstance(given, str | Path):
        return read_table(given), str(given)
    if isinstance(given, pd.DataFrame):
        plain = given.astype(object).where(given.notna(), None)
        table = {str(column): [_plain(cell) for cell in plain[column]] for column in plain.columns}
    elif isinstance(given, Mapping):
        table = {str(column): [_plain(cell) for cell in cells] for column, cells in given.items()}
    else:
        table = {columns.text: list(given)}
    lengths = {len(cells) for cells in table.values()}
    if len(lengths) > 1:
        raise UserError(
            f"{name}: columns of different lengths ({', '.join(map(str, sorted(lengths)))} rows);"
            " make them equal"
        )
    if not lengths or lengths == {0}:
        raise UserError(f"{name}: no rows; it needs at least one")
    return table, name


def _texts_of(
    table: dict[str, list[Any]], given: Any, columns: Columns, where: str
) -> tuple[list[str], list[str] | None]:
    """Texts and second texts (None without such a column) of the evaluation table."""
    if isinstance(given, str | Path):
        return read_unlabelled(given, columns)
    label = "\0label"  # a name that no column of the table has
    with_labels = dict(table) | {label: ["-"] * len(next(iter(table.values())))}
    texts, pairs, _ = columns_to_rows(
        with_labels, columns._replace(label=label), where, may_be_blank=False
    )
    return texts, pairs


def _known_labels(
    table: dict[str, list[Any]], index: Mapping[str, int], columns: Columns, where: str
) -> tuple[np.ndarray, list[str]]:
    """The labels (m,) int64 of the evaluation table, as in `EvalSample.labels`, and warnings.
    `index` maps the names of the labelled rows' classes to numbers."""
    if columns.label not in table:
        raise UserError(
            f"--eval-labels: {where} has no column '{columns.label}'; choose one with"
            " --label-column"
        )
    cells = table[columns.label]
    given = [row for row, cell in enumerate(cells) if not _is_empty(cell)]
    if not given:
        raise UserError(
            f"--eval-labels: column '{columns.label}' of {where} is empty; fill some of it in, or"
            " leave it out"
        )
    # empty cells are filled so that errors name the right row
    filled = [cells[given[0]] if _is_empty(cell) else cell for cell in cells]
    whole = {columns.text: ["-"] * len(cells), columns.label: filled}
    _, _, names = columns_to_rows(whole, Columns(columns.text, None, columns.label), where)
    labels = [names[row] for row in given]
    known = np.full(len(cells), NOT_LABELLED, dtype=np.int64)
    known[given] = [index.get(label, len(index)) for label in labels]
    unseen = sorted({label for label in labels if label not in index})
    if len(unseen) == len(set(labels)):
        raise UserError(
            f"--eval-labels: no label of {where} ({unseen[0]!r}, ...) is among those of the"
            " labelled rows"
        )
    notes = []
    if unseen:
        n_rows = int(np.sum(known == len(index)))
        shown = ", ".join(map(repr, unseen[:3])) + (", ..." if len(unseen) > 3 else "")
        notes.append(
            f"{n_rows} evaluation rows are of classes that no labelled row has ({shown}): no probe"
            " can get them right"
        )
    return known, notes


def _is_empty(cell: Any) -> bool:
    """Whether a cell holds None, NaN or only white space."""
    return (
        cell is None
        or (isinstance(cell, float) and np.isnan(cell))
        or (isinstance(cell, str) and not cell.strip())
    )


def _plain(cell: Any) -> Any:
    """`cell` as a Python value where it is a NumPy scalar."""
    return cell.item() if isinstance(cell, np.generic) else cell
