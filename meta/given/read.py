"""Reading of a user's tables (a file, a data frame, columns, a list) into samples.

A label column in the evaluation table is not looked at unless the user asks for it. Then a row with
an empty cell is unlabelled.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import pyarrow as pa

from cluster.storage import UserError
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample
from probes.tables.classes import Classes, unlabelled_note
from probes.tables.column import own_name
from probes.tables.given import table_of
from probes.tables.groups import check_groups, group_names
from probes.tables.table import Table as ReadTable
from probes.tables.table import some
from probes.tables.times import times_of
from probes.tasks.read import Columns, labelled_rows, labels_of, texts_of

Table: TypeAlias = (
    str
    | Path
    | pd.DataFrame
    | pa.Table
    | Mapping[Any, Sequence[Any]]
    | Sequence[Mapping[str, Any]]
    | tuple[Sequence[str], Sequence[Any]]
    | Any
)
"""A file that `probes.tables.file` reads, or a table of a Python call (`probes.tables.given`): also
a Hugging Face data set and a polars data frame, whose libraries need not be installed."""


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
    given = table_of(train, "train", text=columns.text, label=columns.label)
    found = labelled_rows(given, columns)
    names = tuple(
        sorted(
            set(found.labels),
            key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name),
        )
    )
    index = {name: i for i, name in enumerate(names)}
    groups, times, more_notes = _groups_and_times(given, found.rows, columns)
    numbers = np.array([index[label] for label in found.labels], dtype=np.int64)
    positions = np.array(found.rows, dtype=np.int64)
    sample = LabelledSample(
        tuple(found.texts),
        numbers,
        names,
        None if found.pairs is None else tuple(found.pairs),
        None if len(positions) == positions[-1] + 1 else positions,
        None if groups is None else _numbered(groups, _numbers_of(groups)),
        times,
    )
    notes = [*found.notes, *more_notes]
    if evaluation is None:
        if eval_labels:
            raise UserError(
                "--eval-labels: there is no evaluation sample; give --eval as well, or leave it out"
            )
        return sample, None, notes
    table = table_of(
        evaluation, "evaluation", text=columns.text, label=columns.label, has_labels=False
    )
    notes += table.notes
    texts, pairs = texts_of(table, columns, is_evaluation=True)
    known: np.ndarray | None = None
    if eval_labels:
        known, more = _known_labels(table, index, found.classes, columns)
        notes += more
    elif own_name(table, columns.label) is not None:
        notes.append(
            f"{Path(table.where).name} has a column '{columns.label}': not looked at, evaluation"
            " rows count as unlabelled (--eval-labels uses it)"
        )
    return (
        sample,
        EvalSample(
            tuple(texts),
            None if pairs is None else tuple(pairs),
            labels=known,
            groups=_evaluation_groups(table, groups, columns.group),
        ),
        notes,
    )


def _groups_and_times(
    table: ReadTable, rows: Sequence[int], columns: Columns
) -> tuple[list[str | None] | None, np.ndarray | None, list[str]]:
    """The groups and the times of the labelled `rows` of a table, None where no column is named,
    and notes about them."""
    groups, times, notes = None, None, []
    if columns.group is not None:
        named = group_names(table, columns.group)
        groups = [named[row] for row in rows]
        notes.append(check_groups(groups, table, columns.group))
    if columns.time is not None:
        times = np.array(times_of(table, columns.time, rows))
    return groups, times, notes


def _numbers_of(groups: Sequence[str | None]) -> dict[str, int]:
    """A number for each of the `groups`."""
    return {name: i for i, name in enumerate(dict.fromkeys(g for g in groups if g is not None))}


def _numbered(groups: Sequence[str | None], numbers: Mapping[str, int]) -> np.ndarray:
    """(n,) int64 the number of each row's group. A row without a group has one of its own."""
    return np.array(
        [
            len(numbers) + row if group is None else numbers[group]
            for row, group in enumerate(groups)
        ],
        dtype=np.int64,
    )


def _evaluation_groups(
    table: ReadTable, groups: Sequence[str | None] | None, column: str | None
) -> np.ndarray | None:
    """`EvalSample.groups` of the evaluation table, None where it has no column of groups. `groups`
    are those of the labelled rows."""
    if groups is None or column is None or own_name(table, column) is None:
        return None
    numbers = _numbers_of(groups)
    return np.array(
        [-1 if group is None else numbers.get(group, -1) for group in group_names(table, column)],
        dtype=np.int64,
    )


def _known_labels(
    table: ReadTable, index: Mapping[str, int], classes: Classes, columns: Columns
) -> tuple[np.ndarray, list[str]]:
    """The labels (m,) int64 of the evaluation table, as in `EvalSample.labels`, and warnings.
    `index` maps the names of the labelled rows' classes to numbers."""
    where = table.where
    written = labels_of(table, columns)
    names = [classes.of(label) for label in written]
    labels = [name for name in names if name is not None]
    if not labels:
        raise UserError(
            f"--eval-labels: column '{columns.label}' of {where} is empty; fill some of it in, or"
            " leave it out"
        )
    known = np.array(
        [NOT_LABELLED if name is None else index.get(name, len(index)) for name in names],
        dtype=np.int64,
    )
    unseen = sorted({label for label in labels if label not in index})
    if len(unseen) == len(set(labels)):
        raise UserError(
            f"--eval-labels: no label of {where} ({some([repr(u) for u in unseen])}) is among those"
            f" of the labelled rows ({some([repr(name) for name in index])}); write the labels in"
            " the same words in both"
        )
    notes = []
    if any(name is None and label is not None for name, label in zip(names, written, strict=True)):
        unlabelled = unlabelled_note(written, classes, "they count as unlabelled")
        notes.append(f"{Path(where).name}: {unlabelled}")
    if unseen:
        n_rows = int(np.sum(known == len(index)))
        shown = ", ".join(map(repr, unseen[:3])) + (", ..." if len(unseen) > 3 else "")
        notes.append(
            f"{n_rows} evaluation rows are of classes that no labelled row has ({shown}): no probe"
            " can get them right"
        )
    return known, notes
