"""`characterize` from files to files: real readers, cache, LSA encoder and metamodel; no Ray is
needed for so few rows."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_observations import observations

from cluster.storage import Storage
from meta.answers import load_answers
from meta.given.read import read_samples
from meta.given.vectors import as_task
from meta.metamodel.model import Metamodel
from ray_jobs.commands.characterize import run_characterize

TOPICS = {
    "billing": [
        "invoice",
        "refund",
        "charge",
        "card",
        "payment",
        "price",
        "receipt",
        "bank",
        "fee",
        "subscription",
    ],
    "delivery": [
        "parcel",
        "courier",
        "late",
        "address",
        "tracking",
        "shipped",
        "box",
        "arrived",
        "warehouse",
        "street",
    ],
    "account": [
        "password",
        "login",
        "email",
        "locked",
        "reset",
        "profile",
        "username",
        "verify",
        "settings",
        "sign",
    ],
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


def write_rows(
    path: Path, n_rows: int, *, seed: int, labelled: bool = True, wrong: tuple[int, ...] = ()
) -> Path:
    """A CSV of made-up support requests; the labels of rows `wrong` are false."""
    rng = np.random.default_rng(seed)
    names = list(TOPICS)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"] if labelled else ["text"])
        for row in range(n_rows):
            topic = int(rng.integers(len(names)))
            words = [*rng.choice(TOPICS[names[topic]], 3), *rng.choice(FILLER, 6)]
            text = " ".join(rng.permutation(words)) + f", number {seed}{row}"
            given = names[(topic + 1) % len(names)] if row in wrong else names[topic]
            writer.writerow([text, given] if labelled else [text])
    return path


@pytest.fixture(scope="module")
def metamodel(tmp_path_factory: pytest.TempPathFactory) -> str:
    storage = Storage(tmp_path_factory.mktemp("study"))
    key = Metamodel.fit(observations(n_tasks=5, n_views=2)).save(storage, "made-up")
    return f"{storage.uri}/{key}"


def test_files_in_answers_and_report_out_and_the_second_run_encodes_nothing(
    tmp_path: Path, metamodel: str, capsys
):
    train = write_rows(tmp_path / "train.csv", 120, seed=1, wrong=(7, 33))
    unlabelled = write_rows(tmp_path / "eval.csv", 100, seed=2, labelled=False)
    out = tmp_path / "out"
    arguments = {
        "train": train,
        "eval_path": unlabelled,
        "encoders": ("lsa:16",),
        "target": 0.9,
        "metamodel": metamodel,
    }
    answers = run_characterize(**arguments, out=str(out))
    printed = capsys.readouterr().out

    content = json.loads((out / "answers.json").read_text())
    assert content["n_train"] == 120 and content["n_eval"] == 100 and content["target"] == 0.9
    assert load_answers(str(out)) == answers
    assert content["suspect_labels"][0]["row"] in (7, 33)
    assert content["suspect_labels"][0]["text"] in train.read_text()
    assert content["label_next"][0]["text"] in unlabelled.read_text()
    assert content["encoders"][0]["encoder"].startswith("lsa:16")
    assert content["evidence"]["metamodel"] == "made-up" and content["evidence"]["tasks"] == 5
    assert (out / "report.html").read_text().lstrip().lower().startswith("<!doctype html>")
    assert (
        printed.count("\n") >= 8
        and "1. How much data" in printed
        and "6. Which hyperparameters?" in printed
    )

    segments = {
        path: path.stat().st_mtime_ns for path in (out / "embeddings").rglob("*") if path.is_file()
    }
    again = run_characterize(**arguments, out=str(out))
    assert {
        path: path.stat().st_mtime_ns for path in (out / "embeddings").rglob("*") if path.is_file()
    } == segments
    assert again == answers
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name]


def test_pairs_and_whole_number_labels(tmp_path: Path):
    train, unlabelled = tmp_path / "pairs.csv", tmp_path / "eval.csv"
    train.write_text("a,b,y\nq one,p one,10\nq two,p two,2\nq three,p three,10\nq four,p four,2\n")
    unlabelled.write_text("a,b\nq five,p five\nq one,p one\n")
    from probes.tasks.read import Columns

    sample, evaluation, notes = read_samples(train, unlabelled, Columns("a", "b", "y"))
    assert sample.label_names == ("2", "10") and sample.labels.tolist() == [1, 0, 1, 0]
    assert evaluation.text_pair == ("p five", "p one") and notes == []
    from meta.given.prepare import prepare

    task = as_task(prepare(sample, evaluation))
    assert task.is_pair and task.splits["test"].labels.tolist() == [-1]


@pytest.mark.slow
def test_ray_is_not_loaded_for_a_small_sample():
    import subprocess

    code = (
        "import ray_jobs.commands.characterize, ray_jobs.commands.encode_on_ray, sys;"
        " sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
