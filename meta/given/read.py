"""From what a user has (a file, a data frame, lists) to samples, with what must be said about them.

A label column in the evaluation table is not looked at unless the user says so: then its empty
cells are unlabelled rows.
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
"""A file that `probes.tasks.read` reads, a data frame, or columns by name."""


def read_samples(
    train: Table,
    evaluation: Table | Sequence[str] | None,
    columns: Columns,
    *,
    eval_labels: bool = False,
) -> tuple[LabelledSample, EvalSample | None, list[str]]:
    """Both samples, and what to say about them. `evaluation` may also be a list of texts.
    `eval_labels`: the labels that the evaluation table has are used. Raises UserError."""
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
    """(column name -> cells, what errors call it); a list of texts is a table of one column."""
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
    if isinstance(given, str | Path):
        return read_unlabelled(given, columns)
    blank = dict(table) | {
        "\0label": ["-"] * len(next(iter(table.values())))
    }  # a label column that no table has
    texts, pairs, _ = columns_to_rows(
        blank, columns._replace(label="\0label"), where, may_be_blank=False
    )
    return texts, pairs


def _known_labels(
    table: dict[str, list[Any]], index: Mapping[str, int], columns: Columns, where: str
) -> tuple[np.ndarray, list[str]]:
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
    filled = [
        cells[given[0]] if _is_empty(cell) else cell for cell in cells
    ]  # so that errors name the right row
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
    return (
        cell is None
        or (isinstance(cell, float) and np.isnan(cell))
        or (isinstance(cell, str) and not cell.strip())
    )


def _plain(cell: Any) -> Any:
    """A cell as Python has it, whatever library it comes from."""
    return cell.item() if isinstance(cell, np.generic) else cell
