"""Parquet files and Arrow tables."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import UserError
from probes.tables.table import Table, check_names


def read_parquet(path: Path) -> Table:
    """The table in a Parquet file. Raises UserError."""
    try:
        return Table(columns_of_arrow(pq.read_table(path), str(path)), str(path))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path}: not a readable Parquet file ({reason}); write it again"
        ) from error


def columns_of_arrow(table: pa.Table, where: str) -> dict[str, list[Any]]:
    """Column name -> cells; a pandas categorical as its values. Raises UserError."""
    check_names(table.column_names, where)
    cells = {}
    for name in table.column_names:
        column = table[name]
        if isinstance(column.type, pa.DictionaryType):
            column = column.cast(column.type.value_type)
        cells[name] = column.to_pylist()
    return cells
