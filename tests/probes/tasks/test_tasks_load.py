"""Task references other than docs/: files, folders, the hub; their splits; tasks on storage."""

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.storage import CorruptArtefactError, Storage, UserError
from probes.tasks.hub import hub_name
from probes.tasks.load import load_task
from probes.tasks.read import Columns, read_labelled, read_unlabelled
from probes.tasks.split import split_rows
from probes.tasks.store import load_saved_task, save_task
from probes.tasks.task import Split, Task

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "classification"
ROWS = pd.DataFrame(
    {"text": [f"text number {i}" for i in range(40)], "label": ["spam", "ham"] * 20}
)
OTHER = ROWS.assign(text="other " + ROWS.text)


def _written(tmp_path, suffix, frame=ROWS):
    path = tmp_path / f"rows{suffix}"
    if suffix == ".parquet":
        frame.to_parquet(path)
    elif suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, sep="\t" if suffix == ".tsv" else ",", index=False)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_format_gives_the_same_task(tmp_path, suffix):
    task = load_task(str(_written(tmp_path, suffix)))
    assert task.label_names == ("ham", "spam") and not task.is_pair
    assert len(task.splits["train"]) == len(task.splits["test"]) * 3 == 30
    assert task.fingerprint == load_task(str(_written(tmp_path, ".csv"))).fingerprint


def test_labels_of_numbers_are_sorted_as_numbers(tmp_path):
    frame = pd.DataFrame(
        {"text": [f"t {i}" for i in range(44)], "label": [i % 11 for i in range(44)]}
    )
    names = tuple(str(i) for i in range(11))
    assert load_task(str(_written(tmp_path, ".csv", frame))).label_names == names
    assert load_task(str(_written(tmp_path, ".parquet", frame))).label_names == names


def test_pairs_and_renamed_columns(tmp_path):
    frame = pd.DataFrame(
        {"a": ["x y", "z"] * 8, "b": [f"n {i}" for i in range(16)], "y": [0, 1] * 8}
    )
    path = str(_written(tmp_path, ".csv", frame))
    task = load_task(path, text_column="a", pair_column="b", label_column="y")
    assert task.is_pair and len(task.splits["test"]) == 4
    assert read_unlabelled(path, Columns("a", "b"))[1] == list(frame.b)
    assert read_unlabelled(path, Columns("b")) == (list(frame.b), None)


def test_cells_with_quotes_newlines_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(
        '\ufefftext,label\n"say ""hi"",\nthen go",a\n"日本語 🙂",b\n\nplain,a\n'.encode()
    )
    assert read_labelled(path) == (
        ['say "hi",\nthen go', "日本語 🙂", "plain"],
        None,
        ["a", "b", "a"],
    )


def test_split_is_a_matter_of_content_alone():
    texts, labels = list(ROWS.text), list(ROWS.label)
    train, test = split_rows(texts, None, labels, "x")
    back = list(range(39, -1, -1))
    train_back, test_back = split_rows(
        [texts[i] for i in back], None, [labels[i] for i in back], "x"
    )
    assert [texts[i] for i in train] == [texts[back[i]] for i in train_back]
    assert [texts[i] for i in test] == [texts[back[i]] for i in test_back]


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("XYZ")), min_size=1, max_size=60
    )
)
def test_copies_of_a_text_lie_on_one_side_and_no_row_is_lost(rows):
    texts, labels = [text for text, _ in rows], [label for _, label in rows]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train, test = split_rows(texts, None, labels, "x")
    assert sorted(train + test) == list(range(len(rows)))
    assert not {texts[row] for row in train} & {texts[row] for row in test}


def test_a_class_with_one_row_stays_in_train_with_a_warning(tmp_path):
    frame = pd.concat([ROWS, pd.DataFrame({"text": ["the only one"], "label": ["rare"]})])
    with pytest.warns(UserWarning, match="'rare'.*single row; kept in train"):
        task = load_task(str(_written(tmp_path, ".csv", frame)))
    rare = task.label_names.index("rare")
    assert (task.splits["train"].labels == rare).sum() == 1 and not (
        task.splits["test"].labels == rare
    ).any()


def _folder(tmp_path, splits, about=None):
    tmp_path.mkdir(exist_ok=True)
    for name, frame in splits.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    if about is not None:
        (tmp_path / "dataset.json").write_text(json.dumps(about))
    return str(tmp_path)


def test_folder_keeps_official_splits_and_names(tmp_path):
    numbered = ROWS.assign(label=[0, 1] * 20)
    other = numbered.assign(text="other " + numbered.text)
    about = {"label_names": ["no", "yes"], "domain": "mail"}
    task = load_task(
        _folder(
            tmp_path, {"train": numbered, "validation": numbered[:8], "test": other[8:20]}, about
        )
    )
    assert {name: len(split) for name, split in task.splits.items()} == {
        "train": 40,
        "validation": 8,
        "test": 12,
    }
    assert task.label_names == ("no", "yes") and task.info["domain"] == "mail"
    assert task.splits["train"].text == tuple(ROWS.text)


def test_hidden_test_labels_make_validation_the_test(tmp_path):
    numbered = ROWS.assign(label=[0, 1] * 20)
    other = numbered.assign(text="other " + numbered.text)
    task = load_task(
        _folder(
            tmp_path,
            {"train": numbered, "validation": other[:8], "test": numbered.assign(label=-1)},
        )
    )
    assert set(task.splits) == {"train", "test"} and len(task.splits["test"]) == 8


