"""Reads the documentation strings of a source's packages in parallel. Each version of a package is
read once, and kept as `docs/<package key>.parquet` in the user's cache."""

import logging
import os
import signal
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from typing import Any, Literal

import pyarrow as pa

from cluster.storage import CorruptArtefactError
from probes.tasks.docs.extract import extract_file
from probes.tasks.docs.source import DocsSource

logger = logging.getLogger(__name__)

HARVEST_SCHEMA = pa.schema(
    [
        ("package", pa.string()),  # import name
        ("module", pa.string()),  # dotted
        ("file", pa.string()),  # relative to the folder that holds the package
        ("kind", pa.string()),  # module | class | function | method | error
        ("qualname", pa.string()),  # within the module; for an error the exception's name
        ("docstring", pa.string()),  # dedented; for an error its message
        ("deprecated", pa.bool_()),
        ("returns_value", pa.bool_()),  # functions and methods: returns something or yields
        ("body", pa.string()),  # functions and methods: source after the docstring, cut
        ("split", pa.string()),  # train | validation | test, decided by the file alone
    ]
)

SplitName = Literal["train", "validation", "test"]
SourceFile = tuple[str, str, str]
"""(path, package, path inside the folder that holds the package)."""
Rows = list[dict[str, Any]]
"""Rows with the columns of HARVEST_SCHEMA."""


def split_of(file: str) -> SplitName:
    """The split of a source file. It is the same in every task. A hash of its name decides: 65 %
    train, 10 % validation, 25 % test."""
    share = zlib.crc32(f"split:{file}".encode()) / 2**32
    return "train" if share < 0.65 else "validation" if share < 0.75 else "test"


def harvest(
    source: DocsSource,
    n_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pa.Table:
    """Every docstring and error message of the source's packages (HARVEST_SCHEMA), ordered by
    package, file and line.

    Packages in the cache are not read again, so an interrupted harvest goes on with the next
    package. `progress` is called with (files done, files in all). `n_workers` processes parse the
    files (default: one for each CPU that this process may use). No file is imported."""
    storage, tables = source.storage, {}
    for package in source.versions:
        key = f"docs/{source.package_key(package)}.parquet"
        try:
            tables[package] = storage.read_table(key)
        except FileNotFoundError:
            continue
        except CorruptArtefactError as error:
            logger.warning("%s; reading the package again", error)
    files = {package: source.files(package) for package in source.versions if package not in tables}
    n_files, n_done = sum(map(len, files.values())), 0
    with _extractor(n_workers, n_files) as extract_all:
        for package, paths in files.items():
            rows: list[dict[str, Any]] = []
            for file_rows in extract_all([(str(path), package, name) for path, name in paths]):
                rows.extend(file_rows)
                n_done += 1
                if progress is not None:
                    progress(n_done, n_files)
            tables[package] = pa.Table.from_pylist(rows, schema=HARVEST_SCHEMA)
            storage.write_table(f"docs/{source.package_key(package)}.parquet", tables[package])
    return pa.concat_tables([tables[package] for package in source.versions])


def _extract(file: SourceFile) -> Rows:
    rows = extract_file(*file)
    split = split_of(file[2])
    return [{**row, "split": split} for row in rows]


@contextmanager
def _extractor(
    n_workers: int | None, n_files: int
) -> Iterator[Callable[[list[SourceFile]], Iterable[Rows]]]:
    """A function like `map` that calls `_extract` for many files. It uses several processes, or
    only this one where starting them would take longer."""
    n_workers = min(n_workers or len(os.sched_getaffinity(0)), n_files // 100 + 1)
    if n_workers == 1:
        yield lambda files: map(_extract, files)
        return
    # spawn: a fork of a process with threads (torch, arrow) can deadlock
    with get_context("spawn").Pool(n_workers, initializer=_ignore_interrupt) as pool:
        yield lambda files: pool.imap(_extract, files, chunksize=8)


def _ignore_interrupt() -> None:
    """Ignore Ctrl-C in a worker. It reaches all processes, and the parent ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
