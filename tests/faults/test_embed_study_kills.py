"""A study's embedding stage on Ray Data goes on after its driver or its workers were killed, to the
bits of one left alone."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from embed_study_runs import N_TEXTS, N_VIEWS, TEXTS_PER_SHARD, write_inputs
from safetensors.numpy import load_file

from cluster.storage import Storage
from probes.embeddings.upkeep import verify_caches

pytestmark = pytest.mark.slow

N_SHARDS = N_TEXTS // TEXTS_PER_SHARD
TIMEOUT_S = 900
WORKERS_END_S = 150


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed")
    assert finish(start(inputs, out)) == {"n_texts": N_TEXTS, "n_shards": N_SHARDS}
    return out


def start(inputs: Path, out: Path) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        str(Path(__file__).with_name("embed_study_runs.py")),
        str(inputs),
        str(out),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, int]:
    """What a run says that it did, in its last line: of a killed worker's task Ray prints a line of
    its own."""
    try:
        stdout, _ = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0
    return json.loads(stdout.splitlines()[-1])


def segments(out: Path) -> list[Path]:
    return sorted((out / "embeddings").glob("*/[!.]*.safetensors"))


def wait_for_shards(process: subprocess.Popen[str], out: Path, n_shards: int) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while len(segments(out)) < n_shards:
        assert process.poll() is None and time.monotonic() < deadline, (
            "it ended, or stood still, before its kill"
        )
        time.sleep(0.002)


def encoding_workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "MapWorker" in " ".join(child.cmdline()):
                found.append(child)
    return found


def assert_same_vectors(out: Path, undisturbed: Path) -> None:
    """The same files to the byte, each text in one of them."""
    assert [path.relative_to(out) for path in segments(out)] == [
        path.relative_to(undisturbed) for path in segments(undisturbed)
    ]
    for path in segments(out):
        assert path.read_bytes() == (undisturbed / path.relative_to(out)).read_bytes(), path.name
    keys = np.concatenate([load_file(path)["texts"] for path in segments(out)])
    assert len(keys) == len(np.unique(keys, axis=0)) == N_TEXTS
    assert {len(load_file(path)) for path in segments(out)} == {1 + N_VIEWS}


def test_a_job_whose_driver_is_killed_at_60_percent_goes_on_from_there(
    inputs: Path, tmp_path: Path, orphans: list[psutil.Process], undisturbed: Path
) -> None:
    process = start(inputs, tmp_path)
    wait_for_shards(process, tmp_path, round(0.6 * N_SHARDS))
    below = psutil.Process(process.pid).children(recursive=True)
    workers = encoding_workers(process)
    orphans += below
    process.kill()
    process.communicate(timeout=TIMEOUT_S)
    assert workers and {"gcs_server", "raylet"} <= {
        child.name() for child in below if child.is_running()
    }
    psutil.wait_procs(
        workers, timeout=WORKERS_END_S
    )  # a shard that one of them was at may still be published
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in segments(tmp_path)}
    assert 0.6 * N_SHARDS <= len(before) < N_SHARDS
    assert all(damage is None for _, damage in verify_caches(Storage(tmp_path)))
    n_left = N_SHARDS - len(before)
    assert finish(start(inputs, tmp_path)) == {
        "n_texts": n_left * TEXTS_PER_SHARD,
        "n_shards": n_left,
    }
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in before} == before, (
        "what was done is not done again"
    )
    assert_same_vectors(tmp_path, undisturbed)


def test_killed_workers_do_not_fail_the_job(
    inputs: Path, tmp_path: Path, undisturbed: Path
) -> None:
    """All of them at once, so that nobody is left who could do their shards."""
    process = start(inputs, tmp_path)
    wait_for_shards(process, tmp_path, N_SHARDS // 4)
    workers = encoding_workers(process)
    assert workers
    for worker in workers:
        worker.kill()
    psutil.wait_procs(workers, timeout=TIMEOUT_S)
    assert len(segments(tmp_path)) < N_SHARDS and process.poll() is None
    assert finish(process) == {"n_texts": N_TEXTS, "n_shards": N_SHARDS}
    assert_same_vectors(tmp_path, undisturbed)
