"""Cells that hold several labels each (`a,b`, `a|b`, `['a', 'b']`), and columns of 0 and 1, one a
label: not what is forecast here, which gives every text one class."""

import ast
import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from probes.tables.spelling import label_key
from probes.tables.table import some

_IN_NAMES = ("/", "+", "&", " ")
"""Separators that names of one label often hold as well."""
_SEPARATORS = (",", ";", "|", "#", *_IN_NAMES)
MIN_SETS = 2
"""Cells of several labels that differ, before anything is said."""
RECURRING_SHARE = 0.7
"""So many of the labels in such cells stand alone or in another such cell as well."""
_BRACKETS = re.compile(r"[\[({].*[\])}]", re.DOTALL)


def several_labels(counts: Mapping[str, int]) -> str | None:
    """What to say where labels look like several in a cell each: their parts recur alone and in
    other combinations. None where they do not."""
    names = list(counts)
    for separator in ("[", *_SEPARATORS):
        sets = {name: parts for name in names if (parts := _parts(name, separator))}
        combined = {name: parts for name, parts in sets.items() if len(parts) > 1}
        if (
            len(combined) >= MIN_SETS
            and _recur(combined, sets)
            and _vary(combined, sets, separator)
        ):
            labels = {part for parts in sets.values() for part in parts}
            n_rows = sum(counts[name] for name in combined)
            shown = some([repr(name) for name in sorted(combined, key=lambda n: -counts[n])], 2)
            return (
                f"{n_rows} rows seem to have several labels in a cell ({shown}): every"
                f" combination counts as a class of its own here, {len(names)} of {len(labels)}"
                " labels; give one label a row, or a table for each label"
            )
    return None


def _parts(name: str, separator: str) -> tuple[str, ...]:
    """The labels in a cell; empty where the separator cannot be one in it."""
    if separator == "[":
        return _listed(name)
    parts = [part.strip() for part in name.split(separator)]
    if not all(parts) or (separator == " " and len(parts) > 4):
        return ()
    return tuple(label_key(part) for part in parts)


def _listed(name: str, key: Callable[[str], str] = label_key) -> tuple[str, ...]:
    if not _BRACKETS.fullmatch(name):
        return ()
    try:
        value = ast.literal_eval(name)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        inner = re.findall(r"'[^']*'|\"[^\"]*\"|[^\s,]+", name[1:-1])  # NumPy: ['a' 'b']
        return tuple(key(part.strip("'\"")) for part in inner)
    values = value if isinstance(value, list | tuple | set) else [value]
    if any(isinstance(part, dict) for part in values):
        return ()
    return tuple(key(str(part)) for part in values)


def _recur(combined: Mapping[str, tuple[str, ...]], sets: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether most labels of the combinations stand alone, or in another combination, as well."""
    n_cells = Counter(part for parts in sets.values() for part in set(parts))
    parts = {part for combination in combined.values() for part in combination}
    n_recurring = sum(n_cells[part] > 1 for part in parts)
    return n_recurring >= RECURRING_SHARE * len(parts)


def _vary(
    combined: Mapping[str, tuple[str, ...]], sets: Mapping[str, tuple[str, ...]], separator: str
) -> bool:
    """Whether they are free combinations, and not one label of several words (`food quality`) or a
    path (`sport/tennis`): some label of them stands alone too, or their number varies, or the same
    come in another order. Where the separator is common in names, most combinations must be of
    labels that stand alone."""
    alone = {parts[0] for parts in sets.values() if len(parts) == 1}
    if separator in _IN_NAMES:
        n_of_alone = sum(all(part in alone for part in parts) for parts in combined.values())
        return n_of_alone >= max(MIN_SETS, RECURRING_SHARE * len(combined))
    has_alone = any(part in alone for parts in combined.values() for part in parts)
    has_orders = max(Counter(frozenset(parts) for parts in combined.values()).values()) > 1
    n_labels = {len(parts) for parts in combined.values()}
    return separator == "[" or has_alone or has_orders or len(n_labels) > 1


def one_label(column: Sequence[Any]) -> list[Any]:
    """The column with lists of one label as that label, an empty list as None: doccano writes them
    so, Label Studio as `choices`, a CSV as `['a']`. Objects that say of every label whether it
    holds (spaCy's `cats`) are the one that holds. Lists of several stay."""
    cells = [_inner(cell) for cell in column]
    written = [cell for cell in cells if isinstance(cell, str) and cell.strip()]
    if written and all(len(_listed(cell, key=str)) == 1 for cell in written):
        return [_listed(c, key=str)[0] if isinstance(c, str) and c.strip() else c for c in cells]
    return cells


def _inner(cell: Any) -> Any:
    if isinstance(cell, str) and cell.startswith('{"choices":'):
        with contextlib.suppress(ValueError):
            cell = json.loads(cell)
    if isinstance(cell, dict) and set(cell) == {"choices"}:
        cell = cell["choices"]
    if isinstance(cell, dict) and cell and all(_is_zero_or_one(value) for value in cell.values()):
        cell = [name for name, value in cell.items() if value]
    if isinstance(cell, list | tuple) and len(cell) < 2:
        return cell[0] if cell else None
    return cell


def _is_zero_or_one(value: Any) -> bool:
    return isinstance(value, int | float) and value in (0, 1)


def binary_columns(cells: Mapping[str, Sequence[Any]]) -> list[str]:
    """Names of the columns that hold 0 and 1 (or truth values) only: one label each, where there
    are two or more."""
    found = [
        name
        for name, column in cells.items()
        if {str(cell).strip().lower().removesuffix(".0") for cell in column}
        in ({"0", "1"}, {"true", "false"})
    ]
    return found if len(found) > 1 else []
