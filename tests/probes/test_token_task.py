"""Sequence labelling from files to entity scores."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoder_conformance import needs_minilm
from tiny_models import save_tiny_model

from cluster.storage import UserError
from probes.encoders import load_encoder
from probes.tasks.token_task import TaggedSplit, embed_words, load_token_task
from probes.token_probe import token_probes

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "token_classification"
TAGS = ["O", "B-PER", "I-PER"]


def save(folder: Path, tokens: list, tags: list, names: object = TAGS) -> Path:
    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table({"tokens": tokens, "tags": tags}), folder / "train.parquet")
    (folder / "dataset.json").write_text(json.dumps({"tag_names": names}))
    return folder


def test_words_keep_their_tags_and_sentences(tmp_path: Path) -> None:
    task = load_token_task(save(tmp_path / "made", [["Ada", "Byron", "wrote"], [], ["it"]], [[1, 2, 0], [], [0]]))
    assert task.tag_names == tuple(TAGS) and len(task.splits["train"]) == 3
    encoder = load_encoder(f"hf:{save_tiny_model(tmp_path / 'model')}", precision="fp32")
    words = embed_words(encoder, task.splits["train"], 2)
    assert words.tags.tolist() == [1, 2, 0, 0] and words.sentence.tolist() == [0, 0, 0, 2]
    np.testing.assert_allclose(words.X[3], encoder.encode_words([["it"]], [2])[2][0], atol=1e-5)


@pytest.mark.parametrize(
    ("tokens", "tags", "remedy"),
    [
        ([["a", "b"]], [[0]], "row 1: must have a tag for every word"),
        ([["a"], None], [[0], [0]], "row 2: must have a tag for every word"),
        ([["a"]], [[7]], "row 1: a tag is not one of the 3 in dataset.json"),
        ([["a", None]], [[0, 0]], "row 1: a word is not text"),
    ],
)
def test_tags_that_do_not_fit(tmp_path: Path, tokens: list, tags: list, remedy: str) -> None:
    with pytest.raises(UserError, match=remedy):
        load_token_task(save(tmp_path / "made", tokens, tags))


def test_folders_that_are_no_token_task(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="must list the tag_names"):
        load_token_task(tmp_path)
    folder = save(tmp_path / "made", [["a"]], [[0]])
    pq.write_table(pa.table({"text": ["a"]}), folder / "train.parquet")
    with pytest.raises(UserError, match="cannot be read as tokens and tags"):
        load_token_task(folder)
    (folder / "train.parquet").unlink()
    with pytest.raises(UserError, match=r"no train\.parquet"):
        load_token_task(folder)


@pytest.mark.slow
@needs_minilm()
def test_real_entities_are_found_in_real_sentences() -> None:
    """Wikipedia sentences through MiniLM's third layer, beside the same vectors given to the wrong words."""
    folder = DATA / "wikigold_ner"
    if not folder.is_dir():
        pytest.skip("the shared token sets are not here")
    pytest.importorskip("seqeval", reason="the extra `tokens` is not installed")
    task = load_token_task(folder)
    whole, encoder = task.splits["train"], load_encoder("hf:all-MiniLM-L6-v2")
    train, test = (embed_words(encoder, TaggedSplit(whole.sentences[a:b], whole.tags[a:b]), 3) for a, b in ((0, 60), (60, 100)))
    mixed = replace(train, X=np.random.default_rng(0).permutation(train.X))
    found, chance = (
        token_probes(words, test, task.tag_names, n_sentences=60, Cs=(0.01,))[0]["entity_f1"] for words in (train, mixed)
    )
    assert found > 0.15
    assert found > 3 * chance
