"""Labels: spellings of one class, codes for none, several in a cell; alike in every format."""

import json
import re
import warnings
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from cluster.storage import UserError
from probes.tables.classes import Classes
from probes.tables.given import table_of
from probes.tables.misspelt import misspelt
from probes.tables.no_label import codes_among
from probes.tables.several_labels import several_labels
from probes.tables.spelling import label_key
from probes.tasks.load import load_task
from probes.tasks.read import Columns, LabelledRows, labelled_rows

NAMES = ("oak", "elm", "ash")


def table(labels: list[object]) -> dict[str, list[object]]:
    return {"text": [f"leaf number {i} of the tree" for i in range(len(labels))], "label": labels}


def rows(labels: list[object], **how: object) -> LabelledRows:
    columns = Columns(**how)  # type: ignore[arg-type]
    return labelled_rows(table_of(table(labels), "train"), columns)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("oak", " oak\t"),
        ("old oak", "old  \u00a0oak"),
        ("oak", "o\u00ada\u200bk\ufeff"),
        ("caf\u00e9", "cafe\u0301"),
        ("\uff11", "1"),
        ("3", "3.0"),
        ("-0", "0.0"),
        ("True", "TRUE"),
        ("Oak", "oak"),
        ("STRASSE", "straße"),
    ],
)
def test_spellings_of_one_label(one, other):
    assert label_key(one) == label_key(other)


@pytest.mark.parametrize(
    ("one", "other"), [("3", "3.5"), ("03", "3"), ("1", "True"), ("a-b", "ab"), ("-1", "1")]
)
def test_labels_that_differ(one, other):
    assert label_key(one) != label_key(other)


def test_spellings_are_joined_under_the_commonest_and_told():
    found = rows(["oak", "oak ", "Oak", "oak", "elm", "ELM", "elm"])
    assert set(found.labels) == {"oak", "elm"}
    assert "5 spellings of labels are 2 classes" in found.notes[0]
    assert "--keep-case" in found.notes[0]
    apart = rows(["oak", "oak ", "Oak", "oak", "elm", "ELM", "elm"], keep_case=True)
    assert set(apart.labels) == {"oak", "Oak", "elm", "ELM"} and "--keep-case" not in apart.notes[0]
    assert rows(["oak", "elm", "oak"]).notes == ()


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
@pytest.mark.parametrize(
    "labels", [[0.0, 1.0, None, 1.0] * 9, [True, False, True] * 9, [0, 1, 2, -1] * 9]
)
def test_a_table_has_the_same_classes_in_every_format(tmp_path: Path, name: str, labels: list):
    frame = pd.DataFrame(table(labels))
    path = tmp_path / name
    if name == "a.parquet":
        frame.to_parquet(path)
    elif name.startswith("a.json"):
        frame.to_json(path, orient="records", lines=name == "a.jsonl")
    else:
        frame.to_csv(path, sep="\t" if name == "a.tsv" else ",", index=False)
    found = labelled_rows(table_of(path, "train"), Columns())
    same = labelled_rows(table_of(frame, "train"), Columns())
    assert (found.labels, found.rows) == (same.labels, same.rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_task(str(path)).label_names == tuple(sorted(set(same.labels)))


@pytest.mark.parametrize(
    "code", [None, float("nan"), "", " ", "NA", "N/A", "None", "null", "nan", "<NA>", "\u200b"]
)
def test_rows_without_a_label_are_left_out_and_told(code):
    found = rows([code, *NAMES * 9, code])
    assert found.rows == list(range(1, 28)) and set(found.labels) == set(NAMES)
    assert "2 rows have no label" in found.notes[-1] and "the first is row 1" in found.notes[-1]


def test_minus_one_beside_numbers_is_no_label_and_may_be_kept():
    labels = ["-1", *["0", "1", "2"] * 9]
    assert set(rows(labels).labels) == {"0", "1", "2"}
    assert "--keep-label=-1" in rows(labels).notes[0]
    assert set(rows(labels, keep_labels=("-1",)).labels) == {"-1", "0", "1", "2"}
    floats = rows([-1.0, 0.0, 1.0, 2.0] * 5)
    assert set(floats.labels) == {"0", "1", "2"} and len(floats.rows) == 15


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        (["-1", "0", "1"], "-1"),  # negative, neutral, positive
        (["FAVOR", "AGAINST", "NONE"], "NONE"),
        (["favor", "against", "none"], "none"),
        (["EU", "NA", "ASIA"], "NA"),
    ],
)
def test_what_looks_like_a_class_is_one_and_it_is_told(labels, code):
    found = rows(labels * 9)
    assert set(found.labels) == set(labels)
    assert f"label {code!r} counts as a class (9 rows)" in found.notes[0]


