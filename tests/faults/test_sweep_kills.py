"""A sweep whose driver, trials and other workers are killed again and again ends with the table of
one that was left alone."""

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from chaos import make_more_work
from pilot_runs import probe_table
from sweep_runs import write_inputs

from probes.sweep.partial import PART_SECONDS

pytestmark = pytest.mark.slow

N_KILLS = 20
MAX_LOST_S = 10.0
TIMEOUT_S = 900


def start(inputs: Path, out: Path) -> subprocess.Popen[str]:
    """The sweep, running, with its probes about to be fitted (or over already)."""
    command = [
        sys.executable,
        str(Path(__file__).with_name("sweep_runs.py")),
        str(inputs),
        str(out),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    return process


def workers(process: subprocess.Popen[str], name: str) -> list[psutil.Process]:
    """Ray's worker processes below the driver whose title holds `name`."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            title = " ".join(child.cmdline())
            if title.startswith("ray::") and name in title:
                found.append(child)
    return sorted(found, key=lambda worker: worker.pid)


def most_work_lost_s(out: Path) -> float:
    """What one kill can cost: the finished groups of probes that wait to be published, and the
    longest group in the making."""
    frame = pd.concat(pd.read_parquet(path) for path in (out / "probes").glob("*.parquet"))
    group = ["task", "encoder", "layer", "pooling", "n_train", "subset"]
    return PART_SECONDS + float(frame.groupby(group)["fit_seconds"].sum().max())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


def test_twenty_kills_change_nothing(inputs, tmp_path):
    assert start(inputs, tmp_path / "undisturbed").wait(TIMEOUT_S) == 0
    assert most_work_lost_s(tmp_path / "undisturbed") <= MAX_LOST_S
    out, generator = tmp_path / "killed", random.Random(0)
    plan = ["driver"] * 6 + ["trial"] * 10 + ["worker"] * 4
    generator.shuffle(plan)
    hits: list[str] = []
    process = start(inputs, out)
    deadline = time.monotonic() + TIMEOUT_S
    while len(hits) < N_KILLS and time.monotonic() < deadline:
        target = plan[len(hits)]
        time.sleep(generator.uniform(0.2, 1.5))
        if (
            process.poll() is not None
        ):  # over, or given up after too many kills of one piece of work: the user's next command
            make_more_work(out, generator)
            process = start(inputs, out)
            continue
        victims = (
            workers(process, "Trainable")
            if target == "trial"
            else workers(process, "")
            if target == "worker"
            else []
        )
        if target != "driver" and not victims:
            continue
        if target == "driver":
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            process = start(inputs, out)
        else:
            with contextlib.suppress(psutil.NoSuchProcess):
                generator.choice(victims).kill()
        hits.append(target)
    assert len(hits) == N_KILLS and set(hits) == {"driver", "trial", "worker"}
    code = process.wait(TIMEOUT_S)
    while code != 0 and time.monotonic() < deadline:
        code = start(inputs, out).wait(TIMEOUT_S)
    assert code == 0
    pd.testing.assert_frame_equal(probe_table(out), probe_table(tmp_path / "undisturbed"))
    assert not [path for path in out.glob("parts/**/*") if path.is_file()]
