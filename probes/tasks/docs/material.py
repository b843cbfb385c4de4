"""Rows of the harvest that a task is built from."""

import zlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MIN_WORDS = 4
"""Shorter texts say nothing."""
MAX_TEXT_CHARS = 1000

DOCUMENTED = ("module", "class", "function", "method")


def select(
    table: pa.Table, *, kinds: Sequence[str] = DOCUMENTED, packages: Sequence[str] | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Rows of the given kinds and packages, at most `limit` of each package, chosen by a hash of their place."""
    keep = pc.is_in(table["kind"], pa.array(kinds))
    if packages is not None:
        keep = pc.and_(keep, pc.is_in(table["package"], pa.array(packages)))
    chosen = table.filter(keep)
    if limit is not None:
        places = zip(chosen["package"].to_pylist(), chosen["file"].to_pylist(), chosen["qualname"].to_pylist(), strict=True)
        ranked = sorted(
            (zlib.crc32(f"{file}:{name}".encode()), row, package) for row, (package, file, name) in enumerate(places)
        )
        room, rows = dict.fromkeys(chosen["package"].unique().to_pylist(), limit), []
        for _, row, package in ranked:
            if room[package] > 0:
                room[package] -= 1
                rows.append(row)
        chosen = chosen.take(pa.array(rows, pa.int64()))
    return chosen.to_pylist()