@pytest.mark.parametrize(
    ("counts", "unlabelled"),
    [
        ({"-1": 5, "1": 5}, set()),
        ({"-2": 5, "-1": 5, "0": 5, "1": 5, "2": 5}, set()),
        ({"World": 9, "Sport": 9, "None": 2}, {"None"}),
        ({"world": 9, "sport": 9, "None": 20}, {"None"}),
        ({"world": 9, "sport": 9, "nan": 20}, {"nan"}),
        ({"-1": 9}, {"-1"}),
        ({"spam": 3, "ham": 3, "-1": 3}, {"-1"}),
    ],
)
def test_the_rule_of_codes(counts, unlabelled):
    assert codes_among(counts, set())[0] == unlabelled


def test_an_evaluation_cell_is_a_class_only_where_labelled_rows_have_it():
    classes = Classes(["0", "1", "2"])
    cells = ["0.0", "-1", None, "NA", "2", "7"]
    assert [classes.of(cell) for cell in cells] == ["0", None, None, None, "2", "7"]
    stance = Classes(["favor", "against", "none"] * 3)
    assert [stance.of(cell) for cell in ("none", "NONE", "None", "NA")] == ["none"] * 3 + [None]


@pytest.mark.parametrize(
    "labels",
    [
        ["oak", "elm", "oak,elm", "elm, oak", "ash,oak", "ash"],
        ["oak|elm", "elm|ash", "oak", "oak|elm|ash", "ash"],
        ["oak;elm", "elm;oak", "ash;oak", "elm;ash"],
        ["['oak', 'elm']", "['elm']", "['oak']", "['elm', 'ash']", "['ash', 'oak']"],
        ["oak#elm", "elm", "ash#elm", "ash#oak"],
        ["oak/elm", "elm/ash", "oak", "elm", "ash"],
    ],
)
def test_several_labels_in_a_cell_are_told(labels):
    assert "seem to have several labels in a cell" in str(several_labels(dict.fromkeys(labels, 3)))
    assert any("several labels" in note for note in rows(labels * 4).notes)


@pytest.mark.parametrize(
    "labels",
    [
        ["Arts, Culture", "Culture, Society", "Sports"],
        ["Paris, France", "Lyon, France", "Rome, Italy", "France"],
        ["sport/tennis", "sport/football", "news/world", "news"],
        ["food quality", "food price", "service", "food"],
        ["Home & Garden", "Garden & Outdoors", "Toys"],
        ["1,5", "2,5", "1,0", "2,0"],
        ["C++", "C#", "C", "F#"],
    ],
)
def test_names_of_one_label(labels):
    assert several_labels(dict.fromkeys(labels, 3)) is None


def test_lists_of_one_label_are_that_label():
    assert rows([["oak"], ["elm"], [], ["oak"]]).labels == ["oak", "elm", "oak"]
    assert rows(["['oak']", "['elm']", "['oak']"]).labels == ["oak", "elm", "oak"]
    with pytest.raises(
        UserError, match=r"row 2, column 'label': .* \(list\) is not a class: several"
    ):
        rows([["oak"], ["elm", "ash"]])


def test_objects_that_say_which_label_holds_are_that_label():
    cats = [{"oak": 1, "elm": 0}, {"oak": 0, "elm": 1}, {"oak": True, "elm": False}]
    assert rows(list(cats)).labels == ["oak", "elm", "oak"]
    with pytest.raises(UserError, match="several labels in a cell are not forecast"):
        rows([*cats, {"oak": 1, "elm": 1}])


def test_choices_of_label_studio_in_a_csv():
    assert rows(['{"choices": ["oak"]}', "elm", "oak"]).labels == ["oak", "elm", "oak"]
    with pytest.raises(UserError, match="several labels in a cell are not forecast"):
        rows(['{"choices": ["oak", "elm"]}', "elm", "oak"])


