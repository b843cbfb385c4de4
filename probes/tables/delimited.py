"""CSV and TSV: which separator, with quoting or without, and what their columns are.

A TSV usually has no quoting (GLUE, fastText, exports of databases): it is read without where quotes
would join lines that fit one by one. A CSV has quoting. A cell that holds whole records of the
file's own pattern is refused in both.
"""

import dataclasses
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from probes.tables.decode import read_text
from probes.tables.fasttext import fasttext_columns
from probes.tables.records import Misfit, Reading, plain, quoted, separator_line
from probes.tables.swallowed import swallowing
from probes.tables.table import SEPARATORS, Table, counted, repeated, some


def read_delimited(path: Path, separator: str) -> Table:
    """The table in a file whose ending promises `separator`. Raises UserError."""
    named, text = separator_line(read_text(path))
    lines = fasttext_columns(text)
    if lines is not None:
        return Table(dict(lines), str(path))
    reading, notes = _reading(text, named or separator, path)
    _refuse_swallowed(reading, path)
    reading, again = _without_repeated_header(reading)
    if again:
        notes.append(
            f"{path.name}: {counted(len(again), 'line')} with the column names once more (line"
            f" {some(again)}): left out"
        )
    if reading.n_empty:
        notes.append(
            f"{path.name}: {counted(reading.n_empty, 'line')} with separators alone: left out"
        )
    if reading.header:
        n_rows = len(reading.records)
        if reading.n_lines != n_rows:
            longest = max(
                reading.long_records, key=lambda record: record.end - record.start, default=None
            )
            where = f"lines {longest.start} to {longest.end}" if longest else "those of the header"
            notes.append(
                f"{path.name}: {reading.n_lines} lines hold {counted(n_rows, 'row')}: quotes join"
                f" lines, at most {where}"
            )
    return _table(reading, path, notes)


def _reading(text: str, separator: str, path: Path) -> tuple[Reading, list[str]]:
    """How the text is read, and what to say about that. Raises UserError."""
    try:
        reading = _tsv(text) if separator == "\t" else _csv(text, separator)
        misfit, header = None, reading.header
    except Misfit as error:
        misfit, header = error, error.header
    if (misfit or _in_apostrophes(reading)) and (apart := _read_apostrophes(text, separator)):
        return apart, [f"{path.name}: cells stand between ' and ': read so"]
    if misfit is None and len(header) != 1:
        return reading, []
    if misfit is None and (apart := _unwrapped(reading, separator)):
        return apart, [f"{path.name}: every line stands in quotes as a whole: read without them"]
    # one column, or none that fits: perhaps the separator is another
    for other, name in SEPARATORS.items():
        if other == separator or (misfit is None and other not in header[0]):
            continue
        fitting = _fitting(text, other)
        if fitting is not None:
            seen = f"{path.name}: the separator seems to be {name}: read with it"
            return fitting, [seen]
    if misfit is None:
        return reading, []
    raise UserError(f"{path}: line {misfit.line}: {misfit.what}; {_advice(misfit, separator)}")


def _fitting(text: str, separator: str) -> Reading | None:
    """The reading with another separator, where it gives two columns or more and rows."""
    try:
        reading = _tsv(text) if separator == "\t" else _csv(text, separator)
    except Misfit:
        return None
    names = [name.strip() for name in reading.header if name.strip()]
    is_table = len(names) > 1 and len(set(names)) == len(names)
    return reading if is_table and reading.records else None


def _in_apostrophes(reading: Reading) -> bool:
    """Whether every cell of some column stands between ' and '."""
    columns = zip(*(record.cells for record in reading.records), strict=True)
    return len(reading.records) > 1 and any(
        all(len(cell) > 1 and cell[0] == cell[-1] == "'" for cell in cells if cell)
        for cells in columns
        if any(cells)
    )


def _read_apostrophes(text: str, separator: str) -> Reading | None:
    """The reading with ' for quotes, where it gives two columns or more and unwraps a cell."""
    for escape in ("", "\\"):
        try:
            reading = quoted(text, separator, quote="'", escape=escape)
        except Misfit:
            continue
        if len(reading.header) > 1 and f"'{separator}" in text:
            return reading
    return None


