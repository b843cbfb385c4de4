"""Which rows of a task are used: what may follow a task reference behind `#`.

`FOLDER#train=4096,test=800,split=pool,family=reviews`: at most so many rows of either split, the
test rows held out of the training pool instead of the official ones, and the family the task
belongs to. `FILE#text_column=body,label_column=topic,keep_case=yes,keep_label=NA`: its columns, and
how its labels are read (`probes.tasks.read.Columns`).
"""

import dataclasses
from dataclasses import dataclass

from cluster.storage import UserError
from probes.tasks.read import Columns
from probes.tasks.split import text_key
from probes.tasks.task import Split, Task

SPLITS = ("official", "pool")


@dataclass(frozen=True)
class Selection:
    """What a reference asks for; the default is everything."""

    train: int | None = None
    """At most so many rows of train."""
    test: int | None = None
    """At most so many rows of test."""
    split: str = "official"
    """`pool`: the test rows are held out of train and validation, so that there is no shift between
    the splits."""
    family: str = ""
    """Family of the task; empty: what its source says."""
    text_column: str = ""
    pair_column: str = ""
    label_column: str = ""
    keep_case: str = ""
    """`yes`: labels that differ in case alone are two."""
    keep_label: str = ""
    """Labels that are classes although they look like a code for none; `|` between them."""

    @property
    def columns(self) -> Columns | None:
        """The columns and the reading of labels that are asked for; None where nothing is."""
        columns = Columns(
            self.text_column or Columns().text,
            self.pair_column or None,
            self.label_column or Columns().label,
            self.keep_case == "yes",
            tuple(label for label in self.keep_label.split("|") if label),
        )
        return None if columns == Columns() else columns

    def apply(self, task: Task) -> Task:
        """The task with at most the wanted rows: those whose texts have the least hashes, in that
        order. What is left out depends on the texts alone."""
        splits = dict(task.splits)
        for name, limit in (("train", self.train), ("test", self.test)):
            if limit is not None and limit < len(splits[name]):
                splits[name] = _first_by_hash(splits[name], limit)
        return dataclasses.replace(task, splits=splits, family=self.family or task.family)


def split_reference(ref: str) -> tuple[str, Selection]:
    """(what the task is loaded from, the selection behind `#`). Raises UserError for a selection
    that cannot be read."""
    source, mark, text = ref.rpartition("#")
    if not mark or "=" not in text:
        return ref, Selection()
    known = [field.name for field in dataclasses.fields(Selection)]
    rows: dict[str, int] = {}
    words: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        if name not in known or not value:
            raise UserError(
                f"task {ref}: {part!r} is not one of {', '.join(f'{own}=...' for own in known)}"
            )
        if name in ("train", "test"):
            if not value.isdecimal() or int(value) < 1:
                raise UserError(f"task {ref}: {part!r}: must be a number of rows, 1 or more")
            rows[name] = int(value)
        elif name == "split" and value not in SPLITS:
            raise UserError(f"task {ref}: {part!r}: must be one of {', '.join(SPLITS)}")
        elif name == "keep_case" and value not in ("yes", "no"):
            raise UserError(f"task {ref}: {part!r}: must be yes or no")
        else:
            words[name] = value
    return source, Selection(train=rows.get("train"), test=rows.get("test"), **words)


def _first_by_hash(split: Split, n_rows: int) -> Split:
    pairs = split.text_pair or (None,) * len(split)
    keys = [text_key(text, pair) for text, pair in zip(split.text, pairs, strict=True)]
    rows = sorted(range(len(keys)), key=lambda row: (keys[row], row))[:n_rows]
    return Split(
        tuple(split.text[row] for row in rows),
        split.labels[rows],
        tuple(split.text_pair[row] for row in rows) if split.text_pair is not None else None,
    )
