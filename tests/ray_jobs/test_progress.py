import io

from rich.console import Console

from ray_jobs import progress
from ray_jobs.progress import StageProgress


def test_away_from_a_terminal_a_stage_says_where_it_is_and_what_it_made(monkeypatch):
    clock = iter([0.0, 0.0, 10.0, 20.0, 40.0, 41.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(clock))
    out = io.StringIO()
    shown = StageProgress(2, Console(file=out))
    with shown.stage("probes", lambda: "9 probes fitted") as report:
        report(1, 5)
        report(2, 5)
        report(4, 5)
    lines = out.getvalue().splitlines()
    assert lines == [
        "[1/2] probes: 2/5, about 30 s left",
        "[1/2] probes: 4/5, about 10 s left",
        "[1/2] probes: 9 probes fitted, 41.0 s",
    ]


def test_a_stage_that_fails_has_no_closing_line():
    out = io.StringIO()
    shown = StageProgress(1, Console(file=out))
    try:
        with shown.stage("probes"):
            raise RuntimeError("gone")
    except RuntimeError:
        assert out.getvalue() == ""
