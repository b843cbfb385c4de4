"""The records of a delimited text, read in one of the two ways that are in use: with quoting (CSV),
or without (a quote is a character like any other, a line is a record)."""

import csv
import io
import re
from dataclasses import dataclass

MAX_CELL_CHARS = 50_000_000
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\n|\r")
MIN_ALIKE = 3
N_MISFITS = 1000
"""Records of another width than the header that are counted, at most."""


@dataclass(frozen=True)
class Record:
    """Cells, and the lines of the file that they stand on (the first is 1)."""

    cells: list[str]
    start: int
    end: int


@dataclass(frozen=True)
class Reading:
    """One way to read a delimited text in which every record is as wide as the header."""

    header: list[str]
    records: list[Record]
    delimiter: str
    n_header_lines: int = 1
    n_empty: int = 0
    """Lines of separators alone, which are no records."""

    @property
    def n_lines(self) -> int:
        """Lines below the header's first that hold something."""
        below = sum(record.end - record.start + 1 for record in self.records)
        return below + self.n_header_lines - 1

    @property
    def long_records(self) -> list[Record]:
        """Records of several lines."""
        return [record for record in self.records if record.end > record.start]


class Misfit(Exception):
    """The text cannot be read this way: `line` of the first trouble, what it is, and the `header`
    as far as it was read; `wide` and `narrow`: lines of records with too many or too few cells."""

    def __init__(
        self,
        line: int,
        what: str,
        header: list[str],
        wide: list[int] | None = None,
        narrow: list[int] | None = None,
        n_below_alike: int = 0,
    ) -> None:
        super().__init__(what)
        self.line, self.what, self.header = line, what, header
        self.wide, self.narrow = wide or [], narrow or []
        self.n_below_alike = n_below_alike
        """Cells of every record but the header, where they agree with each other and not with
        it."""


def separator_line(text: str) -> tuple[str | None, str]:
    """(separator that a first line `sep=;` names, as Excel writes it, and that line's length as
    blank, or None and the text)."""
    first = _LINE_END.search(text)
    found = _SEPARATOR_LINE.fullmatch(text[: first.start()].strip()) if first else None
    return (found[1], text[first.start() :]) if found and first else (None, text)


def quoted(
    text: str, delimiter: str, *, is_spaced: bool = False, escape: str = "", quote: str = '"'
) -> Reading:
    """Read with quoting: a cell in the character `quote` may hold separators and line breaks,
    quotes in it are doubled, or follow the character `escape`. `is_spaced`: quotes may follow a
    separator and a space. Raises Misfit."""
    csv.field_size_limit(MAX_CELL_CHARS)
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        quotechar=quote,
        skipinitialspace=is_spaced,
        escapechar=escape or None,
        doublequote=not escape,
        strict=True,
    )
    found: list[Record] = []
    start = 1  # line on which the present record begins
    try:
        for cells in reader:
            if cells:  # an empty line is no row
                found.append(Record(cells, start, reader.line_num))
            start = reader.line_num + 1
    except csv.Error as error:
        what = f"unbalanced or misplaced quote ({error})"
        raise Misfit(start, what, found[0].cells if found else []) from error
    return _fitting(found, delimiter)


def plain(text: str, delimiter: str) -> Reading:
    """Read without quoting: one record a line. Raises Misfit."""
    lines = enumerate(_LINE_END.split(text), 1)
    found = [Record(line.split(delimiter), number, number) for number, line in lines if line]
    return _fitting(found, delimiter)


def _fitting(found: list[Record], delimiter: str) -> Reading:
    """The reading, empty cells behind the last column cut off. Raises Misfit."""
    if not found:
        return Reading([], [], delimiter)
    header, width = found[0].cells, len(found[0].cells)
    records: list[Record] = []
    wide: list[int] = []
    narrow: list[int] = []
    first, n_empty = None, 0
    for record in found[1:]:
        cells = record.cells
        if not any(cells):
            n_empty += 1
            continue
        if len(cells) == width or (len(cells) > width and not any(cells[width:])):
            records.append(Record(cells[:width], record.start, record.end))
            continue
        (wide if len(cells) > width else narrow).append(record.start)
        first = first or record
        if len(wide) + len(narrow) >= N_MISFITS:
            break
    if first is not None:
        what = f"{len(first.cells)} cells under {width} column names"
        widths = {len(record.cells) for record in found[1:] if any(record.cells)}
        alike = widths.pop() if len(widths) == 1 and len(found) > MIN_ALIKE else 0
        raise Misfit(first.start, what, header, wide, narrow, alike)
    return Reading(header, records, delimiter, found[0].end - found[0].start + 1, n_empty)
