"""Tables of a Python call and files one library call away."""

import json
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.utils import Bunch

from cluster.storage import UserError
from meta.given.read import read_samples
from meta.metric import check_request
from probes.tables.file import read_table
from probes.tables.given import table_of
from probes.tables.wording import PYTHON, REFERENCE, in_words_of, speaking
from probes.tasks.load import check_task, load_task
from probes.tasks.read import Columns

TEXTS = [f"a bird sang song {i}" for i in range(12)]
LABELS = ["lark", "crow", "wren"] * 4
CELLS = {"text": TEXTS, "label": LABELS}
FRAME = pd.DataFrame(CELLS)


def named_dataset() -> datasets.Dataset:
    names = datasets.ClassLabel(names=["lark", "crow", "wren"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    numbers = [names.str2int(label) for label in LABELS]
    return datasets.Dataset.from_dict({"text": TEXTS, "label": numbers}, features=features)


def dataset_of_lists() -> datasets.Dataset:
    """Each cell is a list of one class label."""
    names = datasets.ClassLabel(names=["lark", "crow", "wren"])
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.Sequence(names)}
    )
    numbers = [[names.str2int(label)] for label in LABELS]
    return datasets.Dataset.from_dict({"text": TEXTS, "label": numbers}, features=features)


@pytest.mark.parametrize(
    "given",
    [
        CELLS,
        FRAME,
        FRAME.assign(label=FRAME.label.astype("category")),
        FRAME.to_dict("records"),
        FRAME.to_dict(),
        FRAME.astype({"label": "string"}),
        {"text": FRAME.text, "label": FRAME.label.to_numpy()},
        (TEXTS, LABELS),
        (FRAME.text, np.array(LABELS)),
        pa.table(CELLS),
        pa.RecordBatch.from_pydict(CELLS),
        datasets.Dataset.from_pandas(FRAME),
        named_dataset(),
        named_dataset().with_format("numpy"),
        dataset_of_lists(),
        FRAME.set_index("text"),
        pa.table({"text": [text.encode() for text in TEXTS], "label": LABELS}),
    ],
)
def test_tables_that_are_taken(given):
    cells = table_of(given, "train").cells
    assert {name: cells[name] for name in CELLS} == CELLS or cells["label"][0] == ["lark"]
    assert read_samples(given, None, Columns())[0].label_names == ("crow", "lark", "wren")


def test_polars():
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame(CELLS)
    assert table_of(frame, "train").cells == CELLS
    with pytest.raises(UserError, match=r"polars.LazyFrame .*frame\.collect\(\)"):
        table_of(frame.lazy(), "train")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (TEXTS, "train: a list of texts without labels; give {'text': texts, 'label': labels}"),
        (FRAME.text, "a list of texts without labels"),
        ([*zip(TEXTS, LABELS, strict=True)], "a list with a tuple in it is no table"),
        (FRAME.to_numpy(), "an array of 2 dimensions has no column names"),
        (datasets.DatasetDict(train=named_dataset()), r"the splits train; .* data['train']"),
        (named_dataset().to_iterable_dataset(), "no table in memory; give list(data)"),
        ({"text": "one", "label": "x"}, "column 'text' is one str, not a list of cells"),
        (7, "a int is no table"),
        (None, "train: is None; give a data frame"),
        (Bunch(data=TEXTS, target=[0] * 12, DESCR="birds"), "give (bunch.data, bunch.target)"),
        ({"text": TEXTS, "label": LABELS[:3]}, "columns of different lengths (3, 12 rows)"),
        ([], "list of texts without labels"),
    ],
)
def test_tables_that_are_refused_by_name(given, message):
    with pytest.raises(UserError) as caught:
        table_of(given, "train")
    said = str(caught.value)
    parts = message.split(".* ")
    assert said.startswith("train: ") and all(part in said for part in parts), said


def test_columns_without_names_are_chosen_by_number():
    frame = pd.DataFrame({0: TEXTS, 1: LABELS})
    sample, _, _ = read_samples(frame, None, Columns("0", None, "1"))
    assert sample.texts == tuple(TEXTS)


