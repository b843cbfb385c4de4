"""Parquet files and Arrow tables."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import UserError
from probes.tables.table import Table, repeated


def read_parquet(path: Path) -> Table:
    """The table in a Parquet file. Raises UserError."""
    try:
        return table_of_arrow(pq.read_table(path), str(path))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a readable Parquet file ({reason}); write it again"
        ) from error


def table_of_arrow(table: pa.Table, where: str) -> Table:
    """The table with its cells as Python values. A pandas categorical is its values; bytes that
    are UTF-8 are text, as programs without a type for text write it."""
    twice = repeated(table.column_names)
    cells: dict[str, list[Any]] = {}
    for name in table.column_names:
        if name not in twice:
            cells[name] = _values(table[name])
    return Table(cells, where, twice=twice)


def _values(column: pa.ChunkedArray) -> list[Any]:
    if isinstance(column.type, pa.DictionaryType):
        column = column.cast(column.type.value_type)
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        try:
            column = column.cast(pa.large_string())
        except pa.ArrowInvalid:  # not UTF-8: no text
            return list(column.to_pylist())
    return list(column.to_pylist())
