"""Excel workbooks as people make them."""

import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cluster.storage import UserError
from probes.tables.file import read_table
from probes.tasks.read import Columns, labelled_rows

openpyxl = pytest.importorskip("openpyxl", reason="openpyxl (the extra `excel`) is not installed")
TEXTS: list[Any] = [f"the bread of day {i}" for i in range(12)]
LABELS: list[Any] = ["fresh"] * 6 + ["stale"] * 6


def workbook(path: Path, texts: list[Any] = TEXTS, labels: list[Any] = LABELS) -> Any:
    pd.DataFrame({"text": texts, "label": labels}).to_excel(path, index=False)
    return openpyxl.load_workbook(path)


def test_a_merged_label_counts_for_every_row(tmp_path: Path):
    path = tmp_path / "rows.xlsx"
    book = workbook(path)
    for cells in ("B2:B7", "B8:B13"):
        book.active.merge_cells(cells)
    book.save(path)
    found = labelled_rows(read_table(path), Columns())
    assert found.labels == LABELS
    assert found.notes == ("rows.xlsx: merged cells: 10 rows get the value from above",)


def test_a_title_above_the_names_is_told(tmp_path: Path):
    path = tmp_path / "rows.xlsx"
    book = workbook(path)
    book.active.insert_rows(1)
    book.active["A1"] = "Survey of bread"
    book.active.merge_cells("A1:B1")
    book.save(path)
    assert "column 2 has no name and is not read" in read_table(path).notes[0]
    with pytest.raises(
        UserError, match=r"a row below has the names \('text'\): remove what stands"
    ):
        labelled_rows(read_table(path), Columns())


def test_a_refusal_says_that_there_are_other_sheets(tmp_path: Path):
    path = tmp_path / "rows.xlsx"
    book = workbook(path)
    about = book.create_sheet("About", 0)
    about.append(["made by"])
    about.append(["a baker"])
    book.save(path)
    with pytest.raises(UserError, match=r"only the first of 2 sheets is read \(About\); move the"):
        labelled_rows(read_table(path), Columns())


def test_numbers_and_dates_among_texts_are_texts_and_truth_values_are_labels(tmp_path: Path):
    path = tmp_path / "rows.xlsx"
    texts = [42, datetime.datetime(2026, 1, 2), *TEXTS[2:]]
    workbook(path, texts, [True, False] * 6)
    found = labelled_rows(read_table(path), Columns())
    assert found.texts[:2] == ["42", "2026-01-02 00:00:00"] and set(found.labels) == {
        "True",
        "False",
    }
    workbook(path, [1, 2, *TEXTS[:1]] * 4)
    with pytest.raises(UserError, match=r"1 \(int\) is not text; write it as text, or choose"):
        labelled_rows(read_table(path), Columns())


def test_names_that_come_once_more_and_a_sum_are_told(tmp_path: Path):
    path = tmp_path / "rows.xlsx"
    texts = [*TEXTS[:6], "text", *TEXTS[6:], "Total:"]
    workbook(path, texts, [*LABELS[:6], "label", *LABELS[6:], "9"])
    found = labelled_rows(read_table(path), Columns())
    assert found.notes[0] == "rows.xlsx: 1 row with the names once more: left out"
    assert "the last row looks like a sum ('Total:')" in found.notes[1]
