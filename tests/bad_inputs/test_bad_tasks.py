"""Bad tables and references: each ends in one line that says what is wrong, where, and what to
do."""

import pandas as pd
import pytest

from cluster.storage import UserError
from neoberta import extras
from probes.tasks.load import load_task
from probes.tasks.read import Columns, read_labelled, read_unlabelled

GOOD = "text,label\nfirst,a\nsecond,b\n"


def _csv(tmp_path, content, name="rows.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _message(call, *args, **kwargs):
    with pytest.raises(UserError) as caught:
        call(*args, **kwargs)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 500
    return message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["empty", "header line"]),
        ("text,label\n", ["no rows"]),
        (
            "texts,label\na,b\nc,d\n",
            ["no column 'text'", "did you mean 'texts'?", "#text_column=NAME"],
        ),
        (
            "text,labels\na,b\nc,d\n",
            ["no column 'label'", "did you mean 'labels'?", "'text', 'labels'"],
        ),
        ("text,label\na,x\nb,x\n", ["only one class ('x')"]),
        ("text,label\na,x\n,y\n", ["row 2", "'text'", "empty cell"]),
        ("text,label\na,x\n  ,y\n", ["row 2", "blank text"]),
        ("text,label\na,x\nb,\n", ["only one class ('x')", "1 row has no label (empty; row 2)"]),
        ("text,label\na,x\nb,y,z\n", ["line 3", "3 cells under 2", "put quotes"]),
        ('text,label\na,x\n"b,y\nc,z\n', ["line 3", "quote"]),
        ('text,label\na,x\n"b" c,y\n', ["line 3", "quote"]),
        ("text,text\na,x\nb,y\n", ["two columns are called 'text'"]),
        (
            "text,label\ncaf\xe9,x\nb,y\n".encode("latin-1"),
            ["line 2", "byte 15", "not UTF-8", "iconv"],
        ),
        (GOOD.encode("utf-16-le"), ["UTF-16LE", "iconv"]),
        (GOOD.encode("utf-16")[:-1], ["not UTF-16, as its first bytes say"]),
    ],
)
def test_broken_csv(tmp_path, content, parts):
    path = _csv(tmp_path, content)
    message = _message(load_task, str(path))
    assert message.startswith(str(path)) and all(part in message for part in parts), message


def test_a_single_class_is_refused_but_a_single_row_of_a_class_is_not(tmp_path):
    assert read_labelled(_csv(tmp_path, GOOD))[2] == ["a", "b"]


def test_one_column_for_two_purposes(tmp_path):
    path = _csv(tmp_path, GOOD)
    assert "given as text and as label" in _message(
        read_labelled, path, Columns("text", None, "text")
    )
    assert "given for both texts" in _message(read_unlabelled, path, Columns("text", "text"))


@pytest.mark.parametrize(
    ("frame", "parts"),
    [
        ({"text": ["a", None], "label": ["x", "y"]}, ["row 2", "empty cell"]),
        ({"text": ["a", "b"], "label": ["x", None]}, ["only one class", "(empty; row 2)"]),
        ({"text": [1, 2], "label": ["x", "y"]}, ["row 1", "1 (int) is not text"]),
        ({"text": ["a", "b"], "label": [float("inf"), 1.0]}, ["row 1", "inf (float) is not a cl"]),
    ],
)
def test_broken_parquet_cells(tmp_path, frame, parts):
    path = tmp_path / "rows.parquet"
    pd.DataFrame(frame).to_parquet(path)
    message = _message(load_task, str(path))
    assert all(part in message for part in parts), message


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (
            '{"text": "a", "label": 1}\n{"text": "b", "label": "y"}\n',
            ["row 2", "mixed label types", "'y' (str) after 1 (int)"],
        ),
        ('{"text": "a", "label": "x"}\n{"text": "b", \n', ["line 2", "not JSON"]),
        ('["a"]\n', ["line 1", "not an object"]),
        ('{"text": "a", "label": "x"}\n{"label": "y"}\n', ["row 2", "'text'", "empty cell"]),
        (
            '{"text": "a", "label": "x"}\n{"text": ["b"], "label": "y"}\n',
            ["row 2", "(list) is not text"],
        ),
    ],
)
def test_broken_jsonl(tmp_path, content, parts):
    message = _message(load_task, str(_csv(tmp_path, content, "rows.jsonl")))
    assert all(part in message for part in parts), message


def test_not_a_parquet_file(tmp_path):
    assert "not a readable Parquet file" in _message(
        load_task, str(_csv(tmp_path, GOOD, "rows.parquet"))
    )