def test_folder_with_test_alone_is_split(tmp_path):
    task = load_task(_folder(tmp_path, {"test": ROWS}))
    assert len(task.splits["train"]) == 30 and len(task.splits["test"]) == 10


def test_blank_rows_of_a_folder_are_left_out_with_a_warning(tmp_path):
    blank = ROWS.copy()
    blank.loc[3, "text"] = "  "
    with pytest.warns(UserWarning, match="1 rows with a blank text left out, the first is row 4"):
        task = load_task(_folder(tmp_path, {"train": blank, "test": OTHER}))
    assert len(task.splits["train"]) == 39


def test_test_texts_that_are_in_train_are_told(tmp_path):
    leaking = pd.concat([OTHER, ROWS[:2]])
    with pytest.warns(UserWarning, match="2 of the 42 test texts are in train too"):
        load_task(_folder(tmp_path / "some", {"train": ROWS, "test": leaking}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_task(_folder(tmp_path / "none", {"train": ROWS, "test": OTHER}))
    with pytest.raises(UserError, match="every text of test is in train"):
        load_task(_folder(tmp_path / "all", {"train": ROWS, "test": ROWS[:9]}))


def test_saved_task_comes_back_whole_and_once(tmp_path):
    storage = Storage(tmp_path)
    splits = {
        name: Split((f"{name} a", f"ü {name}\n"), np.array([0, 1]), (f"{name} p", "q"))
        for name in ("train", "validation", "test")
    }
    task = Task("mine", ("n", "y"), splits, "fam", {"domain": "d"})
    key = save_task(task, storage)
    assert key == save_task(task, storage) == f"tasks/{task.fingerprint}"
    again = load_saved_task(storage, task.fingerprint)
    assert (again.name, again.family, again.info, again.label_names) == (
        "mine",
        "fam",
        {"domain": "d"},
        ("n", "y"),
    )
    assert again.fingerprint == task.fingerprint and again.splits["test"].text_pair == (
        "test p",
        "q",
    )
    assert (
        load_task(str(tmp_path / key)).fingerprint == task.fingerprint
    )  # the same layout as any folder


def test_damaged_saved_task_is_noticed(tmp_path):
    storage = Storage(tmp_path)
    task = load_task(str(_written(tmp_path, ".csv")))
    folder = tmp_path / save_task(task, storage)
    pd.read_parquet(folder / "test.parquet").iloc[:-1].to_parquet(folder / "test.parquet")
    with pytest.raises(CorruptArtefactError, match="does not match"):
        load_saved_task(storage, task.fingerprint)
    (folder / "test.parquet").write_bytes(b"PAR1")
    with pytest.raises(CorruptArtefactError):
        load_saved_task(storage, task.fingerprint)
    with pytest.raises(FileNotFoundError):
        load_saved_task(storage, "0" * 16)


@pytest.mark.parametrize(
    ("ref", "expected"),
    [
        ("glue/sst2", ("nyu-mll/glue", "sst2")),
        ("imdb", ("imdb", None)),
        ("org/name:config", ("org/name", "config")),
        ("org/name", ("org/name", None)),
    ],
)
def test_hub_names(ref, expected):
    assert hub_name(ref) == expected


def test_hub_task_through_datasets(monkeypatch):
    import datasets

    def load_dataset(name, config):
        assert (name, config) == ("nyu-mll/glue", "rte")
        features = datasets.Features(
            {
                "sentence1": datasets.Value("string"),
                "sentence2": datasets.Value("string"),
                "label": datasets.ClassLabel(names=["entailment", "not_entailment"]),
            }
        )
        rows = {
            "sentence1": [f"a {i}" for i in range(6)],
            "sentence2": ["b"] * 6,
            "label": [0, 1] * 3,
        }
        hidden, other = {**rows, "label": [-1] * 6}, {**rows, "sentence2": ["c"] * 6}
        splits = {"train": rows, "validation": other, "test": hidden}
        return datasets.DatasetDict(
            {k: datasets.Dataset.from_dict(v, features=features) for k, v in splits.items()}
        )

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    task = load_task("glue/rte")
    assert task.label_names == ("entailment", "not_entailment") and task.is_pair
    assert task.splits["test"].labels.tolist() == [0, 1] * 3


@pytest.mark.filterwarnings(
    "ignore:.*test texts are in train too:UserWarning"
)  # so they were published
@pytest.mark.parametrize("name", ["sst2", "rte", "trec_coarse", "hatecheck", "banking77"])
def test_real_folders(name):
    if not DATA.is_dir():
        pytest.skip(f"no {DATA}: real data sets are not at hand")
    about = json.loads((DATA / name / "dataset.json").read_text())
    task = load_task(str(DATA / name))
    assert list(task.label_names) == about["label_names"] and task.is_pair == (
        about["input"] == "pair"
    )
    if "train" in about["rows"]:
        assert len(task.splits["train"]) == about["rows"]["train"]
        assert (
            np.bincount(task.splits["train"].labels, minlength=task.n_classes).tolist()
            == about["label_counts"]["train"]
        )
    assert len(task.splits["test"]) > 0
