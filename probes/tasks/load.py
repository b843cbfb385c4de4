"""A task from a reference: `docs/NAME`, a folder of Parquet splits, a table file, or a data set of
the Hugging Face hub."""

import dataclasses
import difflib
from pathlib import Path

from cluster.storage import UserError
from probes.tasks.assemble import Labelled, assemble
from probes.tasks.docs.registry import DOCS_TASKS, DocsSource, build_docs_task, docs_task
from probes.tasks.folder import load_folder_task
from probes.tasks.hub import load_hub_task
from probes.tasks.read import SUFFIXES, Columns, read_labelled
from probes.tasks.selection import split_reference
from probes.tasks.task import Task

DOCS_PREFIX = "docs/"


def check_task(ref: str) -> None:
    """Raises UserError for an unknown `docs/` task and for a file or folder that is not there; a
    data set of the hub is not looked up."""
    if _is_docs(split_reference(ref)[0]):
        docs_task(split_reference(ref)[0].removeprefix(DOCS_PREFIX))
    path = local_path(ref)
    if path and not path.exists():
        endings = ", ".join(SUFFIXES)
        raise UserError(
            f"task {ref}: no such file or folder; give a folder, a file that ends in {endings}, or"
            " docs/NAME"
        )


def local_path(ref: str) -> Path | None:
    """The file or folder that `ref` names; None for what is built from packages or comes from the
    hub. Raises UserError."""
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
) -> Task:
    """The task that `ref` names.

    Args: ref: `docs/NAME` (built from the packages of `docs`), a folder with
    `train|validation|test.parquet` and perhaps `dataset.json`, a file that ends in .csv, .tsv,
    .jsonl or .parquet, or a data set of the hub: `imdb`, `org/name`, `org/name:config`,
    `glue/sst2`. Behind a `#`, which of its rows (probes.tasks.selection). text_column, pair_column,
    label_column: where they are not called `text`, `text_pair` and `label`.

    Without an official test split validation is the test; without that, a quarter of each class is,
    chosen by a hash of the text. Raises UserError, one line."""
    source, selection = split_reference(ref)
    is_default = (text_column, pair_column, label_column) == (None, None, None)
    columns = (
        None if is_default else Columns(text_column or "text", pair_column, label_column or "label")
    )
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
    if path.is_dir():
        return load_folder_task(ref, path, columns, has_official_test=has_official_test)
    if path.is_file() or _is_path(ref):
        texts, pairs, labels = read_labelled(path, columns)
        return assemble(
            ref, {"train": Labelled(texts, pairs, list(labels))}, info={"source": "file"}
        )
    try:
        return load_hub_task(ref, columns, has_official_test=has_official_test)
    except UserError as error:
        nearest = difflib.get_close_matches(
            f"docs/{ref}", [f"docs/{name}" for name in DOCS_TASKS], n=1, cutoff=0.75
        )
        if nearest:
            raise UserError(f"{error}; did you mean {nearest[0]}?") from error
        raise


def _is_docs(ref: str) -> bool:
    return ref.startswith(DOCS_PREFIX) and not Path(ref).exists()


def _is_path(ref: str) -> bool:
    return Path(ref).suffix.lower() in SUFFIXES or ref.startswith((".", "/", "~"))
