"""fan_out and search on the shared Ray."""

import tempfile
import threading
from pathlib import Path
from typing import Any

import cluster_work as work
import pytest

SPACE = {"lr": ("loguniform", 1e-5, 1e-1), "depth": ("choice", [2, 4, 8])}


def test_results_in_order_and_as_they_come(
    local_ray: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cluster.tune import fan_out

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    configs = [{"x": x} for x in range(12)]
    seen, lock = [], threading.Lock()  # a lock cannot be pickled: on_done must stay in this process

    def on_done(outcome: Any) -> None:
        with lock:
            seen.append(outcome)

    outcomes = fan_out(work.square, configs, name="squares", on_done=on_done)
    assert [outcome.config for outcome in outcomes] == configs
    assert [outcome.result["square"] for outcome in outcomes] == [x**2 for x in range(12)]
    assert all(outcome.error is None and outcome.result["numpy"] == 0.5 for outcome in outcomes)
    assert sorted(outcome.config["x"] for outcome in seen) == list(range(12))
    assert len({outcome.result["pid"] for outcome in outcomes}) <= 2, "workers are reused"
    assert list(tmp_path.iterdir()) == [], "Tune's own folder is gone"
    assert "".join(capfd.readouterr()) == "", "nothing on the terminal"


def test_waves_end_as_one_run(local_ray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cluster import tune

    monkeypatch.setattr(tune, "MAX_TRIALS", 4)
    seen: list[Any] = []
    outcomes = tune.fan_out(
        work.square, [{"x": x} for x in range(9)], name="waves", on_done=seen.append
    )
    assert [outcome.result["square"] for outcome in outcomes] == [x**2 for x in range(9)]
    assert sorted(outcome.config["x"] for outcome in seen) == list(range(9))


@pytest.mark.ray  # imports it
def test_nothing_to_do_needs_no_ray() -> None:
    from cluster.tune import fan_out

    assert fan_out(work.square, [], name="none") == []


def test_failures_are_data(local_ray: Path, tmp_path: Path) -> None:
    from cluster.tune import fan_out

    hows = [
        "fine",
        "always",
        "user_error",
        "first_time_only",
        "kills_its_process",
        "kills_its_process_once",
        "not_json",
        "fine",
    ]
    configs = [
        {"name": f"c{i}", "how": how, "tries": str(tmp_path / f"{i}.txt")}
        for i, how in enumerate(hows)
    ]
    outcomes = fan_out(work.fail_as_told, configs, name="failures", max_failures=1)
    tries = [len((tmp_path / f"{i}.txt").read_text().splitlines()) for i in range(len(hows))]
    by_how = {how: (outcome, n) for how, outcome, n in zip(hows, outcomes, tries, strict=True)}
    assert by_how["fine"][0].result == {"n_tries": 1}
    assert by_how["always"] == (by_how["always"][0], 2)
    assert by_how["always"][0].error == "ValueError: bad luck with c1"
    assert by_how["always"][0].result is None
    assert by_how["user_error"][0].error == "table.csv, row 3: no label; fill it in"
    assert by_how["user_error"][1] == 1, "a user's mistake is not tried again"
    assert by_how["first_time_only"][0].result == {"n_tries": 2}
    assert "died" in by_how["kills_its_process"][0].error
    assert by_how["kills_its_process"][1] == 2
    assert by_how["kills_its_process_once"][0].result == {"n_tries": 2}
    assert "JSON" in by_how["not_json"][0].error


def test_threads_follow_cpus(local_ray: Path, tmp_path: Path) -> None:
    from cluster.tune import fan_out

    (outcome,) = fan_out(work.count_threads, [{}], name="threads", cpus=1.0)
    assert outcome.result["omp"] == "1"
    assert outcome.result["blas"]
    assert set(outcome.result["blas"]) == {1}


def test_search_finds_and_goes_on_where_it_was(local_ray: Path, tmp_path: Path) -> None:
    from cluster.tune import search

    options: dict[str, Any] = {"metric": "loss", "mode": "min", "seed": 3, "name": "search"}
    seen: list[Any] = []
    whole = search(work.parabola, SPACE, n_trials=12, on_done=seen.append, **options)
    assert len(whole) == len(seen) == 12
    assert all(
        1e-5 <= outcome.config["lr"] <= 1e-1 and outcome.config["depth"] in (2, 4, 8)
        for outcome in whole
    )
    assert min(outcome.result["loss"] for outcome in whole[5:]) <= min(
        outcome.result["loss"] for outcome in whole[:5]
    )
    known = [(outcome.config, outcome.result) for outcome in whole[:7]]
    rest = search(work.parabola, SPACE, n_trials=5, known=known, **options)
    assert whole[:7] + rest == whole, "an interrupted search ends as the uninterrupted one"
    assert search(work.parabola, SPACE, n_trials=0, known=known, **options) == []
    with pytest.raises(ValueError, match="16"):
        search(
            work.parabola,
            SPACE,
            n_trials=1,
            known=[({"lr": 1e-3, "depth": 16}, {"loss": 1.0})],
            **options,
        )


def test_search_reports_unusable_metrics(local_ray: Path, tmp_path: Path) -> None:
    from cluster.tune import search

    space = {"depth": ("choice", [2, 4])}
    outcomes = search(
        work.sometimes_nan,
        space,
        metric="loss",
        mode="max",
        n_trials=6,
        seed=0,
        name="nan",
        max_failures=0,
    )
    assert len(outcomes) == 6
    assert {outcome.config["depth"] for outcome in outcomes} == {2, 4}
    for outcome in outcomes:
        assert (
            (outcome.error is not None and "finite" in outcome.error)
            if outcome.config["depth"] == 2
            else outcome.result
        )


@pytest.mark.ray  # imports it
def test_space_descriptions() -> None:
    from cluster.optuna_search import distributions

    found = distributions({"a": ("int", 1, 8), "b": ("logint", 1, 64), "c": ("uniform", 0.0, 1.0)})
    assert (found["a"].low, found["a"].high, found["b"].log, found["c"].log) == (1, 8, True, False)
    with pytest.raises(ValueError, match="lognormal"):
        distributions({"a": ("lognormal", 0, 1)})
