"""An embedding job that is killed again and again ends with the vectors of one that was left alone,
to the bit."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from embed_runs import N_TEXTS, TEXTS_PER_SHARD, write_inputs
from safetensors.numpy import load_file

from cluster.storage import Storage
from probes.embeddings.upkeep import verify_caches

pytestmark = pytest.mark.slow

N_KILLS = 10
MOST_SHARDS_BETWEEN_KILLS = 9
"""About half of the shards are left after the last kill: a kill may come late on a busy machine."""
N_SHARDS = N_TEXTS // TEXTS_PER_SHARD
TIMEOUT_S = 300


def start(inputs: Path, out: Path) -> subprocess.Popen[str]:
    """The job, running, with its first text about to be encoded."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("embed_runs.py")),
        str(inputs),
        str(out),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "encoding\n"
    return process


def segments(out: Path) -> list[Path]:
    return sorted((out / "embeddings").glob("*/[!.]*.safetensors"))


def vectors(out: Path) -> dict[str, dict[bytes, bytes]]:
    """Per view, the stored bytes of each text's vector; fails where one is there twice."""
    found: dict[str, dict[bytes, bytes]] = {}
    for path in segments(out):
        tensors = load_file(path)
        keys = tensors.pop("texts")
        for view, array in tensors.items():
            of_view = found.setdefault(view, {})
            for key, row in zip(keys, array, strict=True):
                assert key.tobytes() not in of_view
                of_view[key.tobytes()] = row.tobytes()
    return found


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def test_ten_kills_change_nothing(inputs: Path, tmp_path: Path) -> None:
    """Each kill comes at a random moment between two shards' ends."""
    assert start(inputs, tmp_path / "undisturbed").wait(TIMEOUT_S) == 0
    out, generator = tmp_path / "killed", random.Random(0)
    n_at_kills = []
    while len(n_at_kills) < N_KILLS:
        process = start(inputs, out)
        enough = len(segments(out)) + generator.randint(1, MOST_SHARDS_BETWEEN_KILLS)
        while len(segments(out)) < enough and process.poll() is None:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.02))
        process.kill()
        assert process.wait(TIMEOUT_S) == -9, "it was at work"
        n_at_kills.append(len(segments(out)))
        assert all(damage is None for _, damage in verify_caches(Storage(out)))
    assert n_at_kills == sorted(set(n_at_kills)) and n_at_kills[-1] < N_SHARDS
    before = {path: path.stat().st_mtime_ns for path in segments(out)}
    assert start(inputs, out).wait(TIMEOUT_S) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before, (
        "what was done is not done again"
    )
    found, expected = vectors(out), vectors(tmp_path / "undisturbed")
    assert {view: len(rows) for view, rows in expected.items()} == dict.fromkeys(
        expected, N_TEXTS
    ) and len(expected) == 2
    assert found == expected
    assert [path.name for path in segments(out)] == [
        path.name for path in segments(tmp_path / "undisturbed")
    ]
