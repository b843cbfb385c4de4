"""Selects the rows of the harvest that a task is built from."""

import zlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

MIN_WORDS = 4
"""Texts with fewer words say too little."""
MAX_TEXT_CHARS = 1000
WITH_PARAMETERS = r"Parameters\n *---|Args:|Arguments:|:param "
"""A regular expression for docstrings that may describe parameters."""

DOCUMENTED = ("module", "class", "function", "method")


def select(
    table: pa.Table,
    *,
    kinds: Sequence[str] = DOCUMENTED,
    packages: Sequence[str] | None = None,
    containing: str | None = None,
    limit: int | None = None,
) -> list[dict[str, Any]]:
    """Rows of the given kinds and packages whose docstring matches the regular expression
    `containing`. `limit` is the largest number of rows in all. They are shared among the packages
    as equally as possible, and a hash of their place chooses them. Parsing every docstring would
    take a minute."""
    keep = pc.is_in(table["kind"], pa.array(kinds))
    if packages is not None:
        keep = pc.and_(keep, pc.is_in(table["package"], pa.array(packages)))
    if containing is not None:
        keep = pc.and_(keep, pc.match_substring_regex(table["docstring"], containing))
    chosen = table.filter(keep)
    if limit is not None and limit < chosen.num_rows:
        columns = (chosen[name].to_pylist() for name in ("package", "file", "qualname"))
        places: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for row, (package, file, name) in enumerate(zip(*columns, strict=True)):
            places[package].append((zlib.crc32(f"{file}:{name}".encode()), row))
        shares = water_fill([len(rows) for rows in places.values()], limit)
        rows = [
            row
            for ranked, n in zip(places.values(), shares, strict=True)
            for _, row in sorted(ranked)[:n]
        ]
        chosen = chosen.take(pa.array(rows, pa.int64()))
    return chosen.to_pylist()


def water_fill(available: Sequence[int], total: int) -> list[int]:
    """Shares of `total` that are as equal as `available` allows. They sum to the smaller one of
    `total` and the sum of `available`."""
    shares, left = [0] * len(available), total
    for done, row in enumerate(sorted(range(len(available)), key=lambda row: available[row])):
        shares[row] = min(available[row], left // (len(available) - done))
        left -= shares[row]
    return shares
