"""Shards: planned once, encoded once, resumed where they were; the matrices that probes see."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny_model

from cluster.storage import Storage, UserError
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import (
    ShardEncoder,
    embed_texts,
    embedding_inputs,
    missing_shards,
    plan_shards,
    split_shards,
    task_matrix,
    task_pairs,
    task_texts,
)
from probes.encoders import View, load_encoder
from probes.encoders.base import join_pair
from probes.tasks.task import Split, Task

TEXTS = [f"text number {number} " + "with more words " * (number % 7) for number in range(50)] + [
    "",
    "lone \ud83d",
]
VIEWS = (View(0, "cls"), View(2, "mean"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


def work(folder: Path, out: Path, items: Sequence[dict]) -> list[dict]:
    """What the cluster does with a plan: items and results are JSON."""
    encoder = ShardEncoder(f"hf:{folder}", str(out), precision="fp32")
    return [json.loads(json.dumps(encoder(json.loads(json.dumps(item))))) for item in items]


def test_shards_partition_the_texts_and_cost_alike() -> None:
    shards = split_shards(TEXTS * 2, 11)
    assert sorted(text for shard in shards for text in shard) == sorted(TEXTS)
    assert max(map(len, shards)) <= 11
    costs = [sum(map(len, shard)) for shard in shards]
    assert max(costs) <= 1.5 * min(costs)
    assert split_shards(TEXTS[::-1], 11) == shards
    assert split_shards([], 11) == []


def test_an_interrupted_plan_keeps_its_shards_and_others_are_dealt_out_anew() -> None:
    shards = split_shards(TEXTS, 10)
    done = {text for shard in shards[::2] for text in shard}
    assert missing_shards(TEXTS, [text for text in TEXTS if text not in done], 10) == shards[1::2]
    more = [
        f"further text {number}" for number in range(15)
    ]  # a task joins: no shard of all texts is missing whole
    found = missing_shards([*TEXTS, *more], more, 10)
    assert sorted(map(len, found)) == [7, 8] and sorted(
        text for shard in found for text in shard
    ) == sorted(more)
    assert missing_shards(TEXTS, [], 10) == []


def test_a_job_from_plan_to_vectors(folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    cache = EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint)
    items = plan_shards(cache, encoder.info, TEXTS + TEXTS, VIEWS, 11)
    assert items == plan_shards(cache, encoder.info, TEXTS[::-1], [View(-1, "mean"), VIEWS[0]], 11)
    assert sum(item["n_texts"] for item in items) == len(TEXTS)

    results = work(folder, tmp_path, items[:2])  # then the job is interrupted
    assert (
        results[0]["n_texts"] == items[0]["n_texts"]
        and results[0]["n_tokens"] > 0
        and results[0]["seconds"] > 0
    )
    left = plan_shards(cache, encoder.info, TEXTS, VIEWS, 11)
    assert sum(item["n_texts"] for item in left) == len(TEXTS) - sum(
        item["n_texts"] for item in items[:2]
    )
    work(folder, tmp_path, left)
    assert plan_shards(cache, encoder.info, TEXTS, VIEWS, 11) == []
    expected = encoder.encode(TEXTS, VIEWS)
    for view in VIEWS:
        np.testing.assert_allclose(cache.vectors(TEXTS, view), expected[view], atol=2e-3)

    again = work(folder, tmp_path, items[:1])  # a retry of what was done
    assert again[0]["n_texts"] == 0


def test_texts_of_finished_shards_do_not_stay(folder: Path, tmp_path: Path) -> None:
    info = load_encoder(f"hf:{folder}", precision="fp32").info
    items = plan_shards(EmbeddingCache(Storage(tmp_path), info.fingerprint), info, TEXTS, VIEWS)
    assert len(list(tmp_path.rglob("*.parquet"))) == 1
    work(folder, tmp_path, items)
    assert not list(tmp_path.rglob("*.parquet"))


def test_work_of_another_encoder_is_refused(folder: Path, tmp_path: Path) -> None:
    info = load_encoder(f"hf:{folder}", precision="fp32").info
    items = plan_shards(EmbeddingCache(Storage(tmp_path), info.fingerprint), info, TEXTS, VIEWS)
    with pytest.raises(UserError, match="its files changed"):
        work(folder, tmp_path, [{**items[0], "encoder_fingerprint": "0" * 16}])
    with pytest.raises(UserError, match="has no view layer=9,pooling=mean; layers 0 to 2"):
        plan_shards(
            EmbeddingCache(Storage(tmp_path), info.fingerprint), info, TEXTS, [View(9, "mean")]
        )


def test_embed_here(folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    cache = EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint)
    seen: list[tuple[int, int]] = []
    embed_texts(encoder, cache, TEXTS[:10], VIEWS)
    total = embed_texts(
        encoder,
        cache,
        TEXTS,
        VIEWS,
        texts_per_shard=20,
        progress=lambda done, n: seen.append((done, n)),
    )
    assert total["n_texts"] == len(TEXTS) - 10
    assert seen[-1] == (len(TEXTS) - 10, len(TEXTS) - 10) and len(seen) == 3
    assert embed_texts(encoder, cache, TEXTS, VIEWS)["n_texts"] == 0


def make_task(pair: bool) -> Task:
    def split(texts: tuple[str, ...]) -> Split:
        return Split(texts, np.zeros(len(texts), dtype=np.int64), texts[::-1] if pair else None)

    return Task("made", ("no", "yes"), {"train": split(("u", "v", "u")), "test": split(("w", "x"))})


@pytest.mark.parametrize("pair", [False, True])
def test_task_matrix(tmp_path: Path, pair: bool) -> None:
    task, view = make_task(pair), View(0, "mean")
    assert sorted(task_texts(task)) == ["u", "v", "w", "x"]
    known = {"u": [1.0, 2.0], "v": [-3.0, 0.5], "w": [0.0, 4.0], "x": [8.0, 1.0]}
    cache = EmbeddingCache(Storage(tmp_path), "f" * 16)
    cache.publish(list(known), {view: np.array(list(known.values()))})
    if pair:
        assert task_matrix(task, "test", cache, view).tolist() == [
            [0, 4, 8, 1, 8, 3, 0, 4],
            [8, 1, 0, 4, 8, 3, 0, 4],
        ]
    else:
        assert task_matrix(task, "train", cache, view).tolist() == [
            known["u"],
            known["v"],
            known["u"],
        ]
    with pytest.raises(UserError, match="has no split validation; it has test, train"):
        task_matrix(task, "validation", cache, view)


def test_pairs_read_together_are_inputs_of_their_own(folder: Path, tmp_path: Path) -> None:
    """A view of pairs reads what `join_pair` made; the probe's matrix is then as wide as the
    encoder."""
    task, single = make_task(pair=True), make_task(pair=False)
    alone, together = View(2, "mean"), View(2, "cross_cls")
    assert task_pairs(single) == []
    inputs = embedding_inputs([task, single], [together, alone])
    assert inputs == [(["w", "x", "u", "v"], [alone]), (task_pairs(task), [together])]
    assert embedding_inputs([single], [together]) == []

    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    cache = EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint)
    items = [
        item
        for texts, views in inputs
        for item in plan_shards(cache, encoder.info, texts, views, 11)
    ]
    assert sum(item["n_texts"] for item in work(folder, tmp_path, items)) == 4 + 4
    matrix = task_matrix(task, "train", cache, together)
    expected = encoder.encode(
        [join_pair("u", "u"), join_pair("v", "v"), join_pair("u", "u")], [together]
    )[together]
    np.testing.assert_allclose(matrix, expected, atol=2e-3)
    assert task_matrix(task, "train", cache, alone).shape == (3, 4 * encoder.info.hidden_size)
    with pytest.raises(
        UserError, match="task made: has no pairs of texts, which layer=2,pooling=cross_cls reads"
    ):
        task_matrix(single, "train", cache, together)


def test_vectors_of_another_precision_are_another_encoder(folder: Path, tmp_path: Path) -> None:
    """fp32 keeps the fingerprint that it always had."""
    exact, rounded = (
        load_encoder(f"hf:{folder}", precision="fp32"),
        load_encoder(f"hf:{folder}", precision="bf16"),
    )
    assert (exact.info.precision, rounded.info.precision) == ("fp32", "bf16")
    assert exact.info.fingerprint != rounded.info.fingerprint
    cache = EmbeddingCache(Storage(tmp_path), rounded.info.fingerprint)
    items = plan_shards(
        cache, rounded.info, TEXTS[:3], VIEWS
    )  # planned on a machine that multiplies bf16
    here = ShardEncoder(
        f"hf:{folder}", str(tmp_path), precision=items[0]["precision"]
    )  # done on any
    assert here(items[0])["n_texts"] == 3
    assert cache.missing(TEXTS[:3], VIEWS) == []


def test_what_another_job_has_published_meanwhile_is_not_encoded_again(
    folder: Path, tmp_path: Path
) -> None:
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    cache = EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint)
    items = plan_shards(cache, encoder.info, TEXTS, VIEWS, 20)
    embed_texts(
        encoder, EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint), TEXTS[:30], VIEWS
    )
    assert sum(item["n_texts"] for item in work(folder, tmp_path, items)) == len(set(TEXTS)) - 30


def test_the_size_of_a_plan_is_that_of_its_files(folder: Path, tmp_path: Path) -> None:
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    cache = EmbeddingCache(Storage(tmp_path), encoder.info.fingerprint)
    items = plan_shards(cache, encoder.info, TEXTS, VIEWS, 11)
    work(folder, tmp_path, items)
    size_bytes = sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors"))
    assert abs(sum(item["n_bytes"] for item in items) / size_bytes - 1) <= 0.05


def test_truncated_texts_are_counted_whether_or_not_they_are_encoded(folder: Path) -> None:
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    long = "the model " * 3000
    assert encoder.count_truncated([*TEXTS, long, long]) == 2 + encoder.count_truncated(TEXTS)
    assert (
        encoder.count_truncated([join_pair("short", long), join_pair("a", "b")], are_pairs=True)
        == 1
    )
    assert encoder.stats.n_texts == 0
