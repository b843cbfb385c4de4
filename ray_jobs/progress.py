"""The progress of a long job. On a terminal each stage has a bar with the time left. Elsewhere
plain lines are printed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINE_EVERY_S = 15.0
"""Seconds between two lines of a running stage, where there is no terminal."""

ProgressCallback = Callable[[int, int], None]


class StageProgress:
    """Shows stages one after the other: `with progress.stage("embeddings") as report: report(done,
    total)`."""

    def __init__(self, n_stages: int, console: Console | None = None):
        self.console = console or Console(stderr=True, soft_wrap=True)
        self.n_stages = n_stages
        self._stage_idx = 0

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self.console.print(text, highlight=False, markup=False)

    @contextmanager
    def stage(self, title: str, made: Callable[[], str] = str) -> Iterator[ProgressCallback]:
        """Show one stage. Its closing line says what it `made` and how many seconds it took. A
        report with another total is another step, and the bar starts anew."""
        self._stage_idx += 1
        label = f"[{self._stage_idx}/{self.n_stages}] {title}"
        start = time.perf_counter()
        with self._bar(label) if self.console.is_terminal else self._lines(label) as report:
            yield report
        self.say(
            f"{label}: {', '.join(filter(None, [made(), f'{time.perf_counter() - start:.1f} s']))}"
        )

    @contextmanager
    def _bar(self, label: str) -> Iterator[ProgressCallback]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
        )
        left = (TextColumn("left"), TimeRemainingColumn())
        with Progress(*columns, *left, console=self.console, transient=True) as bar:
            task = bar.add_task(label.replace("[", r"\["), total=None)

            def report(done: int, total: int) -> None:
                known = bar.tasks[0].total
                if known is not None and known != total:
                    bar.reset(task, total=total)
                bar.update(task, completed=done, total=total)

            yield report

    @contextmanager
    def _lines(self, label: str) -> Iterator[ProgressCallback]:
        last = time.perf_counter()
        known_total, first_done, first_at = -1, 0, last

        def report(done: int, total: int) -> None:
            nonlocal last, known_total, first_done, first_at
            now = time.perf_counter()
            if total != known_total:  # another step, or the start-up, came before
                known_total, first_done, first_at = total, done, now
            if now - last >= LINE_EVERY_S and 0 < done < total:
                left_s = (
                    (now - first_at) / (done - first_done) * (total - done)
                    if done > first_done
                    else None
                )
                self.say(
                    f"{label}: {done}/{total}"
                    + ("" if left_s is None else f", about {left_s:.0f} s left")
                )
                last = now

        yield report
