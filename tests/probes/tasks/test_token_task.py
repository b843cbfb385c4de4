"""Sequence labelling from files to entity scores."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoder_conformance import needs_minilm

from cluster.storage import UserError
from probes.encoders import load_encoder
from probes.sweep.tokens import token_probes
from probes.tasks.token_task import TaggedSplit, as_words, load_token_task, train_and_test

DATA = Path(__file__).resolve().parents[4] / "shared" / "data" / "token_classification"
TAGS = ["O", "B-PER", "I-PER"]


def save(folder: Path, tokens: list, tags: list, names: object = TAGS) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"tokens": tokens, "tags": tags}), folder / "train.parquet")
    (folder / "dataset.json").write_text(json.dumps({"tag_names": names}))
    return folder


def test_words_keep_their_tags_and_sentences(tmp_path: Path) -> None:
    task = load_token_task(
        save(tmp_path / "made", [["Ada", "Byron", "wrote"], [], ["it"]], [[1, 2, 0], [], [0]])
    )
    assert task.tag_names == tuple(TAGS) and len(task.splits["train"]) == 3
    words = as_words(task.splits["train"], np.eye(4, dtype=np.float32))
    assert words.tags.tolist() == [1, 2, 0, 0] and words.sentence.tolist() == [0, 0, 0, 2]


def test_what_is_fitted_on_and_what_is_scored_on(tmp_path: Path) -> None:
    folder = save(
        tmp_path / "made",
        [["Ada"], [], *([f"w{i % 90}"] for i in range(180))],
        [[1], [], *[[0]] * 180],
    )
    task = load_token_task(folder)
    train, test = train_and_test(task)
    assert len(train) + len(test) == 181 and 18 <= len(test) <= 54, (
        "a fifth is held out, by its hash"
    )
    assert not {*train.sentences} & {*test.sentences}, "equal sentences are on one side"
    pq.write_table(
        pa.table({"tokens": [["it"], []], "tags": [[0], []]}), folder / "validation.parquet"
    )
    changed = load_token_task(folder)
    train, test = train_and_test(changed)
    assert (len(train), test.sentences) == (181, (("it",),))
    assert changed.fingerprint != task.fingerprint == replace(task, name="other").fingerprint


def test_splits_without_words(tmp_path: Path) -> None:
    folder = save(tmp_path / "made", [["a"]] * 3, [[0]] * 3)
    pq.write_table(
        pa.table({"tokens": pa.array([[]], pa.list_(pa.string())), "tags": [[]]}),
        folder / "test.parquet",
    )
    with pytest.raises(UserError, match="no test sentences with words"):
        train_and_test(load_token_task(folder))
    (folder / "train.parquet").unlink()
    with pytest.raises(UserError, match="no train split to fit probes on"):
        train_and_test(load_token_task(folder))


CONLL = "-DOCSTART- -X- O O\n\nAda NNP B-NP B-PER\nByron NNP I-NP I-PER\n\n\nit PRP B-NP O\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("train.conll", CONLL),
        ("train.bio", "# sent_id = 1\nAda\tB-PER\nByron\tI-PER\n\n# sent_id = 2\nit\tO\n"),
        (
            "train.jsonl",
            '{"tokens": ["Ada", "Byron"], "tags": ["B-PER", "I-PER"]}\n'
            '{"tokens": ["it"], "tags": ["O"]}\n',
        ),
        (
            "train.json",
            '[{"tokens": ["Ada", "Byron"], "tags": [1, 2]}, {"tokens": ["it"], "tags": [0]}]',
        ),
    ],
)
def test_the_same_task_in_other_forms(tmp_path: Path, name: str, content: str) -> None:
    made = load_token_task(save(tmp_path / "made", [["Ada", "Byron"], ["it"]], [[1, 2], [0]]))
    other = tmp_path / "other"
    other.mkdir()
    (other / name).write_text(content, encoding="utf-8-sig")
    if "1" in content and "sent_id" not in content:  # numbers mean nothing without their names
        with pytest.raises(UserError, match=r"dataset\.json: must list the tag_names, since"):
            load_token_task(other)
        (other / "dataset.json").write_text(json.dumps({"tag_names": TAGS}))
    assert load_token_task(other).fingerprint == made.fingerprint


def test_files_of_words_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "train.conll").write_text("Ada B-PER\nByron\n")
    with pytest.raises(UserError, match=r"train.conll: line 2: one column .'Byron'.; write a word"):
        load_token_task(tmp_path)
    (tmp_path / "train.conll").write_text("Ada O\nByron O\n")
    with pytest.raises(UserError, match="fewer than two different tags"):
        load_token_task(tmp_path)
    (tmp_path / "train.jsonl").write_text("{}")
    with pytest.raises(UserError, match=r"train.jsonl and train.conll are the same split"):
        load_token_task(tmp_path)
    (tmp_path / "train.conll").unlink()
    (tmp_path / "train.jsonl").write_text('{"tokens": ["a"], "ner_tags": ["O"]}\n')
    with pytest.raises(UserError, match=r"no column 'tags'; .*: rename 'ner_tags'"):
        load_token_task(tmp_path)


@pytest.mark.parametrize("names", [[], ["O"], "OBI", ["O", "O"], ["O", 1], {"O": 0}])
def test_tag_names_that_are_none(tmp_path: Path, names: object) -> None:
    with pytest.raises(UserError, match="two or more distinct names"):
        load_token_task(save(tmp_path / "made", [["a"]], [[0]], names))


@pytest.mark.parametrize(
    ("tokens", "tags", "remedy"),
    [
        ([["a", "b"]], [[0]], "row 1: must have a tag for every word"),
        ([["a"], None], [[0], [0]], "row 2: must have a tag for every word"),
        ([["a"]], [[7]], "row 1: a tag is not one of the 3 in dataset.json"),
        ([["a"]], [["B-PRE"]], r"one of the 3 in dataset.json .'B-PRE'.; did you mean B-PER"),
        ([["a", None]], [[0, 0]], "row 1: a word is not text"),
    ],
)
def test_tags_that_do_not_fit(tmp_path: Path, tokens: list, tags: list, remedy: str) -> None:
    with pytest.raises(UserError, match=remedy):
        load_token_task(save(tmp_path / "made", tokens, tags))


def test_folders_that_are_no_token_task(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no train\.parquet"):
        load_token_task(tmp_path)
    with pytest.raises(UserError, match="no such folder; give a folder with"):
        load_token_task(tmp_path / "nowhere")
    folder = save(tmp_path / "made", [["a"]], [[0]])
    pq.write_table(pa.table({"text": ["a"]}), folder / "train.parquet")
    with pytest.raises(UserError, match="no column 'tokens'; the columns are 'text'"):
        load_token_task(folder)
    (folder / "train.parquet").unlink()
    with pytest.raises(UserError, match=r"no train\.parquet"):
        load_token_task(folder)


@pytest.mark.slow
@needs_minilm()
def test_real_entities_are_found_in_real_sentences() -> None:
    """Wikipedia sentences through MiniLM's third layer, beside the same vectors given to the wrong
    words."""
    folder = DATA / "wikigold_ner"
    if not folder.is_dir():
        pytest.skip("the shared token sets are not here")
    pytest.importorskip("seqeval", reason="the extra `tokens` is not installed")
    task = load_token_task(folder)
    whole, encoder = task.splits["train"], load_encoder("hf:all-MiniLM-L6-v2")
    parts = (TaggedSplit(whole.sentences[a:b], whole.tags[a:b]) for a, b in ((0, 60), (60, 100)))
    train, test = (as_words(part, encoder.encode_words(part.sentences, [3])[3]) for part in parts)
    mixed = replace(train, X=np.random.default_rng(0).permutation(train.X))
    found, chance = (
        token_probes(words, test, task.tag_names, n_sentences=60, Cs=(0.01,))[0]["entity_f1"]
        for words in (train, mixed)
    )
    assert found > 0.15
    assert found > 3 * chance
