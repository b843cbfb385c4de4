"""Tables of a Python call: data frames of pandas and polars, Arrow tables, Hugging Face data sets,
lists of dicts, columns by name, `(texts, labels)`; or the path of a file."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from cluster.storage import UserError
from probes.tables.arrow import table_of_arrow
from probes.tables.file import read_table
from probes.tables.hugging_face import columns_of_dataset
from probes.tables.json_rows import columns_of
from probes.tables.table import Table, repeated, some

_FORMS = "give a data frame, a list of dicts, columns by name, (texts, labels), or a file"


def table_of(
    given: Any, name: str, *, text: str = "text", label: str = "label", has_labels: bool = True
) -> Table:
    """The table that was given as the argument `name`; `(texts, labels)` becomes the columns
    `text` and `label`, and a list of texts, where the table need not have labels, the column
    `text`. Raises UserError."""
    if isinstance(given, str | Path):
        return read_table(given)
    if isinstance(given, pa.Table | pa.RecordBatch):
        whole = given if isinstance(given, pa.Table) else pa.Table.from_batches([given])
        table = table_of_arrow(whole, name)
    elif isinstance(given, pd.DataFrame):
        table = _table_of_frame(given, name)
    else:
        table = Table(_cells(given, name, text, label, has_labels=has_labels), name)
    cells = table.cells
    lengths = {len(column) for column in cells.values()}
    if len(lengths) > 1:
        raise UserError(
            f"{name}: columns of different lengths ({', '.join(map(str, sorted(lengths)))} rows);"
            " make them equal"
        )
    if not lengths or lengths == {0}:
        raise UserError(f"{name}: no rows; it needs at least one")
    plain = {key: [_plain(cell) for cell in column] for key, column in cells.items()}
    return dataclasses.replace(table, cells=plain)


def _table_of_frame(frame: pd.DataFrame, name: str) -> Table:
    """The columns of a data frame, and the levels of its index that have a name of their own."""
    named = [level for level in frame.index.names if level is not None]
    if named and not set(named) & set(frame.columns):
        frame = frame.reset_index(level=named)
    names = [str(column) for column in frame.columns]
    twice = repeated(names)
    full = frame.astype(object).where(frame.notna(), None)
    cells = {key: list(full.iloc[:, i]) for i, key in enumerate(names) if key not in twice}
    return Table(cells, name, twice=twice)


def _cells(
    given: Any, name: str, text: str, label: str, *, has_labels: bool
) -> dict[str, list[Any]]:
    if given is None:
        raise UserError(f"{name}: is None; {_FORMS}")
    library = type(given).__module__.partition(".")[0]
    kind = type(given).__name__
    if library == "datasets":
        if kind == "Dataset":
            return columns_of_dataset(given)
        if isinstance(given, Mapping):  # a DatasetDict is one
            first = next(iter(given), "train")
            raise UserError(
                f"{name}: a {kind} holds the splits {some(list(given), 5)}; give one of them, such"
                f" as data[{first!r}]"
            )
        raise UserError(f"{name}: a datasets.{kind} is no table in memory; give list(data)")
    if library == "polars":
        if kind != "DataFrame":
            remedy = "frame.collect()" if kind == "LazyFrame" else "a DataFrame"
            raise UserError(f"{name}: a polars.{kind} is no table in memory; give {remedy}")
        return {key: list(column) for key, column in given.to_dict(as_series=False).items()}
    if isinstance(given, Mapping):
        return _columns(given, name)
    return _listed(given, name, text, label, has_labels=has_labels)


def _columns(given: Mapping[Any, Any], name: str) -> dict[str, list[Any]]:
    if {"data", "target"} <= set(given) and hasattr(given, "data"):  # scikit-learn's data sets
        raise UserError(f"{name}: a {type(given).__name__}; give (bunch.data, bunch.target)")
    twice = repeated(str(key) for key in given)
    if twice:
        raise UserError(f"{name}: two columns are called {min(twice)!r}; rename one")
    for key, column in given.items():
        if isinstance(column, str | bytes) or not hasattr(column, "__iter__"):
            raise UserError(
                f"{name}: column {str(key)!r} is one {type(column).__name__}, not a list of cells;"
                f" {_FORMS}"
            )
    return {
        str(key): list(column.values() if isinstance(column, Mapping) else column)
        for key, column in given.items()  # a data frame's to_dict() has mappings from its index
    }


def _listed(
    given: Any, name: str, text: str, label: str, *, has_labels: bool
) -> dict[str, list[Any]]:
    if isinstance(given, bytes) or not hasattr(given, "__iter__"):
        raise UserError(f"{name}: a {type(given).__name__} is no table; {_FORMS}")
    if isinstance(given, np.ndarray) and given.ndim != 1:
        raise UserError(
            f"{name}: an array of {given.ndim} dimensions has no column names; {_FORMS}"
        )
    rows = list(given)
    if rows and all(isinstance(row, Mapping) for row in rows):
        return columns_of(rows)
    is_two = isinstance(given, tuple) and len(rows) == 2
    if is_two and all(_is_column(part) for part in rows):
        return {text: list(rows[0]), label: list(rows[1])}
    nested = next((row for row in rows if _is_column(row) or isinstance(row, Mapping)), None)
    if nested is not None:
        raise UserError(
            f"{name}: a list with a {type(nested).__name__} in it is no table: its columns have no"
            f" names; {_FORMS}"
        )
    if has_labels:
        raise UserError(
            f"{name}: a list of texts without labels; give {{{text!r}: texts, {label!r}: labels}},"
            " or (texts, labels) as one argument"
        )
    return {text: rows}


def _is_column(value: Any) -> bool:
    is_text = isinstance(value, str | bytes | Mapping)
    return (
        not is_text
        and (isinstance(value, Sequence) or hasattr(value, "__array__"))
        and (np.ndim(value) > 0 if hasattr(value, "__array__") else True)
    )


def _plain(cell: Any) -> Any:
    """A cell as Python has it, whatever library it comes from."""
    if isinstance(cell, np.generic) or (hasattr(cell, "item") and getattr(cell, "ndim", 1) == 0):
        return cell.item()  # of NumPy, or of another library of arrays
    return cell.tolist() if isinstance(cell, np.ndarray) else cell
