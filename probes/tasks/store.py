"""Stores tasks as folders: `train|validation|test.parquet` (text, text_pair for pairs, label) and
`dataset.json`. Copies of a study lie under `tasks/<fingerprint>/`. Any folder with this layout can
be a task."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import CorruptArtefactError, Storage
from probes.tasks.task import Split, Task


def save_task(task: Task, storage: Storage) -> str:
    """Publish a task under `tasks/<fingerprint>`, and return that key. Does nothing where the task
    is there already."""
    key = f"tasks/{task.fingerprint}"
    if storage.exists(key):
        return key
    with storage.writing_folder(key) as folder:
        for name, split in task.splits.items():
            pq.write_table(
                _as_table(split),
                folder / f"{name}.parquet",
                compression="zstd",
                write_page_checksum=True,
            )
        about = {
            "name": task.name,
            "family": task.family,
            "label_names": list(task.label_names),
            "fingerprint": task.fingerprint,
            "info": task.info,
            "rows": {name: len(split) for name, split in task.splits.items()},
        }
        (folder / "dataset.json").write_text(
            json.dumps(about, indent=1, ensure_ascii=False), encoding="utf-8"
        )
    return key


def load_saved_task(storage: Storage, fingerprint: str) -> Task:
    """The task under `tasks/<fingerprint>`. Raises FileNotFoundError; CorruptArtefactError when its
    content does not match the fingerprint."""
    key = f"tasks/{fingerprint}"
    folder = storage.local_path(key)
    try:
        about = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
        paths = {name: folder / f"{name}.parquet" for name in about["rows"]}
        splits = {name: _as_split(pq.read_table(path)) for name, path in paths.items()}
        task = Task(
            about["name"], tuple(about["label_names"]), splits, about["family"], about["info"]
        )
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise CorruptArtefactError(f"{folder}: {error}") from error
    if task.fingerprint != fingerprint:
        raise CorruptArtefactError(f"{folder}: content does not match its fingerprint")
    return task


def _as_table(split: Split) -> pa.Table:
    columns = {"text": list(split.text), "label": pa.array(np.asarray(split.labels, np.int64))}
    if split.text_pair is not None:
        columns = {
            "text": columns["text"],
            "text_pair": list(split.text_pair),
            "label": columns["label"],
        }
    return pa.table(columns)


def _as_split(table: pa.Table) -> Split:
    pairs = tuple(table["text_pair"].to_pylist()) if "text_pair" in table.column_names else None
    labels = table["label"].to_numpy().astype(np.int64)
    return Split(text=tuple(table["text"].to_pylist()), labels=labels, text_pair=pairs)
