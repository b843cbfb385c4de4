"""Labels that are a quantity are told, or refused; classes that are called by numbers are not."""

import json
from pathlib import Path

import pandas as pd
import pytest

from cluster.storage import UserError
from probes.tables.given import table_of
from probes.tables.quantity import quantity, quantity_note
from probes.tasks.load import load_task
from probes.tasks.read import Columns, labelled_rows


def counted(labels: list[object], n_rows: int = 10) -> dict[str, int]:
    return {str(label): n_rows for label in labels}


@pytest.mark.parametrize(
    "labels",
    [
        [i / 100 for i in range(101)],
        [f"{i / 100:.2f}".replace(".", ",") for i in range(101)],
        [f"{i}.5e-3" for i in range(40)],
    ],
)
def test_many_numbers_with_fractions_are_no_classes(labels):
    assert f"{len(labels)} different numbers with fractions" in str(quantity(counted(labels)))


@pytest.mark.parametrize(
    "labels", [[1, 1.5, 2, 2.5, 3], list(range(500)), ["a", "b"], ["1.5 stars", "2.5 stars"]]
)
def test_what_may_be_classes(labels):
    assert quantity(counted(labels)) is None


def test_few_rows_of_each_number_are_no_classes_either():
    assert quantity(counted([0.1, 0.22, 0.35, 0.47, 0.5], n_rows=1)) is not None


def test_whole_numbers_with_gaps_are_told():
    ages = counted([18 + 2 * i for i in range(35)])
    assert "35 different whole numbers (18 to 86)" in str(quantity_note(ages))
    assert quantity_note(counted(list(range(150)))) is None, "intents are numbered so"
    assert quantity_note(counted(list(range(1, 78)))) is None
    assert "(0 to 400)" in str(quantity_note(counted(list(range(401)))))
    assert quantity_note(counted(["red", "green"])) is None


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "frame"])
def test_stars_in_half_steps_are_classes_in_every_format(tmp_path: Path, name: str):
    frame = pd.DataFrame({"text": [f"meal {i}" for i in range(30)], "label": [1, 1.5, 2.0] * 10})
    path = tmp_path / name
    if name == "a.csv":
        frame.to_csv(path, index=False)
    elif name == "a.jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif name == "a.parquet":
        frame.to_parquet(path)
    found = labelled_rows(table_of(frame if name == "frame" else path, "train"), Columns())
    assert set(found.labels) == {"1.0", "1.5", "2.0"}
    assert "labels are 3 numbers with fractions: each counts as a class" in found.notes[-1]


def test_a_score_is_refused_in_a_file_a_frame_and_a_task(tmp_path: Path):
    rows = [{"text": f"meal {i}", "label": i / 90} for i in range(90)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    for given in (path, pd.DataFrame(rows), rows):
        with pytest.raises(UserError, match=r"column 'label': 90 different numbers .* a quantity"):
            labelled_rows(table_of(given, "train"), Columns())
    for split in ("train", "test"):
        pd.DataFrame(rows).to_parquet(tmp_path / f"{split}.parquet")
    for ref in (path, tmp_path):
        with pytest.raises(UserError, match="another column with #label_column=NAME behind"):
            load_task(str(ref))
