"""Loads the task that a reference names: `docs/NAME`, a folder of Parquet splits, a table in a
file, or a data set of the Hugging Face hub."""

import dataclasses
import difflib
import warnings
from collections.abc import Sequence
from pathlib import Path

from cluster.storage import UserError
from neoberta.near_miss import did_you_mean_file
from probes.tables.file import SUFFIXES, is_table_name, read_table
from probes.tables.hugging_face import is_saved_dataset, load_saved
from probes.tables.wording import REFERENCE, in_words_of, speaking
from probes.tasks.assemble import Labelled, assemble, label_order
from probes.tasks.docs.registry import DOCS_TASKS, DocsSource, build_docs_task, docs_task
from probes.tasks.folder import load_folder_task
from probes.tasks.hub import load_hub_task, task_of_splits
from probes.tasks.read import Columns, labelled_rows
from probes.tasks.selection import split_reference
from probes.tasks.task import Task

DOCS_PREFIX = "docs/"


def check_task(ref: str) -> Task | None:
    """Check a reference, and return the task of a file or folder. The result is None for a `docs/`
    task, which is not built here, and for a data set of the hub, which is not looked up. Raises
    UserError for everything that loading would refuse."""
    source, _ = split_reference(ref)
    if _is_docs(source):
        docs_task(source.removeprefix(DOCS_PREFIX))
    path = local_path(ref)
    if path and not path.exists():
        endings = ", ".join(SUFFIXES)
        raise UserError(
            f"task {ref}: no such file or folder; give a folder, a file that ends in {endings}, or"
            f" docs/NAME{did_you_mean_file(path)}"
        )
    return load_task(ref) if path else None


def local_path(ref: str) -> Path | None:
    """The file or folder that `ref` names. None for a task of installed packages and for a data set
    of the hub. Raises UserError."""
    source, _ = split_reference(ref)
    path = Path(source).expanduser()
    return path if path.exists() or _is_path(source) else None


def load_task(
    ref: str,
    *,
    docs: DocsSource | None = None,
    text_column: str | None = None,
    pair_column: str | None = None,
    label_column: str | None = None,
    keep_case: bool = False,
    keep_labels: Sequence[str] = (),
) -> Task:
    """The task that `ref` names.

    Args:
        ref: `docs/NAME` (built from the packages of `docs`), a folder with
            `train|validation|test.parquet` and perhaps `dataset.json`, a folder of `save_to_disk`,
            a file in a format of `probes.tables.file`, or a data set of the hub (`imdb`,
            `org/name`, `org/name:config`, `glue/sst2`). A `#` and what follows it choose rows and
            columns (`probes.tasks.selection`).
        docs: the packages that `docs/NAME` is built from.
        text_column, pair_column, label_column: names of the columns, where they are not `text`,
            `text_pair` and `label`.
        keep_case, keep_labels: how labels are read (`probes.tasks.read.Columns`).

    Where there is no official test split, validation is the test. Where there is no validation
    either, the test is a quarter of each class, chosen by a hash of the text. Raises UserError, one
    line. A UserWarning says what is notable about the tables."""
    source, selection = split_reference(ref)
    given = Columns(
        str(text_column or Columns().text),
        pair_column,
        str(label_column or Columns().label),
        keep_case,
        tuple(keep_labels),
    )
    columns = selection.columns if given == Columns() else given
    with speaking(REFERENCE):
        task = _load_whole(source, docs, columns, has_official_test=selection.split == "official")
    return dataclasses.replace(selection.apply(task), name=ref)


def _load_whole(
    ref: str, docs: DocsSource | None, columns: Columns | None, *, has_official_test: bool
) -> Task:
    if _is_docs(ref):
        return build_docs_task(
            ref.removeprefix(DOCS_PREFIX), docs
        )  # its splits are by source file, never by row
    path = Path(ref).expanduser()
    if path.is_dir() and is_saved_dataset(path):
        data = load_saved(path)
        if isinstance(data, dict):
            return task_of_splits(
                ref, data, columns, source="folder", has_official_test=has_official_test
            )
    elif path.is_dir():
        return load_folder_task(ref, path, columns, has_official_test=has_official_test)
    if path.exists() or _is_path(ref):
        return _file_task(ref, path, columns or Columns())
    try:
        return load_hub_task(ref, columns, has_official_test=has_official_test)
    except UserError as error:
        nearest = difflib.get_close_matches(
            f"docs/{ref}", [f"docs/{name}" for name in DOCS_TASKS], n=1, cutoff=0.75
        )
        if nearest:
            raise UserError(f"{error}; did you mean {nearest[0]}?") from error
        raise


def _file_task(ref: str, path: Path, columns: Columns) -> Task:
    found = labelled_rows(read_table(path), columns)
    for note in found.notes:
        warnings.warn(in_words_of(REFERENCE, note), UserWarning, stacklevel=2)
    table = Labelled(found.texts, found.pairs, list(found.labels))
    names = label_order(set(found.labels))
    return assemble(ref, {"train": table}, label_names=names, info={"source": "file"})


def _is_docs(ref: str) -> bool:
    return ref.startswith(DOCS_PREFIX) and not Path(ref).exists()


def _is_path(ref: str) -> bool:
    return is_table_name(ref) or ref.startswith((".", "/", "~"))