@pytest.mark.parametrize(
    ("label", "part"),
    [
        ({"name": "oak", "id": 7}, "labels are text or numbers: write the label itself"),
        ('[{"start": 0, "labels": ["oak"]}]', "is an object, not a class; write the label"),
        ("{'name': 'oak'}", "is an object, not a class; write the label"),
        ([0, 1, 0], "it looks one-hot: give the position of the 1"),
        (pd.Timestamp("2026-01-02"), "write it as text, or choose another column"),
        (float("inf"), "is not a class"),
    ],
)
def test_what_is_no_class_is_told_with_what_to_do(label, part):
    with pytest.raises(UserError, match=re.escape(part)):
        rows([label] * 6)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["0", "1", 2, 3], {"0", "1", "2", "3"}),
        ([1, 2, "n/a", 3], {"1", "2", "3"}),
        ([True, "false", False, "TRUE"], {"TRUE", "False"}),
        ([Decimal("1"), Decimal("2"), 1, 2], {"1", "2"}),
    ],
)
def test_numbers_and_truth_values_may_be_written_as_text(labels, classes):
    assert set(rows(labels * 3).labels) == classes


def test_a_label_that_may_be_mistyped_is_told():
    labels = ["conifer"] * 30 + ["broadleaf"] * 30
    assert rows(labels).notes == ()
    told = rows([*labels, "confier"]).notes
    assert told == (
        "train: 'confier' (1 row) is spelt almost like 'conifer': mend it where it is the same"
        " label",
    )
    assert misspelt({"class one": 30, "class 1": 1, "class 2": 30}) is None
    assert misspelt({"oak": 30, "oaks": 1, "elm": 30}) is None


def test_columns_of_zeros_and_ones():
    texts = ["a tree", "a leaf", "a root", "a twig"]
    many = {"text": texts, "green": [1, 1, 0, 0], "tall": [1, 0, 0, 1]}
    with pytest.raises(UserError, match="'green' and 'tall' hold 0 and 1: several labels a row"):
        labelled_rows(table_of(many, "train"), Columns())
    one = {"text": texts, "green": [1, 1, 0, 0], "tall": [0, 0, 1, 1]}
    with pytest.raises(UserError, match="hold 1 in one column of each row"):
        labelled_rows(table_of(one, "train"), Columns())
    assert labelled_rows(table_of(many, "train"), Columns(label="tall")).labels[0] == "1"


def test_answers_of_prodigy_count(tmp_path: Path):
    lines = [
        {"text": f"leaf {i}", "label": NAMES[i % 2], "answer": "reject" if i == 3 else "accept"}
        for i in range(8)
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = labelled_rows(table_of(path, "train"), Columns())
    assert found.rows == [0, 1, 2, 4, 5, 6, 7]
    assert "rejects or ignores the label of 1 rows" in found.notes[0]


# --- tasks ----------------------------------------------------------------------------------------


def folder(path: Path, **splits: list[object]) -> str:
    path.mkdir(exist_ok=True)
    for name, labels in splits.items():
        frame = pd.DataFrame({"text": [f"{name} {i}" for i in range(len(labels))], "label": labels})
        frame.to_parquet(path / f"{name}.parquet")
    return str(path)


def test_splits_of_a_folder_share_their_classes(tmp_path: Path):
    given = folder(tmp_path / "a", train=["Oak", "elm", "Oak"] * 4, test=["oak", "Elm "] * 4)
    with pytest.warns(UserWarning, match="4 spellings of labels are 2 classes"):
        task = load_task(given)
    assert task.n_classes == 2 and task.splits["test"].labels.max() == 1
    assert load_task(f"{given}#keep_case=yes").label_names == ("Elm", "Oak", "elm", "oak")


def test_hidden_labels_of_a_test_split_are_no_class(tmp_path: Path):
    given = folder(tmp_path / "b", train=[0, 1] * 6, validation=[1, 0] * 4, test=[-1] * 5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = load_task(given)
    assert task.label_names == ("0", "1") and len(task.splits["test"]) == 8


def test_columns_and_labels_of_a_task_by_its_reference(tmp_path: Path):
    path = tmp_path / "rows.csv"
    body = "".join(f"leaf {i},{('oak', 'elm', 'NA')[i % 3]}\n" for i in range(24))
    path.write_text("body,tree\n" + body)
    with pytest.raises(UserError, match="choose one with #text_column=NAME behind the reference"):
        load_task(str(path))
    ref = f"{path}#text_column=body,label_column=tree"
    with pytest.warns(UserWarning, match="#keep_label=NA behind the reference makes a class"):
        assert load_task(ref).label_names == ("elm", "oak")
    assert load_task(f"{ref},keep_label=NA").label_names == ("NA", "elm", "oak")
    with pytest.warns(UserWarning, match="no label"):
        task = load_task(str(path), text_column="body", label_column="tree")
    assert task.n_classes == 2
