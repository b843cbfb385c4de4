"""What the vectors of a study take: said in the plan, checked against the disk before anything is
encoded."""

import types
from pathlib import Path

import pytest

from cluster.storage import Storage, UserError
from ray_jobs.plan import plan_rows
from ray_jobs.stages import embed as module
from ray_jobs.study import load_preset


def test_the_plan_says_how_large_the_vectors_will_be() -> None:
    overrides = [
        "tasks=[docs/section]",
        "characterize.task=docs/section",
        "docs.max_rows_per_task=1000",
    ]
    overrides.append(
        "encoders=[{ref: lsa:50}, {ref: 'hf:x', layers: [0, 6], poolings: [mean, cls]}]"
    )
    (size,) = [
        much
        for stage, what, much in plan_rows(load_preset("smoke", overrides))
        if what == "size of all vectors"
    ]
    n_bytes = 1000 * (2 * 50 + 16) + 1000 * (2 * 768 * 4 + 16)
    assert size == f"about {n_bytes / 1e6:.0f} MB for 1,000 texts"


def test_too_little_room_is_one_line_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    module.check_room(storage, 1000)
    module.check_room(Storage("s3://bucket/folder"), 10**18)
    with pytest.raises(UserError, match="the vectors need about 1,000,000,000,000") as refused:
        module.check_room(storage, 10**18)
    assert "\n" not in str(refused.value)
    monkeypatch.setattr(
        module.shutil, "disk_usage", lambda _: types.SimpleNamespace(free=5_000_000)
    )
    with pytest.raises(UserError, match=r"need about 7\.0 MB, and 5\.0 MB are free"):
        module.check_room(storage, 7_000_000)
