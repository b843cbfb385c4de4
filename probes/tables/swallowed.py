"""A quote that was never closed makes one cell of all lines up to the next quote. Such a cell holds
whole records of the file's own pattern, and is told from a text of several lines by that."""

import re
from collections import Counter

from probes.tables.records import Misfit, Reading, Record, plain, quoted

MIN_SWALLOWED, MIN_WITHOUT_CLASSES = 2, 3
"""So many whole records in one cell are no coincidence; and so many where no column repeats its
values, so that only the number of separators tells a record."""
_LINE_END = re.compile(r"\r\n|\n|\r")


def swallowing(reading: Reading) -> tuple[Record, int] | None:
    """The first record that holds `MIN_SWALLOWED` or more whole records in one of its cells, at
    least half of the cell's lines; and their number."""
    if len(reading.header) < 2 or not reading.long_records:
        return None
    classes = _recurring(reading)
    has_classes = any(classes)
    least, share = (MIN_SWALLOWED, 0.5) if has_classes else (MIN_WITHOUT_CLASSES, 1.0)
    for record in reading.long_records:
        for column, cell in enumerate(record.cells):
            first, *inner = _LINE_END.split(cell)[:-1] or [""]
            n_whole = int(_is_end(first, column, reading, classes)) + sum(
                _is_whole(line, reading, classes) for line in inner
            )
            if n_whole >= least and n_whole >= share * (1 + len(inner)):
                return record, n_whole
    return None


def _recurring(reading: Reading) -> list[set[str]]:
    """For each column its values in records of one line, where some of them recur; else none."""
    short = [record for record in reading.records if record.end == record.start]
    counts = [Counter(r.cells[column] for r in short) for column in range(len(reading.header))]
    return [
        {value for value in count if value} if max(count.values(), default=0) > 1 else set()
        for count in counts
    ]


def _is_whole(line: str, reading: Reading, classes: list[set[str]]) -> bool:
    """Whether a line inside a cell is a record: as wide as the header, with a value that recurs
    where the file has a column of such values."""
    try:
        cells = quoted(line, reading.delimiter).header
    except Misfit:
        cells = plain(line, reading.delimiter).header
    return len(cells) == len(reading.header) and _has_class(cells, classes)


def _is_end(line: str, column: int, reading: Reading, classes: list[set[str]]) -> bool:
    """Whether a cell's first line is the end of a record, from `column` on."""
    cells = line.split(reading.delimiter)
    is_as_wide = 1 < len(cells) == len(reading.header) - column
    return is_as_wide and _has_class(cells[1:], classes[column + 1 :])


def _has_class(cells: list[str], classes: list[set[str]]) -> bool:
    known = [(cell, values) for cell, values in zip(cells, classes, strict=True) if values]
    return not known or any(cell in values for cell, values in known)
