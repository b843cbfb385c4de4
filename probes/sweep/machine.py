"""How fast this machine fits probes, compared with the machine to which the constants of
`probes.sweep.cost` were fitted."""

import time

import numpy as np

from probes.encoders.base import EncoderInfo
from probes.sweep.cost import block_seconds
from probes.sweep.planned_block import BlockContent
from probes.sweep.spec import SweepSpec
from probes.sweep.sweep import probe_block

N_ROWS, N_COLUMNS, N_CLASSES = 600, 384, 6
SPEC = SweepSpec(sizes=(32, 128, 256), n_seeds=2, logistic_sizes=(32, 256), logistic_n_seeds=1)


IDLE_MACHINE_SHARE = 0.66
"""The time of a process that has the machine to itself, as a share of its time when every core is
busy (with shared caches and hyper-threads)."""


def machine_factor() -> float:
    """The time that a block takes here with all cores busy, divided by what `block_seconds`
    predicts. A small block is run in this thread, with torch's threads. Takes about a second."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, N_CLASSES, 2 * N_ROWS)
    centres = generator.standard_normal((N_CLASSES, N_COLUMNS))
    X = (centres[y] + 2 * generator.standard_normal((2 * N_ROWS, N_COLUMNS))).astype(np.float32)
    nameless = EncoderInfo("", "", "", 0, N_COLUMNS, 0, 0, ())
    block: BlockContent = {
        "task": "",
        "task_fingerprint": "",
        "task_family": "",
        "encoder_name": "",
        "encoder": nameless.facts,
        "layer": 0,
        "pooling": "",
        "n_train": N_ROWS,
        "n_test": N_ROWS,
        "n_columns": N_COLUMNS,
        "n_classes": N_CLASSES,
        "spec": SPEC.model_dump(mode="json"),
    }
    seconds = []
    for _ in range(4):  # the first run loads and allocates; other work may slow down any of them
        started = time.perf_counter()
        probe_block(X[:N_ROWS], y[:N_ROWS], X[N_ROWS:], y[N_ROWS:], block)
        seconds.append(time.perf_counter() - started)
    return min(seconds) / IDLE_MACHINE_SHARE / block_seconds(block)
