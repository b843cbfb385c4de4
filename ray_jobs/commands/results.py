"""`neoberta results`: the table of a study's probes. It is printed once, or kept up to date while
the sweep runs. It reads only the storage, so any machine that sees the storage can show it."""

import contextlib
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
from pydantic import ValidationError
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cluster.storage import Storage, UserError
from neoberta.near_miss import did_you_mean
from probes.metrics import LOWER_IS_BETTER, METRICS
from probes.sweep.results import IDENTITY_COLUMNS
from ray_jobs.sweep_status import STATUS_KEY, SweepStatus

READ_EVERY_S = 2.0
SILENT_AFTER_S = 60.0
"""A running sweep whose status is older than this may have been killed."""
PIPE_WIDTH = 160
"""Columns of characters in a file or pipe, where no line is folded."""


class ResultsTable:
    """The best view of each encoder on each task by its ridge probes, from the blocks that were
    published so far."""

    def __init__(self, storage: Storage, metric: str):
        if metric not in METRICS:
            raise UserError(
                f"--metric {metric}: unknown; choose {', '.join(METRICS[:-1])} or {METRICS[-1]}"
                f"{did_you_mean(metric, METRICS)}"
            )
        self._storage, self._metric = storage, metric
        self._columns = [*IDENTITY_COLUMNS, "C_selected", metric]
        self._read: set[str] = set()
        self._chosen: list[pd.DataFrame] = []
        self.n_probes = 0
        """Rows read so far."""

    def read_new(self) -> bool:
        """Read the blocks that were published since the last call. Returns whether there were any.
        Raises CorruptArtefactError."""
        new = [key for key in self._storage.keys("probes") if key not in self._read]
        for key in new:
            rows = (
                self._storage.read_table(key, self._columns)
                .to_pandas()
                .reindex(columns=self._columns)
            )
            self.n_probes += len(rows)
            self._chosen.append(rows[rows.C_selected & (rows.probe == "ridge")])
            self._read.add(key)
        return bool(new)

    def table(self) -> Table:
        """The table of the blocks that were read."""
        title = f"{self._metric}, best view of each encoder, {self.n_probes:,} probes"
        best = self._best()
        table = Table(title=title, title_justify="left", header_style="bold")
        for column in ("task", "encoder", "layer", "pooling", *(f"n={n}" for n in best.columns)):
            table.add_column(column, overflow="fold")
        for index, row in zip(best.index, best.to_numpy(), strict=True):
            table.add_row(
                *(escape(str(part)) for part in index),
                *("" if np.isnan(value) else f"{value:.3f}" for value in row),
            )
        return table

    def _best(self) -> pd.DataFrame:
        """Mean metric by n_train (columns) of the best view of each (task, encoder) (rows)."""
        if not any(map(len, self._chosen)):
            return pd.DataFrame()
        chosen = pd.concat(self._chosen).drop_duplicates(IDENTITY_COLUMNS)
        means = (
            chosen.groupby(["task", "encoder", "layer", "pooling", "n_train"])[self._metric]
            .mean()
            .unstack("n_train")
        )
        in_order = means.sort_values(means.columns.max(), ascending=self._metric in LOWER_IS_BETTER)
        return in_order.groupby(level=["task", "encoder"]).head(1).sort_index()


def show_results(out: str, metric: str) -> None:
    """Print the table once. Raises UserError where there are no results."""
    storage = Storage(out)
    results = ResultsTable(storage, metric)
    if not results.read_new():
        raise UserError(
            f"{storage.uri}: no probe results there; run `neoberta sweep CONFIG.yaml --out {out}`"
            " first"
        )
    _console().print(results.table())


def watch_results(
    out: str, metric: str, *, every_s: float = READ_EVERY_S, console: Console | None = None
) -> None:
    """Follow a sweep until it ends. A terminal shows the table and a bar. Elsewhere single lines
    are printed, and the table at the end. A sweep that has not begun is waited for. Ctrl-C ends
    this command and not the sweep. Raises UserError."""
    storage, console = Storage(out), console or _console()
    results = ResultsTable(storage, metric)
    with (
        Live(console=console, auto_refresh=False)
        if console.is_terminal
        else contextlib.nullcontext()
    ) as live:
        said, is_running = "", True
        while is_running:
            status = read_status(storage)
            is_running = status is None or status.state == "running"
            has_new = results.read_new()
            line = status_line(status, datetime.now(UTC))
            if live is not None:
                live.update(_screen(results, status, line), refresh=True)
            elif line != said and (has_new or not is_running or not said):
                console.print(line, highlight=False, markup=False)
                said = line
            if is_running:
                time.sleep(every_s)
    if live is None:
        console.print(results.table())


def read_status(storage: Storage) -> SweepStatus | None:
    """The status of the study's last sweep. None before the first one. Raises UserError where the
    file holds something else."""
    if not storage.exists(STATUS_KEY):
        return None
    try:
        return SweepStatus.model_validate(storage.read_json(STATUS_KEY))
    except (ValidationError, ValueError) as error:
        raise UserError(
            f"{storage.uri}/{STATUS_KEY}: not a sweep's status; delete it"
            f" ({str(error).splitlines()[0]})"
        ) from error


def status_line(status: SweepStatus | None, now: datetime) -> str:
    """One line: the probes that are done, probes a second, the time left."""
    if status is None:
        return "no sweep has begun there yet"
    line = f"{status.n_done:,} of {status.n_planned:,} probes"
    if status.state != "running":
        return f"{line}, {status.state}"
    silent_s = (now - status.updated_at).total_seconds()
    if silent_s > SILENT_AFTER_S:
        return (
            f"{line}; nothing new for {timedelta(seconds=round(silent_s))}: a long block, or the"
            " sweep was killed"
        )
    if status.left_s is None:
        return line
    return (
        f"{line}, {status.probes_per_s:,.0f} a second, about"
        f" {timedelta(seconds=round(status.left_s))} left"
    )


def _screen(results: ResultsTable, status: SweepStatus | None, line: str) -> Group:
    bar = (
        ProgressBar(total=max(1, status.n_planned), completed=status.n_done, width=40)
        if status
        else Text("")
    )
    return Group(results.table(), bar, Text(line))


def _console() -> Console:
    console = Console()
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console
