"""Which rows of a task a reference asks for."""

import pandas as pd
import pytest

from cluster.storage import UserError
from probes.tasks.load import load_task
from probes.tasks.selection import Selection, split_reference


@pytest.fixture
def folder(tmp_path):
    for name, n_rows in (("train", 60), ("validation", 20), ("test", 40)):
        labels = [["ham", "spam"][i % 2] for i in range(n_rows)]
        pd.DataFrame({"text": [f"{name} {i}" for i in range(n_rows)], "label": labels}).to_parquet(
            tmp_path / f"{name}.parquet"
        )
    return tmp_path


def test_reference_without_a_selection_is_whole(folder):
    assert split_reference(str(folder)) == (str(folder), Selection())
    assert split_reference("odd#name") == ("odd#name", Selection())
    assert {name: len(split) for name, split in load_task(str(folder)).splits.items()} == {
        "train": 60,
        "validation": 20,
        "test": 40,
    }


def test_rows_are_limited_and_nested(folder):
    few, more = (load_task(f"{folder}#train={n},test=10,family=mail") for n in (16, 32))
    assert few.splits["train"].text == more.splits["train"].text[:16]
    assert len(few.splits["test"]) == 10 and few.family == "mail"
    assert set(more.splits["train"].text) <= {f"train {i}" for i in range(60)}
    assert set(few.splits["train"].labels) == {0, 1}


def test_pool_holds_its_test_rows_out_of_train_and_validation(folder):
    task = load_task(f"{folder}#split=pool")
    assert set(task.splits) == {"train", "test"}
    texts = [*task.splits["train"].text, *task.splits["test"].text]
    assert len(texts) == len(set(texts)) == 80
    assert not any(text.startswith("test") for text in texts)
    assert len(task.splits["test"]) == 20


def test_pool_of_a_source_that_has_only_test(tmp_path, folder):
    only = tmp_path / "only"
    only.mkdir()
    (folder / "test.parquet").rename(only / "test.parquet")
    task = load_task(f"{only}#split=pool,train=12")
    assert len(task.splits["train"]) == 12 and len(task.splits["test"]) == 10


@pytest.mark.parametrize(
    "text", ["rows=3", "train=0", "train=x", "split=half", "train=", "train=4,,test=3"]
)
def test_selection_that_cannot_be_read_is_told(folder, text):
    with pytest.raises(UserError, match=r"^task .*#"):
        load_task(f"{folder}#{text}")
