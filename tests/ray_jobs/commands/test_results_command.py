"""The table of results, once and while a sweep runs."""

import io
import threading
import time
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
import small_sweep
from rich.console import Console
from sweep_tables import SIZES, block, table

from cluster.storage import Storage, UserError
from ray_jobs.commands.results import (
    ResultsTable,
    read_status,
    show_results,
    status_line,
    watch_results,
)
from ray_jobs.sweep_status import STATUS_KEY, SweepStatus, SweepWatch

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def status(state: str = "running", n_done: int = 300, seconds: float = 100) -> SweepStatus:
    updated_at = START + timedelta(seconds=seconds)
    return SweepStatus(
        state=state,
        started_at=START,
        updated_at=updated_at,
        n_planned=1000,
        n_done=n_done,
        n_found=100,
    )


def printed(*, terminal: bool = False) -> Console:
    return Console(file=io.StringIO(), width=300, force_terminal=terminal)


def test_the_line_says_how_far_how_fast_and_how_long_still():
    assert status_line(None, START) == "no sweep has begun there yet"
    assert (
        status_line(status(), START + timedelta(seconds=101))
        == "300 of 1,000 probes, 2 a second, about 0:05:50 left"
    )
    assert status_line(status(n_done=100), START) == "100 of 1,000 probes"
    assert status_line(status("done", 1000), START) == "1,000 of 1,000 probes, done"
    assert "nothing new for 0:05:00" in status_line(status(), START + timedelta(seconds=400))


def test_the_best_view_of_each_encoder_as_blocks_come_in(tmp_path):
    storage = Storage(tmp_path)
    results = ResultsTable(storage, "accuracy")
    assert not results.read_new()
    blocks = [block(layer=layer) for layer in (0, 1)] + [block(task="c")]
    tables = [table(one, seed) for seed, one in enumerate(blocks)]
    for i, (one, rows) in enumerate(zip(blocks, tables, strict=True)):
        storage.write_table(one["key"], rows)
        assert results.read_new() and not results.read_new()
        assert results.n_probes == sum(map(len, tables[: i + 1]))
    rows = pd.concat([one.to_pandas() for one in tables])
    means = (
        rows[rows.C_selected & (rows.probe == "ridge")]
        .groupby(["task", "layer", "n_train"])
        .accuracy.mean()
        .unstack()
    )
    best = means.loc["a/b"].sort_values(SIZES[-1]).index[-1]
    console = printed()
    console.print(results.table())
    text = console.file.getvalue()
    (line,) = [line for line in text.splitlines() if "a/b" in line]
    assert line.replace("│", " ").split()[2:] == [
        str(best),
        "mean",
        *(f"{value:.3f}" for value in means.loc["a/b", best]),
    ]
    assert (
        sum("hf:enc" in line for line in text.splitlines()) == 2
        and f"{results.n_probes:,} probes" in text
    )


def test_mistakes_are_named(tmp_path):
    with pytest.raises(UserError, match="no probe results there"):
        show_results(str(tmp_path), "accuracy")
    with pytest.raises(UserError, match="--metric acuracy: unknown"):
        watch_results(str(tmp_path), "acuracy")
    (tmp_path / "status").mkdir()
    (tmp_path / STATUS_KEY).write_text("{}")
    with pytest.raises(UserError, match="not a sweep's status"):
        watch_results(str(tmp_path), "accuracy")


@pytest.mark.parametrize("terminal", [False, True])
def test_a_sweep_is_followed_from_before_it_begins_to_its_end(tmp_path, terminal):
    blocks, storage, console = (
        [block(layer=layer) for layer in range(3)],
        Storage(tmp_path),
        printed(terminal=terminal),
    )

    def sweep() -> None:
        time.sleep(0.2)
        with SweepWatch(storage) as watch:
            watch.plan(blocks, blocks)
            for seed, one in enumerate(blocks):
                time.sleep(0.1)
                storage.write_table(one["key"], table(one, seed))
                watch.done([one])

    thread = threading.Thread(target=sweep)
    thread.start()
    watch_results(str(tmp_path), "accuracy", every_s=0.02, console=console)
    thread.join()
    text = console.file.getvalue()
    n_probes = 3 * len(table(blocks[0]))
    assert "no sweep has begun there yet" in text
    assert (
        f"{n_probes} of {n_probes} probes, done" in text
        and f"{n_probes} probes" in text
        and "hf:enc" in text
    )


def test_a_sweep_that_failed_is_told_apart_from_one_that_ended(tmp_path):
    storage, one = Storage(tmp_path), block()
    with pytest.raises(RuntimeError), SweepWatch(storage) as watch:
        watch.plan([one], [one])
        assert read_status(storage).state == "running"
        raise RuntimeError("a worker")
    stopped = read_status(storage)
    assert (stopped.state, stopped.n_done) == ("stopped", 0) and stopped.left_s is None
    storage.write_table(one["key"], table(one))
    with SweepWatch(storage) as watch:  # run again where all is there: the last run's words stand
        watch.plan([one], [])
    assert read_status(storage) == stopped


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_real_sweep_is_followed_and_shown_in_tensorboard(tmp_path, local_ray, monkeypatch):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out, console = tmp_path / "out", printed()
    watching = threading.Thread(
        target=watch_results,
        args=(str(out), "accuracy"),
        kwargs={"every_s": 0.2, "console": console},
        daemon=True,
    )
    watching.start()
    monkeypatch.chdir(tmp_path)
    small_sweep.write_inputs(tmp_path)
    small_sweep.run(tmp_path, str(out))
    watching.join(30)
    assert not watching.is_alive()
    ended, frame = (
        read_status(Storage(out)),
        pd.concat(map(pd.read_parquet, (out / "probes").glob("*.parquet"))),
    )
    assert (
        ended.state == "done"
        and ended.n_planned == ended.n_done == len(frame)
        and ended.n_found == 0
    )
    text = console.file.getvalue()
    assert f"{len(frame)} of {len(frame)} probes, done" in text and all(
        task in text for task in set(frame.task)
    )
    runs = sorted((out / "tensorboard").rglob("events.out.tfevents.*"))
    assert len(runs) == len(frame.groupby(["task", "layer", "pooling", "probe"]))
    ridge = frame[frame.C_selected & (frame.probe == "ridge") & (frame.n_train == 64)]
    means = ridge.groupby(["task", "pooling"]).accuracy.mean()
    shown = [
        EventAccumulator(str(run.parent)).Reload().Scalars("accuracy")[-1]
        for run in runs
        if run.parent.name == "ridge"
    ]
    assert sorted(point.value for point in shown if point.step == 64) == pytest.approx(
        sorted(means)
    )
