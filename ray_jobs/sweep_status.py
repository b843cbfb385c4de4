"""The status of a running sweep, as a small file. The sweep's driver keeps it up to date, and other
processes read it."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cluster.storage import Storage
from probes.sweep.cost import n_probes
from probes.sweep.planned_block import PlannedBlock
from ray_jobs.counters import PROBES
from ray_jobs.tensorboard import SweepBoard

STATUS_KEY = "status/sweep.json"
WRITE_EVERY_S = 2.0


class SweepStatus(BaseModel):
    """How far a sweep is."""

    model_config = ConfigDict(frozen=True)

    state: Literal["running", "done", "stopped"]
    """`stopped` by an error or by hand. A driver that was killed leaves `running` here, and
    `updated_at` no longer changes."""
    started_at: datetime
    updated_at: datetime
    n_planned: int
    """Number of probes of all blocks. It grows when a second pass begins (`sweep.logistic_where:
    contenders`)."""
    n_done: int
    """Number of probes in published blocks."""
    n_found: int
    """How many of these an earlier run of the sweep had published."""

    @property
    def probes_per_s(self) -> float:
        """Probes per second since this run began. 0 where it is not known yet."""
        seconds = (self.updated_at - self.started_at).total_seconds()
        return (self.n_done - self.n_found) / seconds if seconds > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Seconds until everything planned is done at this speed. None where it is not known
        yet."""
        return (self.n_planned - self.n_done) / self.probes_per_s if self.probes_per_s > 0 else None


class SweepWatch:
    """Reports the progress of a sweep to the status file, TensorBoard and Prometheus. A context
    manager that is open while the sweep runs."""

    def __init__(self, storage: Storage):
        self._storage = storage
        self._board = SweepBoard(storage)
        self._started_at = datetime.now(UTC)
        self._n_planned = self._n_done = self._n_found = 0
        self._written_at: float | None = None

    def __enter__(self) -> "SweepWatch":
        self._board.__enter__()
        return self

    def __exit__(self, *exc_info: Any) -> None:
        try:
            self._board.__exit__(*exc_info)
        finally:
            if self._written_at is not None:
                self._write("done" if exc_info[0] is None else "stopped")

    def plan(self, blocks: Sequence[PlannedBlock], missing: Sequence[PlannedBlock]) -> None:
        """Called when a pass over `blocks` begins. `missing` are the blocks that it will fit."""
        absent = {block["key"] for block in missing}
        found = [block for block in blocks if block["key"] not in absent]
        n_found = sum(map(n_probes, found))
        self._n_planned += n_found + sum(map(n_probes, missing))
        self._n_done += n_found
        self._n_found += n_found
        self._board.plan(blocks)
        self._board.add(found)
        if missing:
            self._write("running")

    def done(self, blocks: Sequence[PlannedBlock]) -> None:
        """Called when these blocks are fitted and published."""
        n_fitted = sum(map(n_probes, blocks))
        self._n_done += n_fitted
        PROBES.add(n_fitted)
        self._board.add(blocks)
        if self._written_at is None or time.monotonic() - self._written_at >= WRITE_EVERY_S:
            self._write("running")

    def _write(self, state: Literal["running", "done", "stopped"]) -> None:
        status = SweepStatus(
            state=state,
            started_at=self._started_at,
            updated_at=datetime.now(UTC),
            n_planned=self._n_planned,
            n_done=self._n_done,
            n_found=self._n_found,
        )
        self._storage.write_json(STATUS_KEY, status.model_dump(mode="json"))
        self._written_at = time.monotonic()
