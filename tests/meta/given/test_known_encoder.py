"""A user's samples through an encoder: once the vectors are in the cache, the weights are not
loaded again."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_models import save_tiny_model

from cluster.storage import Storage
from meta.given import known_encoder
from meta.given import vectors as module
from meta.given.prepare import prepare
from meta.given.sample import EvalSample, LabelledSample
from meta.given.vectors import as_task, embed_sample
from probes.tasks.task import Task


@pytest.fixture
def task() -> Task:
    texts = tuple(f"{'red' if i % 2 else 'blue'} item number {i}" for i in range(12))
    return as_task(
        prepare(
            LabelledSample(texts, np.arange(12) % 2, ("blue", "red")),
            EvalSample(("a green item", "one more")),
        )
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_tiny_model(tmp_path / "model")


@pytest.fixture
def loads(monkeypatch) -> list[str]:
    """The references of the encoders that are loaded from here on."""
    loaded, load = [], module.load_encoder
    monkeypatch.setattr(
        module, "load_encoder", lambda ref, **options: (loaded.append(ref), load(ref, **options))[1]
    )
    return loaded


def test_a_second_call_gives_the_same_without_loading_the_weights(task, model, tmp_path, loads):
    storage, ref = Storage(tmp_path / "out"), f"hf:{model}"
    first, again = embed_sample(ref, task, storage), embed_sample(ref, task, storage)
    assert loads == [ref]
    assert again.info == first.info and list(again.views) == list(first.views)
    assert (again.milliseconds_per_text, again.n_truncated) == (
        first.milliseconds_per_text,
        first.n_truncated,
    )
    for view in first.views:
        np.testing.assert_array_equal(again.train(view), first.views[view][0])
        for ours, theirs in zip(again.views[view], first.views[view], strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_weights_that_changed_are_loaded_and_encode_again(task, model, tmp_path, loads):
    storage, ref = Storage(tmp_path / "out"), f"hf:{model}"
    first = embed_sample(ref, task, storage)
    shutil.rmtree(model)
    save_tiny_model(model, seed=1)
    other = embed_sample(ref, task, storage)
    assert loads == [ref, ref] and other.info.fingerprint != first.info.fingerprint


def test_vectors_that_are_gone_are_encoded_again(task, model, tmp_path, loads):
    storage, ref = Storage(tmp_path / "out"), f"hf:{model}"
    first = embed_sample(ref, task, storage)
    shutil.rmtree(tmp_path / "out" / "embeddings")
    again = embed_sample(ref, task, storage)
    assert loads == [ref, ref]
    view = next(iter(first.views))
    assert again.views[view][0].shape == (12, first.info.hidden_size)


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"info": {"views": 3}}'])
def test_a_damaged_note_counts_as_none(task, model, tmp_path, loads, damage):
    storage, ref = Storage(tmp_path / "out"), f"hf:{model}"
    first = embed_sample(ref, task, storage)
    (note,) = (tmp_path / "out" / "samples").iterdir()
    note.write_text(damage)
    again = embed_sample(ref, task, storage)
    assert loads == [ref, ref] and again.info == first.info
    assert json.loads(note.read_text())["n_truncated"] == 0


@pytest.mark.parametrize(
    "change", [{"milliseconds_per_text": float("nan")}, {"n_truncated": "some"}]
)
def test_a_note_that_holds_what_cannot_be_counts_as_none(task, model, tmp_path, loads, change):
    storage, ref = Storage(tmp_path / "out"), f"hf:{model}"
    embed_sample(ref, task, storage)
    (note,) = (tmp_path / "out" / "samples").iterdir()
    note.write_text(json.dumps(json.loads(note.read_text()) | change))
    again = embed_sample(ref, task, storage)
    assert (
        loads == [ref, ref] and np.isfinite(again.milliseconds_per_text) and again.n_truncated == 0
    )


def test_another_machine_takes_its_own_times(task, model, tmp_path, loads, monkeypatch):
    storage, ref = Storage(tmp_path / "out"), f"hf:{model}"
    embed_sample(ref, task, storage)
    monkeypatch.setattr(known_encoder.platform, "node", lambda: "elsewhere")
    embed_sample(ref, task, storage)
    assert loads == [ref, ref]


def test_an_lsa_keeps_its_time(task, tmp_path):
    storage = Storage(tmp_path / "out")
    times = {embed_sample("lsa:2", task, storage).milliseconds_per_text for _ in range(2)}
    assert len(times) == 1


def test_with_all_vectors_there_neither_torch_nor_transformers_is_imported(task, model, tmp_path):
    ref = f"hf:{model}"
    first = embed_sample(ref, task, Storage(tmp_path / "out"))
    (tmp_path / "task.pkl").write_bytes(pickle.dumps(task))
    code = """
import pickle, sys
from cluster.storage import Storage
from meta.given.vectors import embed_sample
from probes.encoders.load import check_encoder
ref, task, out = sys.argv[1:]
check_encoder(ref)
again = embed_sample(ref, pickle.load(open(task, "rb")), Storage(out))
print(again.info.fingerprint, sorted({"torch", "transformers"} & set(sys.modules)))
"""
    words = [sys.executable, "-c", code, ref, str(tmp_path / "task.pkl"), str(tmp_path / "out")]
    done = subprocess.run(words, check=True, capture_output=True, text=True)
    assert done.stdout.split(maxsplit=1) == [first.info.fingerprint, "[]\n"]
