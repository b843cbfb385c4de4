"""Labels of a row or two that are spelt almost like a common one."""

import difflib
from collections.abc import Mapping

from probes.tables.table import counted, some

MAX_ROWS_RARE, MIN_ROWS_COMMON = 2, 20
"""A mistyped label has so few rows, and the one that was meant so many."""
MIN_LETTERS, SIMILARITY = 5, 0.85
MAX_CLASSES = 100
"""Of more classes nothing is said: among many names some are alike."""


def misspelt(counts: Mapping[str, int]) -> str | None:
    """What to say where a rare label (label -> rows) may be a common one, mistyped. None where no
    label looks so. Labels with digits are never taken for one another."""
    if len(counts) > MAX_CLASSES:
        return None
    names = [name for name in counts if name.isprintable() and not any(map(str.isdigit, name))]
    common = [name for name in names if counts[name] >= MIN_ROWS_COMMON]
    found = []
    for name in names:
        if counts[name] <= MAX_ROWS_RARE and len(name) >= MIN_LETTERS:
            near = difflib.get_close_matches(name, common, n=1, cutoff=SIMILARITY)
            if near:
                rows = counted(counts[name], "row")
                found.append(f"{name!r} ({rows}) is spelt almost like {near[0]!r}")
    return f"{some(found)}: mend it where it is the same label" if found else None