def test_rows_keep_their_positions_where_some_have_no_label():
    labels = [float("nan"), *LABELS[1:5], None, *LABELS[6:]]
    sample, _, notes = read_samples({"text": TEXTS, "label": labels}, None, Columns())
    assert sample.positions.tolist() == [1, 2, 3, 4, *range(6, 12)]
    assert notes == ["train: 2 rows have no label (empty; the first is row 1): left out"]


def test_numbers_of_other_libraries_are_numbers():
    labels = torch.tensor([0, 1, 2] * 4)
    for given in ((TEXTS, labels), (TEXTS, list(labels))):
        assert read_samples(given, None, Columns())[0].label_names == ("0", "1", "2")


def test_bytes_are_no_text_until_they_are_decoded():
    given = {"text": [text.encode() for text in TEXTS], "label": LABELS}
    with pytest.raises(UserError, match=r"\(bytes\) is not text; decode it, as value\.decode\(\)"):
        read_samples(given, None, Columns())


def test_a_text_that_nobody_sees_is_blank():
    with pytest.raises(UserError, match="row 1, column 'text': blank text"):
        read_samples({"text": ["\u200b\u2060", *TEXTS[1:]], "label": LABELS}, None, Columns())


def test_evaluation_rows_may_be_texts_or_texts_and_labels():
    others = [f"{text}!" for text in TEXTS]
    for given in (others, FRAME.assign(text=others).text, np.array(others), tuple(others)):
        _, sample, notes = read_samples(FRAME, given, Columns())
        assert sample is not None and sample.texts == tuple(others) and not notes
    _, sample, _ = read_samples(FRAME, (others, LABELS), Columns(), eval_labels=True)
    assert sample is not None and sample.labels is not None
    assert sample.labels.tolist() == [1, 0, 2] * 4


@pytest.mark.parametrize(
    ("labels", "others"),
    [
        ([0, 1, 2], ["0", "1", "2.0"]),
        (["0", "1", "2"], [0.0, 1.0, 2.0]),
        ([True, False, True], ["TRUE", "false", "true"]),
        (["Lark", "crow", "Lark"], ["lark ", "CROW", "lark"]),
    ],
)
def test_evaluation_labels_match_in_any_spelling(labels, others):
    train = {"text": TEXTS, "label": labels * 4}
    evaluation = {"text": [f"{text}!" for text in TEXTS], "label": others * 4}
    sample, unlabelled, _ = read_samples(train, evaluation, Columns(), eval_labels=True)
    assert unlabelled is not None and unlabelled.labels is not None
    assert unlabelled.labels.tolist() == sample.labels.tolist()


def test_codes_in_evaluation_labels_are_unlabelled_rows():
    train = {"text": TEXTS, "label": [0, 1, 2] * 4}
    evaluation = {
        "text": [f"{text}!" for text in TEXTS],
        "label": [0.0, -1.0, 2.0, float("nan")] * 3,
    }
    _, sample, notes = read_samples(train, evaluation, Columns(), eval_labels=True)
    assert sample is not None and sample.labels is not None
    assert sample.labels.tolist() == [0, -1, 2, -1] * 3
    assert "6 rows have no label ('-1' and empty" in notes[0]
    assert "they count as unlabelled" in notes[0]


def test_messages_are_in_the_words_of_the_caller():
    said = "no column 'a'; choose one with --label-column (--keep-label=NA keeps it, --keep-case)"
    assert in_words_of(PYTHON, said) == (
        "no column 'a'; choose one with label_column= (keep_labels=['NA'] keeps it, keep_case=True)"
    )
    assert "#keep_label=NA behind the reference keeps it" in in_words_of(REFERENCE, said)
    assert in_words_of({}, said) == said and in_words_of(PYTHON, "a--eval.csv") == "a--eval.csv"
    with pytest.raises(UserError, match=r"^target=90: accuracy"), speaking(PYTHON):
        check_request("accuracy", 90.0)
    for option, argument in (("--metric acuracy:", "metric=acuracy:"), ("--prompt:", "prompt:")):
        assert in_words_of(PYTHON, f"{option} unknown") == f"{argument} unknown"


