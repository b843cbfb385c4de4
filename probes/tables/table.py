"""A table that was read: cells by column, what messages call it, what must be said about it."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

SEPARATORS = {",": "','", "\t": "a tab", ";": "';'", "|": "'|'"}
"""What stands between the cells of files of text, and what messages call it."""


@dataclass(frozen=True)
class Table:
    """Column name -> cells, all of one length. An empty cell of a file of text is None."""

    cells: dict[str, list[Any]]
    where: str
    """What messages call it: a path, or the argument of a Python call."""
    notes: tuple[str, ...] = field(default=())
    """What must be said about how it was read, one line each."""

    twice: frozenset[str] = frozenset()
    """Names that several columns have. None of these columns is in `cells`."""
    unread: str = ""
    """What of the file was not read and may hold a column that is missed. Empty: nothing."""

    @property
    def n_rows(self) -> int:
        return len(next(iter(self.cells.values()), []))

    def with_notes(self, *notes: str) -> "Table":
        """The same table with more to say about it."""
        return dataclasses.replace(self, notes=(*self.notes, *notes))


def is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: None, NaN, pandas' NA and NaT."""
    is_nan = isinstance(value, float) and math.isnan(value)
    return value is None or is_nan or type(value).__name__ in ("NAType", "NaTType")


def repeated(names: Iterable[str]) -> frozenset[str]:
    """The names that occur more than once. An empty name is none."""
    return frozenset(name for name, n in Counter(names).items() if n > 1 and name)


def some(items: list[Any], n_shown: int = 3) -> str:
    """The first items in words: `1, 3 and 5`, `1, 3, 5 and 4 more`."""
    shown = [str(item) for item in items[:n_shown]]
    if len(items) > n_shown:
        return f"{', '.join(shown)} and {len(items) - n_shown} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(n: int, noun: str) -> str:
    """`1 row`, `3 rows`, `2 classes`."""
    return f"{n} {noun}{'' if n == 1 else 'es' if noun.endswith('s') else 's'}"
