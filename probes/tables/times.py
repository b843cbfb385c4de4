"""A column of dates or times, as numbers that grow with time."""

import datetime as dt
import math
import re
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from typing import Any

from cluster.storage import UserError
from probes.tables.column import column_of
from probes.tables.table import Table, is_missing

_DAY_MONTH = re.compile(r"(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)", re.DOTALL)
_TWITTER = "%a %b %d %H:%M:%S %z %Y"
_REMEDY = "write dates as 2024-01-31 or 2024-01-31T12:30"


def times_of(table: Table, name: str, rows: Sequence[int]) -> list[float]:
    """The times in the `rows` (positions from 0) of the column `name`: seconds of dates and times
    (UTC where they name no zone), or the column's own numbers (years, seconds, versions).

    Dates are ISO 8601, as e-mails or tweets write them, or a day and a month in numbers where the
    column shows which is which. Raises UserError with the row: an empty cell, a cell that is no
    time, numbers beside dates, days that may be months.
    """
    column = column_of(table, name, "--time-column")
    cells = [_plain(column[row]) for row in rows]
    day_first = _day_first(cells)
    times, kinds = [], set()
    for row, cell in zip(rows, cells, strict=True):
        place = f"{table.where}: row {row + 1}, column {name!r}"
        if is_missing(cell) or cell == "":
            raise UserError(f"{place}: empty cell; fill it in, or leave --time-column out")
        number = _number(cell)
        kinds.add(number is None)
        if len(kinds) == 2:
            raise UserError(f"{place}: {cell!r:.40} among other kinds of times; {_REMEDY}")
        time = _seconds(cell, day_first) if number is None else number
        if time is None:
            is_unclear = isinstance(cell, str) and day_first is None and _DAY_MONTH.fullmatch(cell)
            what = "may be day and month or month and day" if is_unclear else "is no date or time"
            raise UserError(f"{place}: {cell!r:.40} {what}; {_REMEDY}")
        times.append(time)
    if len(set(times)) == 1:
        raise UserError(
            f"{table.where}: column {name!r} holds one time in all labelled rows; name another"
            " column, or leave --time-column out"
        )
    return times


def _plain(cell: Any) -> Any:
    return cell.strip() if isinstance(cell, str) else cell


def _number(cell: Any) -> float | None:
    """A cell that is a number, or the text of one."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        number = float(cell)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _seconds(cell: Any, day_first: bool | None) -> float | None:
    """The time of a cell in seconds, None where it is no time."""
    if isinstance(cell, dt.datetime):
        return _timestamp(cell)
    if isinstance(cell, dt.date):
        return _timestamp(dt.datetime(cell.year, cell.month, cell.day))
    if not isinstance(cell, str):
        return None
    numbers = _DAY_MONTH.fullmatch(cell)
    if numbers and day_first is not None:
        first, second, year, rest = numbers.groups()
        day, month = (first, second) if day_first else (second, first)
        cell = f"{year}-{int(month):02}-{int(day):02}{rest}"
    for read in (
        _from_iso,
        lambda text: dt.datetime.strptime(text, _TWITTER),
        parsedate_to_datetime,
    ):
        try:
            return _timestamp(read(cell))
        except (ValueError, TypeError, IndexError):
            continue
    return None


def _from_iso(text: str) -> dt.datetime:
    """ISO 8601, also with `/` in the date, and with a space before the zone."""
    date = text[:10].replace("/", "-")
    return dt.datetime.fromisoformat(re.sub(r"\s+(?=[+-]\d{2}:?\d{2}$|Z$)", "", date + text[10:]))


def _timestamp(time: dt.datetime) -> float:
    """Seconds since 1970; also of times before."""
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)
    return (zoned - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)).total_seconds()


def _day_first(cells: Sequence[Any]) -> bool | None:
    """Whether dates such as 31/01/2024 name the day first; None where nothing shows it."""
    found = [_DAY_MONTH.fullmatch(cell) for cell in cells if isinstance(cell, str)]
    pairs = [(int(match[1]), int(match[2])) for match in found if match]
    if any(first > 12 for first, _ in pairs):
        return True
    if any(second > 12 for _, second in pairs):
        return False
    return None
