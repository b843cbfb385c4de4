"""A column that is asked for: found in any case, or refused with the remedy for its table."""

from pathlib import Path

import pandas as pd
import pytest

from cluster.storage import UserError
from meta.given.read import read_samples
from probes.tables.column import filled_instead
from probes.tables.file import read_table
from probes.tables.given import table_of
from probes.tasks.read import Columns, labelled_rows

TEXTS = [f"the train to town number {i}" for i in range(12)]
LABELS = ["late", "early"] * 6


def table(**columns: list[object]) -> dict[str, list[object]]:
    return columns


def refused(given: object, columns: Columns | None = None) -> str:
    with pytest.raises(UserError) as caught:
        labelled_rows(table_of(given, "train"), columns or Columns())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_names_differ_in_case_and_spaces_alone():
    given = {"Text ": TEXTS, "LABEL": LABELS}
    assert labelled_rows(table_of(given, "train"), Columns()).texts == TEXTS
    both = {"Text": LABELS, "text": TEXTS, "label": LABELS}
    assert labelled_rows(table_of(both, "train"), Columns()).texts == TEXTS
    assert "no column 'text'" in refused({"Text": TEXTS, "TEXT": TEXTS, "label": LABELS})


def test_two_columns_of_one_name_matter_only_where_they_are_asked_for(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label,note,note\n" + "".join(f"{t},late,1,2\n" for t in TEXTS))
    assert set(read_table(path).cells) == {"text", "label"}
    assert "two columns are called 'note'; rename one" in refused(path, Columns(label="note"))
    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    assert "two columns are called 'label'" in refused(pd.concat([frame, frame[["label"]]], axis=1))
    path.write_text("note,note\n1,2\n")
    with pytest.raises(UserError, match="two columns are called 'note'"):
        read_table(path)


@pytest.mark.parametrize(
    ("given", "columns", "message"),
    [
        (table(label_name=LABELS, text=TEXTS, label_id=[0, 1] * 6), None, "'label_id' or 'label_n"),
        (table(title=TEXTS, body=TEXTS, label=LABELS), None, "did you mean 'body'?"),
        (table(text=TEXTS, sentiment=LABELS), None, "did you mean 'sentiment'?"),
        (
            table(title=TEXTS, body=TEXTS, label=LABELS),
            Columns(text="title+body"),
            "one column is read: join 'title' and 'body' into one",
        ),
        (table(**{"My survey": ["text", *TEXTS]}), None, "has the names ('text'): remove what"),
        (table(**{"the train was not on time": TEXTS}), None, "put one above it that names"),
    ],
)
def test_what_the_table_itself_suggests(given, columns, message):
    assert message in refused(given, columns)


def test_an_evaluation_table_must_have_the_names_of_the_labelled_rows():
    train = {"text": TEXTS, "label": LABELS}
    others = [f"{text}!" for text in TEXTS]
    with pytest.raises(UserError, match=r"no column 'text' .*; call it 'text' there, as in"):
        read_samples(train, {"body": others}, Columns())
    with pytest.raises(UserError, match=r"did you mean 'lable'.*; call it 'label' there"):
        read_samples(train, {"text": others, "lable": LABELS}, Columns(), eval_labels=True)
    _, sample, notes = read_samples(train, {"Text": others, "Label": LABELS}, Columns())
    assert sample is not None and sample.texts == tuple(others) and "not looked at" in notes[0]


def test_labels_in_other_words_are_shown_beside_each_other():
    train = {"text": TEXTS, "label": LABELS}
    evaluation = {"text": [f"{text}!" for text in TEXTS], "label": [0, 1] * 6}
    with pytest.raises(
        UserError, match=r"\('0' and '1'\) .* \('early' and 'late'\); write the lab"
    ):
        read_samples(train, evaluation, Columns(), eval_labels=True)


def test_a_name_that_changes_on_the_way_is_told():
    rows: list[dict[str, object]] = [
        {"text" if i < 6 else "sentence": text, "label": label}
        for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    ]
    assert "column 'sentence' has something in just these rows: give both one name" in refused(rows)
    labels = [
        {"text": text, "label" if i < 6 else "class": label}
        for i, (text, label) in enumerate(zip(TEXTS, LABELS, strict=True))
    ]
    found = labelled_rows(table_of(labels, "train"), Columns())
    assert "column 'class' has something in just the rows where 'label' is empty" in found.notes[0]
    assert filled_instead(table_of(labels, "train"), "text") is None
