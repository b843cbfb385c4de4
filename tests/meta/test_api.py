"""`from meta import characterize`: it takes tables and returns typed answers, without Ray."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from cluster.storage import UserError
from meta import Answers, characterize, load_answers
from meta.given.read import read_samples
from meta.given.sample import NOT_LABELLED
from probes.tasks.read import Columns

TOPICS = {
    "billing": "invoice refund charge card payment",
    "delivery": "parcel courier late address box",
}
FILLER = [
    "the",
    "my",
    "and",
    "is",
    "not",
    "for",
    "with",
    "please",
    "when",
    "it",
    "has",
    "been",
    "to",
    "a",
    "you",
    "can",
]


def rows(n_rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    labels = rng.choice(list(TOPICS), n_rows)
    words = [[*rng.choice(TOPICS[label].split(), 2), *rng.choice(FILLER, 6)] for label in labels]
    texts = [" ".join([*chosen, f"nr {seed} {i}"]) for i, chosen in enumerate(words)]
    return pd.DataFrame({"text": texts, "label": labels})


@pytest.fixture(scope="module")
def answers() -> Answers:
    return characterize(rows(80, 1), rows(60, 2)["text"].tolist(), encoders="lsa:16", target=0.9)


def test_frames_and_lists_in_and_six_typed_answers_out(answers: Answers):
    assert answers.n_train == 80 and answers.n_eval == 60 and answers.target == 0.9
    assert answers.encoders[0].encoder.startswith("lsa:16")
    frame = answers.to_frame()
    assert list(frame.columns)[:4] == ["encoder", "layer", "pooling", "p_best"] and len(
        frame
    ) == 9 * len(answers.encoders)
    assert (frame["q05"] <= frame["q50"]).all() and (frame["q50"] <= frame["q95"]).all()
    assert str(answers).count("\n") == 5 and str(answers).startswith("1. How much data do I need?")


def test_what_is_saved_is_read_back_and_the_report_is_one_page(answers: Answers, tmp_path):
    answers.save(str(tmp_path / "task"))
    assert load_answers(str(tmp_path / "task")) == answers
    page = answers.report(tmp_path / "page.html")
    assert page == tmp_path / "page.html" and page.read_text().lower().startswith("<!doctype html>")
    with pytest.raises(UserError, match="cannot write there"):
        answers.report("/proc/nowhere/page.html")


def test_a_file_a_frame_and_columns_are_the_same(answers: Answers, tmp_path):
    train, evaluation = rows(80, 1), rows(60, 2)[["text"]]
    train.to_csv(tmp_path / "train.csv", index=False)
    evaluation.to_parquet(tmp_path / "eval.parquet")
    files = characterize(
        tmp_path / "train.csv", tmp_path / "eval.parquet", encoders=["lsa:16"], target=0.9
    )
    columns = characterize(
        train.to_dict("list"),
        {"text": evaluation["text"].to_numpy()},
        encoders=["lsa:16"],
        target=0.9,
    )
    for other in (files, columns):
        assert (
            other.model_copy(update={"model": answers.model}) == answers
        )  # but for the time measured


def test_a_cache_is_used_again(tmp_path):
    arguments = {"encoders": "lsa:16", "cache": tmp_path / "vectors"}
    once = characterize(rows(40, 1), rows(30, 2)["text"].tolist(), **arguments)
    assert (
        characterize(rows(40, 1), rows(30, 2)["text"].tolist(), **arguments) == once
    )  # the time too


def test_partly_labelled_evaluation_rows():
    evaluation = rows(60, 2).assign(label=lambda frame: frame["label"].where(frame.index < 25))
    _, plain, notes = read_samples(rows(80, 1), evaluation, Columns())
    assert plain.labels is None and "not looked at" in notes[0]
    _, sample, notes = read_samples(rows(80, 1), evaluation, Columns(), eval_labels=True)
    assert notes == [] and np.sum(sample.labels != NOT_LABELLED) == 25
    names = sorted(TOPICS)
    assert [names[label] for label in sample.labels[:25]] == evaluation["label"].tolist()[:25]
    answers = characterize(rows(80, 1), evaluation, encoders="lsa:16", eval_labels=True)
    assert answers.eval_labels.n_labelled == 25


def test_a_class_that_only_the_evaluation_rows_have_is_told():
    evaluation = rows(30, 2)
    evaluation.loc[3, "label"] = "complaint"
    _, sample, notes = read_samples(rows(80, 1), evaluation, Columns(), eval_labels=True)
    assert sample.labels[3] == len(TOPICS)
    assert notes == [
        "1 evaluation rows are of classes that no labelled row has ('complaint'): no probe can get"
        " them right"
    ]


@pytest.mark.parametrize(
    ("train", "evaluation", "message"),
    [
        (pd.DataFrame({"text": [], "label": []}), None, "train: no rows"),
        (pd.DataFrame({"words": ["a"], "label": ["x"]}), None, "train: no column 'text'"),
        ({"text": ["a", "b"], "label": ["x"]}, None, "columns of different lengths"),
        (
            pd.DataFrame({"text": ["a", None], "label": ["x", "y"]}),
            None,
            "row 2, column 'text': empty cell",
        ),
        (rows(20, 1), [], "evaluation: no rows"),
        (rows(20, 1), ["fine", 3], "row 2, column 'text': 3 (int) is not text"),
        (rows(20, 1).assign(label="x"), None, "only one class"),
    ],
)
def test_bad_tables_are_one_line(train, evaluation, message: str):
    with pytest.raises(UserError) as error:
        characterize(train, evaluation, encoders="lsa:8")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.slow
def test_importing_is_light_and_answering_loads_no_ray():
    code = (
        "import sys, meta\nheavy = {'ray', 'torch', 'xgboost', 'pandas', 'sklearn'} &"
        " set(sys.modules)\nassert not heavy, heavy\nfrom meta import characterize\ntrain ="
        " {'text': [f'{w} the and is {i}' for i in range(12) for w in ('cat', 'dog')], 'label':"
        " ['c', 'd'] * 12}\ncharacterize(train, ['a cat', 'a dog', 'the bird'],"
        " encoders='lsa:8')\nassert 'ray' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
