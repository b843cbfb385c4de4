"""A sweep as TensorBoard shows it. Each probe of an embedding space of a task is a run, and is
written when its block of probes is done.

In the Scalars tab a run is a learning curve (the step is n_train); in the HParams tab it is a row:
task, encoder, layer, pooling, probe, and the metrics at the largest n_train. Invariant: a run is
one small file that is published whole and once. Its name is made of its block's key, so a resumed
sweep writes no point twice. TensorBoard only shows results: the sweep goes on where it fails.
"""

import math
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

from cluster.storage import Storage
from probes.sweep.planned_block import PlannedBlock

FOLDER = "tensorboard"
MAX_RUNS = 1000
"""TensorBoard is slow with more runs. A larger sweep shows only every second space of its tasks, or
every third, and so on."""
SHOWN_METRICS = ("accuracy", "macro_f1", "log_loss", "ece", "auroc")
_COLUMNS = ["n_train", "subset", "seed", "probe", "C_selected", "created_at", *SHOWN_METRICS]


class SweepBoard:
    """Writes the runs of a sweep in its own thread. A context manager: its end waits until
    everything is written."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="tensorboard")
        self._there: set[str] | None = None
        self._chosen: set[str] = set()

    def __enter__(self) -> "SweepBoard":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._thread.shutdown(wait=True, cancel_futures=exc_info[0] is not None)

    def plan(self, blocks: Sequence[PlannedBlock]) -> None:
        """Called before the blocks are run. Where there are too many, only some are shown."""
        n_runs = sum(len(block["spec"]["probes"]) for block in blocks)
        in_order = sorted(
            blocks,
            key=lambda block: (
                block["task"],
                block["encoder_name"],
                block["layer"],
                block["pooling"],
            ),
        )
        self._chosen |= {
            block["key"] for block in in_order[:: max(1, math.ceil(n_runs / MAX_RUNS))]
        }

    def add(self, blocks: Sequence[PlannedBlock]) -> None:
        """Called when these blocks are done. What is shown already is not written again."""
        shown = [block for block in blocks if block["key"] in self._chosen]
        if shown:
            self._thread.submit(self._write, shown).add_done_callback(_warn)

    def _write(self, blocks: Sequence[PlannedBlock]) -> None:
        if self._there is None:
            self._there = set(self._storage.keys(FOLDER))
        for block in blocks:
            missing = {
                probe
                for probe in block["spec"]["probes"]
                if _event_key(block, probe) not in self._there
            }
            if missing:
                self._write_block(block, missing)

    def _write_block(self, block: PlannedBlock, probes: set[str]) -> None:
        rows = self._storage.read_table(block["key"], _COLUMNS).to_pandas()
        subset = block["spec"]["subsets"][0]
        rows = rows[rows.C_selected & (rows.subset == subset) & rows.probe.isin(probes)]
        for probe, own in rows.groupby("probe"):
            key = _event_key(block, probe)
            self._storage.write_bytes(key, event_file(block, probe, own))
            for other in self._storage.keys(key.rpartition("/")[0]):
                if (
                    other != key
                    # from a sweep with other settings: TensorBoard would show both files as one
                    # curve
                ):
                    self._storage.delete(other)


def event_file(block: PlannedBlock, probe: str, rows: pd.DataFrame) -> bytes:
    """TensorBoard's event file of one run: the mean over the seeds of each metric at each n_train.
    `rows` are those of `probe` with the chosen C (columns n_train, created_at and the metrics)."""
    from tensorboardX.record_writer import RecordWriter

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events"
        writer = RecordWriter(str(path))
        for event in _events(block, probe, rows):
            writer.write(event.SerializeToString())
        writer.close()
        return path.read_bytes()


def _events(block: PlannedBlock, probe: str, rows: pd.DataFrame) -> Iterator[Any]:
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.summary import hparams, scalar

    wall_time = rows.created_at.max().timestamp()
    yield Event(wall_time=wall_time, file_version="brain.Event:2")
    parameters = {
        "task": block["task"],
        "encoder": block["encoder_name"],
        "layer": int(block["layer"]),
        "pooling": block["pooling"],
        "probe": probe,
        "n_train": int(rows.n_train.max()),
        "n_seeds": int(rows.seed.nunique()),
    }
    for summary in hparams(parameters, dict.fromkeys(SHOWN_METRICS)):
        yield Event(wall_time=wall_time, summary=summary)
    means = rows.groupby("n_train")[list(SHOWN_METRICS)].mean()
    for n_train, values in zip(means.index.tolist(), means.to_numpy(), strict=True):
        for metric, value in zip(SHOWN_METRICS, values, strict=True):
            if not math.isnan(value):
                yield Event(wall_time=wall_time, step=int(n_train), summary=scalar(metric, value))


def _event_key(block: PlannedBlock, probe: str) -> str:
    space = f"layer{block['layer']}-{block['pooling']}"
    names = [
        re.sub(r"[^\w.-]+", "_", name)
        for name in (block["task"], block["encoder_name"], space, probe)
    ]
    return f"{FOLDER}/{'/'.join(names)}/events.out.tfevents.{Path(block['key']).stem}"


def _warn(writing: Future[None]) -> None:
    if not writing.cancelled() and writing.exception() is not None:
        warnings.warn(f"TensorBoard's files are not complete: {writing.exception()}", stacklevel=1)