def _unwrapped(reading: Reading, separator: str) -> Reading | None:
    """The lines of a single column read once more: a spreadsheet that did not know the separator
    has put each line into quotes."""
    lines = [*reading.header, *(record.cells[0] for record in reading.records)]
    if separator not in lines[0] or any("\n" in line or "\r" in line for line in lines):
        return None
    return _fitting("\n".join(lines), separator)


def _csv(text: str, separator: str) -> Reading:
    """With quoting; where that does not fit, with quotes behind a space or a backslash as some
    programs write them. Raises Misfit."""
    is_spaced = f'{separator} "' in text
    try:
        reading = quoted(text, separator)
        cells = (cell for record in reading.records for cell in record.cells)
        if not (is_spaced and any(cell.startswith(' "') and cell[-1] == '"' for cell in cells)):
            return reading
    except Misfit as error:
        reading, misfit = None, error
    for is_used, how in (('\\"' in text, {"escape": "\\"}), (is_spaced, {"is_spaced": True})):
        if is_used:
            try:
                return quoted(text, separator, **how)
            except Misfit:
                continue
    if reading is None:
        raise misfit
    return reading


def _tsv(text: str) -> Reading:
    """With quoting, unless quotes join lines that fit one by one. Raises Misfit."""
    try:
        with_quotes = quoted(text, "\t")
        has_quoted_names = text.lstrip().startswith('"')
        if not with_quotes.long_records or has_quoted_names or len(with_quotes.header) == 1:
            return with_quotes
        try:
            return plain(text, "\t")
        except Misfit:
            return with_quotes
    except Misfit as error:
        try:
            return plain(text, "\t")
        except Misfit as without:
            raise max(error, without, key=lambda misfit: misfit.line) from None


def _advice(misfit: Misfit, separator: str) -> str:
    """What to do about records that do not fit, as far as the file tells."""
    others = [o for o in SEPARATORS if o != separator and any(o in name for name in misfit.header)]
    if len(misfit.header) == 1 and others:
        return (
            f"the separator seems to be {SEPARATORS[others[0]]}, but not every line fits that: save"
            " the table again"
        )
    if misfit.n_below_alike:
        return (
            f"every line below the first has {misfit.n_below_alike}: remove the first where it is a"
            " title, or name every column"
        )
    bad = sorted(misfit.wide + misfit.narrow)
    if not bad:
        return "double every quote in a cell"
    more = "" if len(bad) == 1 else f"{counted(len(bad), 'line')} like that ({some(bad)}); "
    if not misfit.wide:
        return more + "fill in the missing cells, and put quotes around cells with a line break"
    return more + "put quotes around cells that contain the separator or a line break"


def _without_repeated_header(reading: Reading) -> tuple[Reading, list[int]]:
    """The reading without the records that are its header once more, as where files were put one
    behind the other; and their lines."""
    again = [r.start for r in reading.records if len(r.cells) > 1 and r.cells == reading.header]
    if not again:
        return reading, []
    records = [record for record in reading.records if record.cells != reading.header]
    return dataclasses.replace(reading, records=records), again


def _refuse_swallowed(reading: Reading, path: Path) -> None:
    found = swallowing(reading)
    if found is not None:
        record, n_whole = found
        raise UserError(
            f"{path}: a quote opens on line {record.start} and closes on line {record.end}, and"
            f" {n_whole} of the lines between look like rows of their own: close the quote on line"
            f" {record.start}, or double it where it belongs to the text"
        )


def _table(reading: Reading, path: Path, notes: list[str]) -> Table:
    """Columns by name; those without a name are nobody's, and it is said where they hold
    something. Raises UserError."""
    names = [name.strip() for name in reading.header]
    twice = repeated(names)
    cells: dict[str, list[Any]] = {}
    for column, name in enumerate(names):
        if name in twice:
            continue
        values = [record.cells[column] or None for record in reading.records]
        if name:
            cells[name] = values
            continue
        filled = [row for row, value in enumerate(values, 1) if value is not None]
        is_index = [value for value in values if value] in (
            [str(i) for i in range(len(values))],
            [str(i) for i in range(1, len(values) + 1)],
        )
        if filled and not is_index:
            notes.append(
                f"{path.name}: column {column + 1} has no name and is not read; it has something in"
                f" {counted(len(filled), 'row')} (row {some(filled)})"
            )
    if names and not cells and not twice:
        raise UserError(f"{path}: line 1: no column has a name; write text,label there")
    return Table(cells, str(path), tuple(notes), twice)
