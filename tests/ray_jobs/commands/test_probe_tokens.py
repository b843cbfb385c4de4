"""`neoberta probe-tokens`: from a folder of tagged sentences to a table of entity scores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_models import N_LAYERS, save_tiny_model
from typer.testing import CliRunner

from cluster.storage import UserError
from probes.encoders.transformer import TransformerEncoder
from ray_jobs.cli import app

pytest.importorskip("seqeval", reason="the extra `tokens` is not installed")

TAGS = ["O", "B-PER", "I-PER", "B-LOC"]
OTHERS, PERSONS, PLACES = (
    ("saw", "went", "to", "and", "by"),
    (("Ada", "Byron"), ("Alan", "Turing")),
    ("Paris", "Rome"),
)


def write_task(folder: Path, n_train: int = 60, n_test: int = 40) -> Path:
    """Sentences in which every person and place is one of a few."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for name, n in (("train", n_train), ("test", n_test)):
        tokens, tags = [], []
        for _ in range(n):
            person, place = PERSONS[generator.integers(2)], PLACES[generator.integers(2)]
            words = [*person, *generator.choice(OTHERS, 3).tolist(), place]
            tokens.append(words)
            tags.append([1, 2, 0, 0, 0, 3])
        pq.write_table(pa.table({"tokens": tokens, "tags": tags}), folder / f"{name}.parquet")
    (folder / "dataset.json").write_text(json.dumps({"tag_names": TAGS}))
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["probe-tokens", *map(str, arguments)])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{save_tiny_model(tmp_path_factory.mktemp('model'))}"


def test_entities_are_found_and_a_second_run_does_nothing(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, out = write_task(tmp_path / "people"), tmp_path / "out"
    arguments = (
        task,
        "--encoder",
        model,
        "--n-sentences",
        2,
        "--n-sentences",
        40,
        "--n-seeds",
        2,
        "--out",
        out,
    )
    shown = run(*arguments)
    files = sorted(out.glob("token_probes/*.parquet"))
    assert len(files) == N_LAYERS + 1, "every layer where none is named"
    probes = pa.concat_tables(pq.read_table(path) for path in files).to_pandas()
    chosen = probes[probes["C_selected"]]
    assert len(chosen) == (N_LAYERS + 1) * 2 * 2 and set(chosen["layer"]) == {0, 1, 2}
    means = chosen.groupby(["n_sentences", "layer"])["entity_f1"].mean()
    assert means.loc[40, 0] > 0.95, "the words themselves tell"
    assert (means.loc[40] >= means.loc[2]).all()
    assert (
        "entity-level F1" in shown and f"{means.loc[40, 0]:.3f}" in shown and "2 sentences" in shown
    )
    assert "sentences encoded" in shown

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(TransformerEncoder, "encode_words", never)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    again = run(*arguments)
    assert again.count("already there") == 2
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()} == before
    assert [line for line in again.splitlines() if "│" in line] == [
        line for line in shown.splitlines() if "│" in line
    ]
    run(*arguments, "--layer", 1, "--n-seeds", 3)  # other probes of vectors that are there
    assert len(list(out.glob("token_probes/*.parquet"))) == len(files) + 1


def test_tags_without_entities_are_scored_by_words(tmp_path: Path, model: str) -> None:
    task = write_task(tmp_path / "people", n_train=20, n_test=10)
    (task / "dataset.json").write_text(json.dumps({"tag_names": ["X", "NOUN", "PROPN", "PLACE"]}))
    shown = run(task, "--encoder", model, "--layer", 0, "--n-seeds", 1, "--out", tmp_path / "out")
    assert "macro-F1 of words" in shown and "16 sentences" in shown and "64 sentences" not in shown


def test_notes_are_printed_but_not_of_prompts_that_words_have_none_of(
    tmp_path: Path, model: str
) -> None:
    task, folder = write_task(tmp_path / "people", n_train=20, n_test=10), tmp_path / "model"
    shutil.copytree(model.removeprefix("hf:"), folder)
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query", "truncate_dim": 8}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": "x.Transformer"}]))
    plain, prompted = (
        run(task, "--encoder", ref, "--layer", 0, "--n-seeds", 1, "--out", tmp_path / "out")
        for ref in (model, f"hf:{folder}")
    )
    assert "note:" not in plain
    assert f"note: hf:{folder}: declared in its folder and not done here: truncate_dim = 8" in (
        prompted
    )
    assert "query" not in prompted


def test_mistakes(tmp_path: Path, model: str) -> None:
    task = write_task(tmp_path / "people", n_train=20, n_test=10)
    for arguments, remedy in (
        ((tmp_path / "nowhere", "--encoder", model), "no such folder"),
        ((task, "--encoder", "hf:/no/such/model"), "/no/such/model"),
        ((task, "--encoder", "lsa:8"), "choose hf:, neoberta: or random:"),
        ((task, "--encoder", f"{model}#layer=1"), "chosen by --layer"),
        ((task, "--encoder", f"{model}#prompt=query: "), "words are read without a prompt"),
        ((task, "--encoder", model, "--layer", 7), f"--layer 7: .* has layers 0 to {N_LAYERS}"),
        (
            (task, "--encoder", model, "--n-sentences", 21),
            "--n-sentences 21: people has 20 to train on",
        ),
    ):
        with pytest.raises(UserError, match=remedy):
            run(*arguments, "--out", tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*.parquet"))


def test_a_mistake_is_one_line_and_exit_code_2(neoberta, tmp_path: Path) -> None:
    task = write_task(tmp_path / "people")
    pq.write_table(pa.table({"tokens": [["a", "b"]], "tags": [[0]]}), task / "test.parquet")
    ended = neoberta("probe-tokens", str(task), "--encoder", "hf:x", "--out", "out")
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr == f"neoberta: {task}/test.parquet, row 1: must have a tag for every word\n"
