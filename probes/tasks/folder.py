"""Tasks in a folder: `train|validation|test.parquet` with text, text_pair?, label, and perhaps
`dataset.json`."""

import json
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from probes.tasks.assemble import Labelled, assemble
from probes.tasks.read import Columns, read_labelled
from probes.tasks.task import Task

SPLIT_NAMES = ("train", "validation", "test")


def load_folder_task(
    ref: str, folder: Path, columns: Columns | None = None, *, has_official_test: bool = True
) -> Task:
    """The task in `folder`; `has_official_test` as in `assemble`. Integer labels are indices into
    `dataset.json`'s `label_names`, -1 means unlabelled.

    Raises UserError: no split in the folder, a broken file, a label outside the names, whatever
    `read_labelled` refuses."""
    paths = {
        name: folder / f"{name}.parquet"
        for name in SPLIT_NAMES
        if (folder / f"{name}.parquet").is_file()
    }
    if not paths:
        raise UserError(
            f"{folder}: no train.parquet, validation.parquet or test.parquet in this folder; give"
            " one that has them"
        )
    about = _about(folder)
    names = about.get("label_names")
    tables = {}
    for split, path in paths.items():
        texts, pairs, written = read_labelled(path, columns, is_whole=False)
        tables[split] = Labelled(
            texts, pairs, [_label(text, row, names, path) for row, text in enumerate(written, 1)]
        )
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


def _label(written: str, row: int, names: list[str] | None, path: Path) -> str | None:
    if written == "-1":
        return None
    if names is None or written in names:
        return written
    if written.isdigit() and int(written) < len(names):
        return names[int(written)]
    raise UserError(
        f"{path}: row {row}: label {written!r} is not one of the {len(names)} label names in"
        " dataset.json"
    )
