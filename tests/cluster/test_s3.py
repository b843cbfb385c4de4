"""Every kind of artefact on a real S3 server, also on one that is slow, fails, and loses its
answers."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from s3_server import SECRET_KEY, Faults, S3Server, pointed_at, s3_environment

from cluster import remote_storage
from cluster.deepspeed_engine import is_operator_built
from cluster.storage import CorruptArtefactError, Storage
from probes.sweep.sweep import is_done

pytestmark = pytest.mark.cluster

MULTIPART_BYTES = 25_000_000  # three parts of an upload
TABLE = pa.table({"x": list(range(5000)), "y": [f"row {i}" for i in range(5000)]})
FAULTS = {
    "healthy": Faults(),
    "errors": Faults(error_share=0.2, seed=1),
    "lost answers": Faults(lost_share=0.15, seed=2),
    "stalls": Faults(stall_share=0.04, seed=3),
    "slow": Faults(delay_s=0.2),
}


def write_everything(storage: Storage) -> bytes:
    """One artefact of every kind; returns the bytes of the large file."""
    large = np.random.default_rng(0).bytes(MULTIPART_BYTES)
    storage.write_table("probes/a.parquet", TABLE)
    storage.write_json("costs/a.json", {"x": 1})
    storage.write_bytes("empty", b"")
    with storage.writing("embeddings/segment.bin") as path:
        path.write_bytes(large)
    with storage.writing_folder("checkpoints/c") as folder:
        (folder / "model").mkdir()
        (folder / "model" / "weights.safetensors").write_bytes(large)
        (folder / "config.json").write_text("{}")
    return large


@pytest.mark.parametrize("faults", FAULTS.values(), ids=FAULTS)
def test_every_kind_of_artefact_arrives_whole(s3: S3Server, faults: Faults) -> None:
    storage = Storage(s3.root)
    with s3.failing(faults) as proxy, pointed_at(proxy.endpoint):
        large = write_everything(storage)
        assert storage.read_table("probes/a.parquet").equals(TABLE)
        assert storage.read_json("costs/a.json") == {"x": 1}
        assert storage.read_bytes("empty") == b""
        assert storage.local_path("embeddings/segment.bin").read_bytes() == large
        storage.verify_folder("checkpoints/c")
        assert storage.exists("checkpoints/c") and not storage.exists("checkpoints/d")
        storage.delete("costs/a.json")
        assert storage.keys() == [
            "checkpoints/c/config.json",
            "checkpoints/c/manifest.json",
            "checkpoints/c/model/weights.safetensors",
            "embeddings/segment.bin",
            "empty",
            "probes/a.parquet",
        ]
    struck = sum(proxy.n_struck.values())
    assert struck > 0 or faults in (FAULTS["healthy"], FAULTS["slow"])


def test_a_server_that_only_fails_leaves_nothing_and_is_not_taken_for_damage(
    s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(s3.root)
    storage.write_table("probes/a.parquet", TABLE)
    monkeypatch.setattr(remote_storage, "S3_ATTEMPTS", 2)
    monkeypatch.setattr(remote_storage, "FIRST_WAIT_S", 0.01)
    with s3.failing(Faults(error_share=1.0)) as proxy, pointed_at(proxy.endpoint):
        for write in (
            lambda: storage.write_json("x.json", 1),
            lambda: storage.write_table("t.parquet", TABLE),
        ):
            with pytest.raises(OSError, match="AWS Error") as error:
                write()
            assert SECRET_KEY not in str(error.value)
        with pytest.raises(OSError, match="AWS Error"), storage.writing("large") as path:
            path.write_bytes(bytes(MULTIPART_BYTES))
        with pytest.raises(OSError, match="AWS Error"), storage.writing_folder("m") as folder:
            (folder / "a").write_text("a")
        for read in (storage.read_table, lambda key: is_done(storage, key)):
            with pytest.raises(OSError, match="AWS Error") as error:
                read("probes/a.parquet")
            assert not isinstance(error.value, CorruptArtefactError)
    assert storage.keys() == ["probes/a.parquet"]
    assert is_done(storage, "probes/a.parquet"), "it was not deleted"


def test_a_writer_killed_in_the_middle_of_an_upload_leaves_nothing(s3: S3Server) -> None:
    code = f"""
import os
from cluster.storage import Storage
with Storage({s3.root!r}).writing_folder("m") as folder:
    (folder / "large").write_bytes(os.urandom({MULTIPART_BYTES}))
    print("uploading", flush=True)
"""
    with s3.failing(Faults(delay_s=1.0)) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            env=os.environ | s3_environment(proxy.endpoint),
        )
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while proxy.n_requests < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        assert proxy.n_requests >= 2, "killed after the first request of the upload"
    assert Storage(s3.root).keys() == []
    assert not Storage(s3.root).exists("m")


def test_a_sweep_on_s3_that_fails_gives_the_table_of_one_on_a_folder(
    s3: S3Server, undisturbed_sweep: tuple[Path, Path], tmp_path: Path
) -> None:
    import sweep_runs
    from pilot_runs import IDENTITY_COLUMNS, UNSTABLE_COLUMNS, probe_table

    from probes.sweep.sweep import load_results

    inputs, undisturbed = undisturbed_sweep
    with s3.failing(Faults(error_share=0.05, lost_share=0.02, seed=4)) as proxy:
        command = [sys.executable, sweep_runs.__file__, str(inputs), s3.root]
        environment = os.environ | s3_environment(proxy.endpoint)
        result = subprocess.run(
            command,
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=900,
            cwd=tmp_path,
        )
    assert result.returncode == 0, result.stderr
    assert proxy.n_struck["error"] > 0
    for printed in (
        result.stdout,
        result.stderr,
        *(path.read_text() for path in tmp_path.rglob("*.log")),
    ):
        assert SECRET_KEY not in printed
    frame = load_results(Storage(s3.root)).to_pandas()
    assert not frame.duplicated(IDENTITY_COLUMNS).any()
    frame = frame.drop(columns=UNSTABLE_COLUMNS).sort_values(IDENTITY_COLUMNS, ignore_index=True)
    pd.testing.assert_frame_equal(frame, probe_table(undisturbed))


@pytest.mark.skipif(
    not is_operator_built(),
    reason="DeepSpeed's CPU operator is not compiled: python -m cluster.deepspeed_engine",
)
def test_pretraining_on_s3_that_fails_gives_the_checkpoint_of_one_on_a_folder(
    s3: S3Server, undisturbed_pretraining: Path
) -> None:
    import pretrain_runs
    import torch

    with s3.failing(Faults(error_share=0.05, seed=5)) as proxy:
        command = [sys.executable, pretrain_runs.__file__, s3.root]
        environment = os.environ | s3_environment(proxy.endpoint)
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, timeout=900)
    assert proxy.n_struck["error"] > 0
    assert Storage(s3.root).keys("ray") == [], (
        "training states are gone when the checkpoint is there"
    )
    (model, _), (expected, _) = (
        pretrain_runs.model_of(s3.root),
        pretrain_runs.model_of(str(undisturbed_pretraining)),
    )
    for (name, ours), theirs in zip(model.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=lambda text, at=name: f"{at}: {text}")
