"""The part of a task reference behind `#`. It selects rows and columns of the task.

`FOLDER#train=4096,test=800,split=pool,family=reviews` limits the rows of both splits, holds the
test rows out of the training pool instead of taking the official ones, and names the family of the
task. `FILE#text_column=body,label_column=topic,keep_case=yes,keep_label=NA` names its columns and
says how its labels are read (`probes.tasks.read.Columns`).
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
    """What a reference selects. By default this is everything."""

    train: int | None = None
    """Largest number of rows of train. None: all."""
    test: int | None = None
    """Largest number of rows of test. None: all."""
    split: str = "official"
    """`official` or `pool`. With `pool` the test rows are held out of train and validation, so that
    there is no shift between the splits."""
    family: str = ""
    """Family of the task. Empty: the family that its source names."""
    text_column: str = ""
    pair_column: str = ""
    label_column: str = ""
    keep_case: str = ""
    """With `yes`, labels that differ in case alone are two classes."""
    keep_label: str = ""
    """Labels that are classes although they look like a code for none. `|` separates them."""

    @property
    def columns(self) -> Columns | None:
        """The columns, and how labels are read. None where the reference names neither."""
        columns = Columns(
            self.text_column or Columns().text,
            self.pair_column or None,
            self.label_column or Columns().label,
            self.keep_case == "yes",
            tuple(label for label in self.keep_label.split("|") if label),
        )
        return None if columns == Columns() else columns

    def apply(self, task: Task) -> Task:
        """The task with no more rows than selected. Rows are sorted by a hash of their texts, and
        the first ones are kept, so the choice depends on the texts alone."""
        splits = dict(task.splits)
        for name, limit in (("train", self.train), ("test", self.test)):
            if limit is not None and limit < len(splits[name]):
                splits[name] = _first_by_hash(splits[name], limit)
        return dataclasses.replace(task, splits=splits, family=self.family or task.family)


def split_reference(ref: str) -> tuple[str, Selection]:
    """(the reference without `#`, the selection behind it). Raises UserError for a selection that
    cannot be read."""
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