def test_references_to_nothing(tmp_path):
    assert "no such file" in _message(load_task, str(tmp_path / "missing.csv"))
    assert "no such file" in _message(load_task, "./missing_folder")
    assert "unknown format '.docx'" in _message(
        load_task, str(_csv(tmp_path, "x", "rows.docx").absolute())
    )
    assert "no train.parquet" in _message(load_task, str(tmp_path))
    message = _message(load_task, "docs/librari")
    assert "no such task" in message and "did you mean docs/library?" in message


def test_unknown_hub_name_without_a_network(monkeypatch):
    import datasets

    def offline(name, config):
        raise ConnectionError(f"Couldn't reach '{name}' on the Hub\nlong trace")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    message = _message(load_task, "librari")
    assert (
        "no such folder, file or docs/ task" in message
        and "Couldn't reach" in message
        and "docs/library" in message
    )


def test_a_hub_name_where_the_extra_is_not_installed(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "datasets" else object())
    message = _message(load_task, "librari")
    assert "no such folder, file or docs/ task" in message and "docs/library" in message
    assert 'a data set of the hub needs datasets: pip install "neoberta[study]"' in message


def test_too_few_rows_to_test_on(tmp_path):
    with pytest.warns(UserWarning, match="single row"):
        message = _message(load_task, str(_csv(tmp_path, GOOD)))
    assert "too few to test on" in message


@pytest.mark.parametrize(
    ("about", "label", "parts"),
    [
        (
            '{"label_names": ["n", "y"]}',
            [0, 2],
            ["row 2", "label '2' is not one of the 2 label names"],
        ),
        ("{broken", [0, 1], ["dataset.json", "not a JSON object"]),
        ('{"label_names": "ny"}', [0, 1], ["label_names is not a list of strings"]),
        ('{"label_names": ["n", "y"]}', [1, 1], ["only one class in train ('y')"]),
        ("{}", [-1, -1], ["no row has a label"]),
    ],
)
def test_broken_folder(tmp_path, about, label, parts):
    frame = pd.DataFrame({"text": ["a", "b"], "label": label})
    frame.to_parquet(tmp_path / "train.parquet")
    frame.to_parquet(tmp_path / "test.parquet")
    (tmp_path / "dataset.json").write_text(about)
    message = _message(load_task, str(tmp_path))
    assert all(part in message for part in parts), message


def test_token_tasks_are_not_text_classification(tmp_path):
    pd.DataFrame({"tokens": [["a", "b"]], "tags": [[0, 1]]}).to_parquet(tmp_path / "train.parquet")
    assert "no column 'text'" in _message(load_task, str(tmp_path))


@pytest.mark.parametrize(
    ("row", "parts"),
    [
        (
            '{"text": "half \\ud800", "label": "a"}',
            ["row 2, column 'text'", "not valid Unicode", "character 6"],
        ),
        ('{"text": "whole", "label": "\\udc00"}', ["row 2, column 'label'", "not valid Unicode"]),
        ('{"text": "whole", "label": "a"}\n' + "[" * 100_000, ["line 3", "not JSON"]),
    ],
)
def test_jsonl_that_no_text_can_hold(tmp_path, row, parts):
    path = _csv(tmp_path, '{"text": "first", "label": "b"}\n' + row + "\n", "rows.jsonl")
    message = _message(load_task, str(path))
    assert all(part in message for part in parts), message
    message.encode()


def test_an_infinite_label_is_no_class(tmp_path):
    path = _csv(
        tmp_path, '{"text": "a", "label": 1}\n{"text": "b", "label": Infinity}\n', "rows.jsonl"
    )
    assert "row 2, column 'label': inf (float) is not a class" in _message(load_task, str(path))


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("text;label\na;x\nb;y;z\n", "seems to be ';', but not every line fits"),
        ('text;label\n"a; ""b""";x\n"c;y\n', "seems to be ';', but not every line fits"),
        ("text\tlabel\na\tx\nb\n", "seems to be a tab, but not every line fits"),
    ],
)
def test_another_separator_that_does_not_fit_either(tmp_path, content, part):
    message = _message(load_task, str(_csv(tmp_path, content)))
    assert part in message and "did you mean" not in message


@pytest.mark.parametrize(
    ("about", "part"),
    [
        ('{"info": 5}', "info is not"),
        ('{"info": {"a": 5}}', "info is not"),
        ('{"family": 5}', "family is not"),
        ("5", "not a JSON"),
    ],
)
def test_a_description_of_the_wrong_types(tmp_path, about, part):
    pd.DataFrame({"text": ["a", "b"], "label": ["x", "y"]}).to_parquet(tmp_path / "train.parquet")
    (tmp_path / "dataset.json").write_text(about)
    assert part in _message(load_task, str(tmp_path))
