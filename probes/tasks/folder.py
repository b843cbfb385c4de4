"""A task in a folder: `train|validation|test.parquet` with the columns text, text_pair (for pairs)
and label. A file `dataset.json` may describe it."""

import json
import warnings
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from probes.tables.file import is_table_name, read_table
from probes.tables.no_label import is_code
from probes.tables.spelling import label_key
from probes.tables.table import some
from probes.tables.wording import REFERENCE, in_words_of
from probes.tasks.assemble import Labelled, assemble
from probes.tasks.read import Columns, rows_of
from probes.tasks.task import Task

SPLIT_NAMES = ("train", "validation", "test")


def load_folder_task(
    ref: str, folder: Path, columns: Columns | None = None, *, has_official_test: bool = True
) -> Task:
    """The task in `folder`. `has_official_test` is explained in `assemble`. Integer labels are
    indices into the `label_names` of `dataset.json`. -1 and an empty cell mean that there is no
    label.

    Raises UserError for a folder without a split, a broken file, a label that is not among the
    names, and everything that `rows_of` refuses."""
    paths = {
        name: folder / f"{name}.parquet"
        for name in SPLIT_NAMES
        if (folder / f"{name}.parquet").is_file()
    }
    if not paths:
        files = sorted(path.name for path in folder.iterdir() if is_table_name(path.name))
        instead = f"one of its files: {some(files)}" if files else "a folder that has them"
        raise UserError(
            f"{folder}: no train.parquet, validation.parquet or test.parquet in this folder; give"
            f" {instead}"
        )
    about = _about(folder)
    names = about.get("label_names")
    tables = {}
    for split, path in paths.items():
        texts, pairs, labels, notes = rows_of(read_table(path), columns or Columns())
        if names is not None:
            labels = [_label(text, row, names, path) for row, text in enumerate(labels, 1)]
            n_unlabelled = labels.count(None)
            if split == "train" and 0 < n_unlabelled < len(labels):
                notes = (*notes, f"{path}: {n_unlabelled} rows have no label: left out")
        for note in notes:
            warnings.warn(in_words_of(REFERENCE, note), UserWarning, stacklevel=3)
        tables[split] = Labelled(texts, pairs, labels)
    info = {
        key: value
        for key in ("task", "domain", "language", "licence")
        if isinstance(value := about.get(key), str)
    }
    info |= about.get("info") or {}
    family = about.get("family") or ""
    return assemble(
        ref,
        tables,
        label_names=names,
        columns=columns,
        family=family,
        info=info,
        has_official_test=has_official_test,
    )


def _about(folder: Path) -> dict[str, Any]:
    path = folder / "dataset.json"
    if not path.is_file():
        return {}
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        names = about.get("label_names")
    except (ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: not a JSON object ({error}); mend or remove it") from error
    if names is not None and not (
        isinstance(names, list) and all(isinstance(name, str) for name in names)
    ):
        raise UserError(f"{path}: label_names is not a list of strings; mend or remove it")
    info = about.get("info")
    if info is not None and not (
        isinstance(info, dict) and all(isinstance(value, str) for value in info.values())
    ):
        raise UserError(
            f"{path}: info is not an object whose values are strings; mend or remove it"
        )
    if not isinstance(about.get("family", ""), str | None):
        raise UserError(f"{path}: family is not a string; mend or remove it")
    return about


def _label(written: str | None, row: int, names: list[str], path: Path) -> str | None:
    """The label name that a cell means. The cell holds the name or its number. Raises UserError."""
    if written is None or written.strip() == "-1":
        return None
    if written.strip() in names:
        return written.strip()
    key = label_key(written)
    if key.isdecimal() and int(key) < len(names):
        return names[int(key)]
    alike = [name for name in names if label_key(name) == key]
    if len(alike) == 1:
        return alike[0]
    if is_code(key):
        return None
    raise UserError(
        f"{path}: row {row}: label {written!r} is not one of the {len(names)} label names in"
        " dataset.json"
    )
