"""Runs of the smoke pilot as a user starts it: a process of its own, watched through its files."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq

from probes.sweep.results import IDENTITY_COLUMNS

TIMEOUT_S = 1500
UNSTABLE_COLUMNS = ["fit_seconds", "run_id", "created_at"]
"""What two runs of the same probes may differ in."""


def start_pilot(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """The smoke pilot on `out`, running."""
    command = [
        sys.executable,
        "-m",
        "ray_jobs.cli",
        "pilot",
        "--preset",
        "smoke",
        "--out",
        str(out),
        *arguments,
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"COLUMNS": "160"},
    )


def finish(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for the end of a run."""
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)


def stop_when(
    process: subprocess.Popen[str], reached: Path, n_files: int, how: signal.Signals
) -> bool:
    """Send `how` to the run once `reached` holds `n_files` files or more; False when it ended by
    itself before."""
    deadline = time.monotonic() + TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        if reached.is_dir() and sum(path.is_file() for path in reached.rglob("*")) >= n_files:
            process.send_signal(how)
            process.communicate(timeout=120)
            return True
        time.sleep(0.05)
    return False


def probe_table(out: Path) -> pd.DataFrame:
    """Every probe of a run, in a fixed order, without what may differ between runs. Asserts that no
    probe is there twice."""
    frame = pd.concat(
        [pq.read_table(path).to_pandas() for path in sorted((out / "probes").glob("*.parquet"))],
        ignore_index=True,
    )
    assert not frame.duplicated(IDENTITY_COLUMNS).any()
    return frame.drop(columns=UNSTABLE_COLUMNS).sort_values(IDENTITY_COLUMNS, ignore_index=True)


def snapshot(out: Path) -> dict[str, int]:
    """Modification time (ns) of every artefact that must not be made twice."""
    kept = (
        "tasks",
        "texts",
        "tokenizers",
        "corpora",
        "checkpoints",
        "encoders",
        "embeddings",
        "probes",
        "observations",
    )
    kept += ("metamodels", "evaluations", "search", "characterizations")
    return {
        str(path): path.stat().st_mtime_ns
        for name in kept
        for path in (out / name).rglob("*")
        if path.is_file()
    }
