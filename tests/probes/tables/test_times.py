"""Columns of times and of groups, and what is said where they are none."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from cluster.storage import UserError
from probes.tables.groups import check_groups, group_names
from probes.tables.table import Table
from probes.tables.times import times_of


def read(*cells: object) -> list[float]:
    return times_of(Table({"when": list(cells)}, "rows.csv"), "when", range(len(cells)))


SPELLINGS = {
    "dates": ("2023-12-31", "2024-01-01"),
    "slashes": ("2023/12/31", "2024/01/01"),
    "times": ("2024-01-01T09:30", "2024-01-01 10:30:15"),
    "zones": ("2024-01-01T09:30:00+02:00", "2024-01-01 08:30:00 +0000"),
    "UTC": ("2024-01-01T09:30:00Z", "2024-01-01T09:30:01Z"),
    "tweets": ("Sun Dec 31 23:00:00 +0000 2023", "Mon Jan 01 00:00:00 +0000 2024"),
    "e-mails": ("Sun, 31 Dec 2023 23:00:00 +0000", "Mon, 01 Jan 2024 00:00:00 +0000"),
    "day first": ("31/12/2023", "01/02/2024"),
    "month first": ("12/31/2023", "01/02/2024"),
    "German": ("31.12.2023", "1.2.2024 10:30"),
    "years": (1998, 2004),
    "text of numbers": ("1703980800", "1704067200.5"),
    "before 1970": ("1888-01-01", "1969-12-31"),
    "datetimes": (dt.datetime(2023, 12, 31), dt.datetime(2024, 1, 1, tzinfo=dt.UTC)),
    "pandas": (pd.Timestamp("2023-12-31"), pd.Timestamp("2024-01-01")),
    "date objects": (dt.date(2023, 12, 31), dt.date(2024, 1, 1)),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_times_grow(case: str):
    earlier, later = read(*SPELLINGS[case])
    assert earlier < later


def test_the_day_is_where_the_column_shows_it():
    first, second = read("03/04/2024", "13/04/2024")
    assert second - first == 10 * 86400
    first, second = read("03/04/2024", "03/14/2024")
    assert second - first == 10 * 86400


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (("2024-01-01", None), "row 2, column 'when': empty cell"),
        (("2024-01-01", "soon"), "row 2, column 'when': 'soon' is no date or time; write dates as"),
        (("2024-01-01", 7), "row 2, column 'when': 7 among other kinds of times"),
        (("03/04/2024", "05/06/2024"), "may be day and month or month and day"),
        (("2024-02-30", "2024-03-01"), "'2024-02-30' is no date or time"),
        ((True, False), "row 1, column 'when': True is no date or time"),
        (("2024-01-01", "2024-01-01"), "holds one time in all labelled rows"),
    ],
)
def test_a_cell_that_is_no_time_is_one_line(cells: tuple, message: str):
    with pytest.raises(UserError) as error:
        read(*cells)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_only_the_rows_asked_for_need_a_time():
    table = Table({"when": ["2024-01-02", None, "2024-01-01"]}, "rows.csv")
    assert np.diff(times_of(table, "when", [0, 2])).tolist() == [-86400]


def test_groups_are_text_and_empty_cells_are_none():
    table = Table({"who": ["ann", 7, None, " ", 2.5, "ann"]}, "folder/rows.csv")
    groups = group_names(table, "who")
    assert groups == ["ann", "7", None, None, "2.5", "ann"]
    note = check_groups(groups, table, "who")
    assert note.startswith(
        "rows.csv: 6 labelled rows in 3 groups (column 'who', up to 2 rows each)"
    )
    assert note.endswith("2 rows without a value stand for themselves")


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ([None, ""], "column 'who' is empty"),
        (["ann", "ann"], "has one value ('ann') in all labelled rows"),
        (["ann", "bob", None], "has a value of its own in every labelled row"),
        (["ann", ["bob"]], "row 2, column 'who': ['bob'] (list) is not a group"),
    ],
)
def test_a_column_that_holds_no_groups_is_one_line(cells: list, message: str):
    table = Table({"who": cells}, "rows.csv")
    with pytest.raises(UserError) as error:
        check_groups(group_names(table, "who"), table, "who")
    assert message in str(error.value) and "\n" not in str(error.value)
