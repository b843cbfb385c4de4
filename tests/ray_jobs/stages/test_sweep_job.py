"""The sweep stage on a real study: two passes, its ledger, and what a second run does. Blocks run
in this process."""

import json
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

import ray_jobs.stages.sweep
from cluster.storage import Storage
from probes.encoders.base import EncoderInfo, View
from probes.tasks.store import save_task
from probes.tasks.task import Split, Task
from ray_jobs.config import validate
from ray_jobs.stages.tasks import TaskRow
from ray_jobs.study import Study, StudyConfig

VIEWS = (View(0, "mean"), View(1, "mean"), View(2, "mean"))
SIGNAL = {0: 0.0, 1: 2.0, 2: 1.9}
"""How far apart the classes are in each layer."""


@pytest.fixture
def study(tmp_path, monkeypatch) -> Study:
    generator = np.random.default_rng(0)
    labels = {"train": np.arange(300) % 3, "test": np.arange(200) % 3}
    splits = {
        name: Split(tuple(f"{name} {i}" for i in range(len(y))), y.astype(np.int64), None)
        for name, y in labels.items()
    }
    task = Task("toy", ("a", "b", "c"), splits)
    noise = {name: generator.standard_normal((3, len(y), 24)) for name, y in labels.items()}
    centres = generator.standard_normal((3, 24))

    def matrix(_task, split, _cache, view):
        return (noise[split][view.layer] + SIGNAL[view.layer] * centres[labels[split]]).astype(
            np.float32
        )

    def in_process(run, configs, *, on_done, **_):
        outcomes = [
            SimpleNamespace(config=config, result=json.loads(json.dumps(run(config))), error=None)
            for config in configs
        ]
        for outcome in outcomes:
            on_done(outcome)
        return outcomes

    monkeypatch.setattr("probes.embeddings.encode.task_matrix", matrix)
    monkeypatch.setattr("cluster.tune.fan_out", in_process)
    monkeypatch.setattr(Study, "need_ray", lambda self: None)
    sweep = {
        "sizes": [32, 256],
        "n_seeds": 2,
        "logistic_sizes": [32],
        "logistic_where": "contenders",
    }
    observations = {"observations": {"sizes": [32], "n_seeds": 1}}
    value = {
        "name": "toy",
        "tasks": ["toy.csv"],
        "encoders": [{"ref": "lsa:8"}],
        "sweep": sweep,
        "metamodel": observations,
    }
    config = validate(StudyConfig, value | {"characterize": {"task": "toy.csv"}}, "toy")
    study = Study(config, str(tmp_path), n_stages=1)
    save_task(task, study.storage)
    study.task = TaskRow(  # type: ignore[attr-defined]
        name="toy",
        fingerprint=task.fingerprint,
        family="toy",
        n_train=300,
        n_test=200,
        n_classes=3,
        is_pair=False,
    )
    return study


def run(study: Study) -> list[str]:
    info = EncoderInfo("enc", "e" * 16, "hf", 2, 24, 1000, 128, VIEWS)
    encoder = SimpleNamespace(name="enc", info=info, views=VIEWS)
    return ray_jobs.stages.sweep.sweep(study, lambda done, total: None, [study.task], [encoder])


def test_logistic_probes_go_where_they_could_change_the_answer(study):
    keys = run(study)
    frame = ray_jobs.stages.sweep.load_results(study.storage, keys).to_pandas()
    assert set(frame[frame.probe == "ridge"].layer) == {0, 1, 2}
    assert (
        set(frame[frame.probe == "logistic"].layer) <= {1, 2} and (frame.probe == "logistic").any()
    )
    costs = [study.storage.read_json(key) for key in study.storage.keys("costs")]
    assert sum(cost["n_probes"] for cost in costs) == len(frame)
    assert all(
        cost["predicted_seconds"] > 0 and cost["seconds"] > 0 and cost["bytes"] > 0
        for cost in costs
    )
    assert study._made == f"{len(frame):,} probes fitted"
    left = f"parts/{keys[0].removeprefix('probes/').removesuffix('.parquet')}/32-stratified.parquet"
    study.storage.write_bytes(left, b"of a worker that was killed after it had published its block")
    study.storage.write_bytes("parts/of-another-study/32-stratified.parquet", b"")
    assert (
        run(study) == keys
        and study._made == "already there"
        and len(study.storage.keys("costs")) == len(costs)
    )
    assert study.storage.keys("parts") == ["parts/of-another-study/32-stratified.parquet"]


def test_missing_are_blocks_that_are_absent_or_damaged(tmp_path):
    storage = Storage(tmp_path)
    table = pa.table({"x": list(range(1000))})
    blocks = [{"key": f"probes/{name}.parquet"} for name in ("whole", "absent", "cut", "flipped")]
    for name in ("whole", "cut", "flipped"):
        storage.write_table(f"probes/{name}.parquet", table)
    data = bytearray(storage.read_bytes("probes/flipped.parquet"))
    data[len(data) // 3] ^= 0x10
    storage.write_bytes("probes/flipped.parquet", bytes(data))
    storage.write_bytes("probes/cut.parquet", bytes(data[: len(data) // 2]))
    assert [block["key"] for block in ray_jobs.stages.sweep.missing_blocks(storage, blocks)] == [
        "probes/absent.parquet",
        "probes/cut.parquet",
        "probes/flipped.parquet",
    ]
    assert ray_jobs.stages.sweep.missing_blocks(Storage(tmp_path / "nothing"), blocks) == blocks
