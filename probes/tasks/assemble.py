"""Makes a Task of labelled rows: chooses the splits, numbers the labels, and leaves unusable rows
out."""

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from cluster.storage import UserError
from probes.tables.classes import unlabelled_note
from probes.tables.spelling import is_blank
from probes.tables.wording import REFERENCE, in_words_of
from probes.tasks.read import Columns
from probes.tasks.split import split_rows, text_key
from probes.tasks.task import Split, Task

NOTABLE_LEAK = 0.01
"""A warning tells of test texts that are in train too, where they are more than this share."""


class Labelled(NamedTuple):
    """Rows of one split as they were read. A label of None means that the row has no label."""

    texts: list[str]
    pairs: list[str] | None
    labels: list[str | None]

    def take(self, rows: Sequence[int]) -> "Labelled":
        pairs = [self.pairs[row] for row in rows] if self.pairs is not None else None
        return Labelled(
            [self.texts[row] for row in rows], pairs, [self.labels[row] for row in rows]
        )


_EMPTY = Labelled([], None, [])


def assemble(
    ref: str,
    tables: Mapping[str, Labelled],
    *,
    label_names: Sequence[str] | None = None,
    columns: Columns | None = None,
    family: str = "",
    info: dict[str, str] | None = None,
    has_official_test: bool = True,
) -> Task:
    """A task from the splits that its source has: any of train, validation and test. At least one
    of them must have labels.

    Rows without a label are left out. So are rows with a blank text, with a UserWarning. Where
    there is no test split, validation takes its place. A single split is split by text. Without
    `has_official_test` the rows of train and validation are split by text, and test is used only
    where there is nothing else. `label_names` gives the names of the classes and their order.
    Without it the labels are sorted, numbers as numbers. A UserWarning tells of test texts that are
    in train too. Raises UserError when fewer than two classes remain in train, and when all test
    texts are in train."""
    if label_names is None:
        tables = _with_classes(ref, tables, columns or Columns())
    usable = {name: _usable(table, f"{ref} ({name})") for name, table in tables.items()}
    usable = {name: table for name, table in usable.items() if table.labels}
    if not usable:
        raise UserError(f"{ref}: no row has a label; give a labelled file or split")
    if len({table.pairs is None for table in usable.values()}) > 1:
        raise UserError(
            f"{ref}: some splits have a second text and others have none; make them alike"
        )
    if not has_official_test and len(usable) > 1:
        usable = {"train": _joined([table for name, table in usable.items() if name != "test"])}
    splits = _with_test(ref, usable)
    present = {label for table in splits.values() for label in table.labels if label is not None}
    names = tuple(label_names) if label_names is not None else label_order(present)
    strange = sorted(present - set(names))
    if strange:
        raise UserError(
            f"{ref}: label {strange[0]!r} is not among the label names {', '.join(names[:8])}; mend"
            " dataset.json"
        )
    if len(set(splits["train"].labels)) < 2:
        raise UserError(
            f"{ref}: only one class in train ({splits['train'].labels[0]!r}); a task needs rows of"
            " two or more"
        )
    _look_for_leak(ref, splits)
    number = {name: index for index, name in enumerate(names)}
    return Task(
        ref,
        names,
        {name: _encode(table, number) for name, table in splits.items()},
        family,
        info or {},
    )


def _with_classes(
    ref: str, tables: Mapping[str, Labelled], columns: Columns
) -> dict[str, Labelled]:
    """The tables with the names of the classes for labels. A UserWarning tells which spellings were
    joined, and which rows of train have no label."""
    is_train = any(label is not None for label in tables.get("train", _EMPTY).labels)
    base = ["train"] if is_train else list(tables)
    labels = [label for name in base for label in tables[name].labels]
    others = [label for name in tables if name not in base for label in tables[name].labels]
    classes = columns.classes(labels, others)
    if classes.quantity is not None:
        raise UserError(f"{ref}: {in_words_of(REFERENCE, classes.quantity)}")
    notes = [f"{ref}: {note}" for note in classes.notes]
    if (
        is_train
        and any(map(classes.of, labels))
        and (note := unlabelled_note(labels, classes, "left out"))
    ):
        notes.append(f"{ref} (train): {note}")
    for note in notes:
        warnings.warn(in_words_of(REFERENCE, note), UserWarning, stacklevel=4)
    return {
        name: table._replace(labels=[classes.of(label) for label in table.labels])
        for name, table in tables.items()
    }


def label_order(labels: set[str]) -> tuple[str, ...]:
    """The labels in order. Where all are whole numbers, they are sorted as numbers."""
    try:
        return tuple(sorted(labels, key=int))
    except ValueError:
        return tuple(sorted(labels))


def _usable(table: Labelled, where: str) -> Labelled:
    blank = {row for row, text in enumerate(table.texts) if is_blank(text)}
    if table.pairs is not None:
        blank |= {row for row, text in enumerate(table.pairs) if is_blank(text)}
    if blank:
        first = min(blank) + 1
        warnings.warn(
            f"{where}: {len(blank)} rows with a blank text left out, the first is row {first}",
            UserWarning,
            stacklevel=4,
        )
    return table.take(
        [row for row, label in enumerate(table.labels) if label is not None and row not in blank]
    )


def _with_test(ref: str, usable: dict[str, Labelled]) -> dict[str, Labelled]:
    if "train" in usable and "test" in usable:
        return usable
    if "train" in usable and "validation" in usable:
        return {"train": usable["train"], "test": usable["validation"]}
    whole = usable["train"] if "train" in usable else _joined(list(usable.values()))
    train, test = split_rows(whole.texts, whole.pairs, [str(label) for label in whole.labels], ref)
    if not test:
        raise UserError(
            f"{ref}: {len(whole.texts)} rows are too few to test on: every class has a single"
            " distinct text; add rows"
        )
    return {"train": whole.take(train), "test": whole.take(test)}


def _look_for_leak(ref: str, splits: Mapping[str, Labelled]) -> None:
    train, test = splits["train"], splits["test"]
    n_known = len(_keys(test, among=set(_keys(train))))
    if n_known == len(test.texts):
        raise UserError(
            f"{ref}: every text of test is in train too, so it would measure memory; give another"
            " test split, or none"
        )
    if n_known > NOTABLE_LEAK * len(test.texts):
        warnings.warn(
            f"{ref}: {n_known} of the {len(test.texts)} test texts are in train too; its scores may"
            " flatter",
            UserWarning,
            stacklevel=3,
        )


def _keys(table: Labelled, among: set[str] | None = None) -> list[str]:
    pairs: Sequence[str | None] = table.pairs or [None] * len(table.texts)
    keys = (text_key(text, pair) for text, pair in zip(table.texts, pairs, strict=True))
    return [key for key in keys if among is None or key in among]


def _joined(tables: list[Labelled]) -> Labelled:
    pairs = (
        [text for table in tables for text in table.pairs or ()]
        if tables[0].pairs is not None
        else None
    )
    return Labelled(
        [text for t in tables for text in t.texts],
        pairs,
        [label for t in tables for label in t.labels],
    )


def _encode(table: Labelled, number: dict[str, int]) -> Split:
    labels = np.array([number[str(label)] for label in table.labels], dtype=np.int64)
    return Split(
        tuple(table.texts), labels, tuple(table.pairs) if table.pairs is not None else None
    )
