"""Tasks from the Hugging Face hub, through `datasets`. No code of a data set is ever run."""

import contextlib
import socket
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.storage import UserError
from neoberta.extras import need
from probes.tables.hugging_face import columns_of_dataset
from probes.tables.table import Table
from probes.tasks.assemble import Labelled, assemble
from probes.tasks.read import Columns, rows_of
from probes.tasks.task import Task

COLLECTIONS = {
    "glue": "nyu-mll/glue",
    "super_glue": "aps/super_glue",
    "tweet_eval": "cardiffnlp/tweet_eval",
}
"""Name of a collection, as in `glue/sst2` -> its repository on the hub. Its parts are
configurations of that repository."""

_TEXT_COLUMNS = (
    "text",
    "sentence",
    "content",
    "review",
    "tweet",
    "question",
    "sentence1",
    "premise",
    "question1",
    "title",
)
_PAIR_COLUMNS = {
    "sentence1": ("sentence2",),
    "premise": ("hypothesis",),
    "question1": ("question2",),
    "question": ("sentence", "passage"),
    "text": ("text_pair",),
}
_LABEL_COLUMNS = ("label", "labels", "coarse_label", "target", "intent", "category")
_SPLIT_NAMES = {
    "train": "train",
    "validation": "validation",
    "validation_matched": "validation",
    "dev": "validation",
    "test": "test",
    "test_matched": "test",
}


def load_hub_task(
    ref: str, columns: Columns | None = None, *, has_official_test: bool = True
) -> Task:
    """The task of a hub data set: `name`, `org/name`, `org/name:config` or `glue/sst2`.

    Without `columns` they are recognised by their names. `has_official_test` is explained in
    `assemble`. Test splits with hidden labels (-1), such as those of GLUE, are left out. Raises
    UserError when the data set does not exist or cannot be reached, and when no text column or no
    label column is recognised."""
    repository, config = hub_name(ref)
    data = _download(ref, repository, config)
    return task_of_splits(
        ref, data, columns, source=f"hub:{repository}", has_official_test=has_official_test
    )


def task_of_splits(
    ref: str,
    data: Mapping[str, Any],
    columns: Columns | None,
    *,
    source: str,
    has_official_test: bool = True,
) -> Task:
    """The task of a `DatasetDict`, from the hub or from a folder. See `load_hub_task`."""
    names = {theirs: ours for theirs, ours in _SPLIT_NAMES.items() if theirs in data}
    if not names:
        raise UserError(f"{ref}: no train, validation or test split; it has {', '.join(data)}")
    first = data[next(iter(names))]
    columns = _recognised(ref, first.column_names, columns or Columns())
    label_names = getattr(first.features.get(columns.label), "names", None)
    tables = {}
    for theirs, ours in names.items():
        there = data[theirs].column_names
        wanted = [name for name in there if name in (columns.text, columns.pair, columns.label)]
        table = Table(columns_of_dataset(data[theirs], wanted), f"{ref} ({theirs})")
        tables[ours] = Labelled(*rows_of(table, columns)[:3])
    return assemble(
        ref,
        tables,
        label_names=label_names,
        columns=columns,
        info={"source": source},
        has_official_test=has_official_test,
    )


def hub_name(ref: str) -> tuple[str, str | None]:
    """(repository, configuration) that a reference names. The configuration may be None."""
    name, _, config = ref.partition(":")
    collection, _, part = name.partition("/")
    if collection in COLLECTIONS and part:
        return COLLECTIONS[collection], part
    return name, config or None


def _download(ref: str, repository: str, config: str | None) -> Any:
    need("study", f"{ref}: no such folder, file or docs/ task here, and a data set of the hub")
    import datasets

    try:
        with _offline_if_unreachable():
            return datasets.load_dataset(repository, config)
    except (
        OSError,
        ValueError,
        RuntimeError,
        datasets.exceptions.DatasetsError,
    ) as error:  # each cause has its own class
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{ref}: no such folder, file or docs/ task here, and the hub gave no such data set"
            f" ({reason:.160}); check the name, the configuration (org/name:config) and the network"
        ) from error


@contextlib.contextmanager
def _offline_if_unreachable() -> Iterator[None]:
    """A context that uses only the hub's cache where there is no network. Without it half a minute
    of retries would fail first."""
    import datasets
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    try:
        if not urllib.request.getproxies():  # behind a proxy the name need not resolve here
            socket.getaddrinfo(urllib.parse.urlsplit(constants.ENDPOINT).hostname, 443)
    except OSError:
        constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


def _recognised(ref: str, there: Sequence[str], columns: Columns) -> Columns:
    """The columns that were named. Otherwise columns with names that are usual on the hub."""
    is_named = columns[:3] != Columns()[:3]
    if is_named:
        return columns
    text = next((name for name in _TEXT_COLUMNS if name in there), None)
    label = next((name for name in _LABEL_COLUMNS if name in there), None)
    if text is None or label is None:
        missing = "text" if text is None else "label"
        raise UserError(
            f"{ref}: no {missing} column recognised among {', '.join(there)}; choose one with"
            f" --{missing}-column"
        )
    pair = next((name for name in _PAIR_COLUMNS.get(text, ()) if name in there), None)
    if text == "sentence" and "question" in there:  # QNLI: the question comes first
        text, pair = "question", "sentence"
    return columns._replace(text=text, pair=pair, label=label)
