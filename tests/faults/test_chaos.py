"""A sweep and a pretraining run on a cluster whose nodes and workers are killed at random, and
their driver too, end as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from chaos import NODE, WORKER, kill_one, make_more_work, victims, wait_until
from pilot_runs import probe_table

from cluster.deepspeed_engine import is_operator_built
from cluster.local import LocalCluster, local_cluster

pytestmark = pytest.mark.cluster

N_KILLS = 20
TIMEOUT_S = 1500.0
TRIAL = "_Trial"
"""In the titles of the processes that fit probes."""
TRAIN_WORKER = "RayTrainWorker"
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    with local_cluster(max_nodes=3, cpus_per_node=2, idle_timeout_s=600) as started:
        yield started


def start(cluster: LocalCluster, script: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / script), *map(str, arguments), cluster.address]
    with open(cluster.folder / f"{script}.err", "a") as errors:
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | cluster.environment,
        )


def start_sweep(cluster: LocalCluster, inputs: Path, out: Path) -> subprocess.Popen[str]:
    """The sweep, with its probes about to be fitted (or over already)."""
    process = start(cluster, "sweep_runs.py", inputs, out)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def test_a_sweep_loses_nothing_and_does_nothing_twice(cluster, undisturbed_sweep, tmp_path):
    inputs, undisturbed = undisturbed_sweep
    out, generator = tmp_path / "out", random.Random(1)
    expected = probe_table(undisturbed)
    assert len(expected) >= 5000
    plan = ["driver"] * 4 + [NODE] * 4 + [WORKER] * 12
    generator.shuffle(plan)
    hits: list[str] = []
    deadline = time.monotonic() + TIMEOUT_S
    process = start_sweep(cluster, inputs, out)
    while len(hits) < N_KILLS and time.monotonic() < deadline:
        time.sleep(generator.uniform(0.1, 1.0))
        if (
            process.poll() is not None
        ):  # over, or given up after too many kills of one piece of work: the user's next command
            make_more_work(out, generator)
            process = start_sweep(cluster, inputs, out)
        elif plan[len(hits)] == "driver":
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            process = start_sweep(cluster, inputs, out)
            hits.append("driver")
        elif victims(cluster, WORKER, TRIAL) and kill_one(
            cluster, plan[len(hits)], generator, TRIAL
        ):
            hits.append(plan[len(hits)])
    assert hits == plan
    code = process.wait(TIMEOUT_S)
    while code != 0 and time.monotonic() < deadline:
        code = start_sweep(cluster, inputs, out).wait(TIMEOUT_S)
    assert code == 0
    pd.testing.assert_frame_equal(
        probe_table(out), expected
    )  # which also looks for probes that are there twice
    assert not [path for path in out.glob("parts/**/*") if path.is_file()]


@pytest.mark.skipif(
    not is_operator_built(),
    reason="DeepSpeed's CPU operator is not compiled: python -m cluster.deepspeed_engine",
)
def test_pretraining_goes_on_from_its_last_checkpoint(cluster, undisturbed_pretraining, tmp_path):
    import torch
    from pretrain_runs import EVERY, N_STEPS, model_of

    generator, said = random.Random(2), []
    runs: list[tuple[subprocess.Popen[str], threading.Thread, int]] = []

    def restart() -> None:
        process = start(cluster, "pretrain_runs.py", tmp_path)
        listener = threading.Thread(target=lambda: said.extend(process.stdout), daemon=True)
        listener.start()
        runs.append((process, listener, len(said)))

    def steps_since(first: int) -> list[int]:
        return [int(line.split()[1]) for line in said[first:] if line.startswith("step")]

    def has_ended_or_gone_on(first: int) -> bool:
        has_state = any(tmp_path.glob("ray/*/checkpoint_*"))
        return runs[-1][0].poll() is not None or (has_state and len(steps_since(first)) >= EVERY)

    restart()
    for target in (WORKER, NODE, "driver", WORKER):
        seen = len(said)
        wait_until(
            lambda seen=seen: has_ended_or_gone_on(seen),
            TIMEOUT_S,
            "progress of the pretraining run",
        )
        process, listener, _ = runs[-1]
        assert process.poll() is None, "over before the kills were"
        if target == "driver":
            process.send_signal(signal.SIGKILL)
            process.wait(30)
            listener.join()
            restart()
        else:
            assert kill_one(cluster, target, generator, TRAIN_WORKER)
    process, listener, first = runs[-1]
    assert process.wait(TIMEOUT_S) == 0
    listener.join()
    resumed = steps_since(first)
    assert resumed[0] > EVERY, "the second driver went on from a checkpoint"
    assert resumed[-1] == N_STEPS
    (model, info), (undisturbed, expected) = model_of(tmp_path), model_of(undisturbed_pretraining)
    assert [point["step"] for point in info["history"]] == [
        point["step"] for point in expected["history"]
    ]
    for (name, ours), theirs in zip(
        model.named_parameters(), undisturbed.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, msg=lambda text, at=name: f"{at}: {text}")