@pytest.mark.parametrize("ending", ["csv.gz", "csv.bz2", "csv.xz", "csv.zip", "tsv.gz", "jsonl.gz"])
def test_compressed_files(tmp_path: Path, ending: str):
    path = tmp_path / f"rows.{ending}"
    if ending.startswith("jsonl"):
        FRAME.to_json(path, orient="records", lines=True)
    else:
        FRAME.to_csv(path, index=False, sep="\t" if ending.startswith("tsv") else ",")
    assert read_table(path).cells == CELLS and load_task(str(path)).n_classes == 3
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be unpacked"):
        read_table(path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.ndjson", FRAME.to_json(orient="records", lines=True)),
        ("rows.json", FRAME.to_json(orient="records", lines=True)),
        ("rows.json", FRAME.to_json(orient="records", indent=1)),
        ("rows.jsonl", FRAME.to_json(orient="records", indent=1)),
        ("rows.json", FRAME.to_json(orient="columns")),
        ("rows.json", FRAME.to_json(orient="split")),
        ("rows.json", FRAME.to_json(orient="table")),
        ("rows.json", json.dumps(CELLS)),
        ("rows.json", json.dumps({"data": FRAME.to_dict("records")})),
        ("rows.json", FRAME.to_json(orient="index")),
        ("rows.txt", "".join(f"__label__{a} {b}\n" for a, b in zip(LABELS, TEXTS, strict=True))),
    ],
)
def test_documents_that_are_tables(tmp_path: Path, name: str, content: str):
    path = tmp_path / name
    path.write_text(content)
    cells = read_table(path).cells
    assert {column: cells[column] for column in CELLS} == CELLS


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", "[1, 2]", "neither a list of objects nor an object of columns"),
        ("rows.json", '{"text": ', "not JSON"),
        ("rows.txt", "some text\n", "a .txt is read where every line is '__label__x some text'"),
        ("rows.json", '{"train": [{"text": "a"}], "test": [{"text": "b"}]}', "train and test"),
        ("rows.json", '[{"data": {}, "annotations": []}]', "Label Studio's full export"),
    ],
)
def test_documents_that_are_none(tmp_path: Path, name: str, content: str, message: str):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_task(str(path))
    assert message in str(caught.value)


def test_folders_that_datasets_saved(tmp_path: Path):
    named_dataset().save_to_disk(tmp_path / "one")
    assert read_table(tmp_path / "one").cells == CELLS
    assert load_task(str(tmp_path / "one")).n_classes == 3
    other = named_dataset().map(lambda row: {"text": "o " + row["text"]})
    datasets.DatasetDict(train=named_dataset(), test=other).save_to_disk(tmp_path / "two")
    with pytest.raises(UserError, match=r"splits train and test; give one of them: .*two/train"):
        read_table(tmp_path / "two")
    task = load_task(str(tmp_path / "two"))
    assert task.label_names == ("lark", "crow", "wren") and len(task.splits["test"]) == 12
    next((tmp_path / "one").glob("*.arrow")).unlink()
    with pytest.raises(UserError, match="not a whole saved data set"):
        read_table(tmp_path / "one")


def test_excel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "rows.xlsx"
    path.write_bytes(b"PK")
    with monkeypatch.context() as without:
        without.setattr("neoberta.extras.find_spec", lambda name: None)
        with pytest.raises(UserError, match=r'needs openpyxl: pip install "neoberta\[excel\]"'):
            read_table(path)
    pytest.importorskip("openpyxl", reason="openpyxl (the extra `excel`) is not installed")
    with pytest.raises(UserError, match="not a readable Excel workbook"):
        read_table(path)
    FRAME.to_excel(path, index=False)
    assert read_table(path).cells == CELLS


def test_a_dry_run_refuses_what_the_run_refuses(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\na,x\nb,x\n")
    with pytest.raises(UserError, match="only one class"):
        check_task(str(path))
    path.write_text("texts,label\na,x\nb,y\n")
    with pytest.raises(UserError, match="no column 'text'"):
        check_task(str(path))
    FRAME.to_csv(path, index=False)
    check_task(str(path))
