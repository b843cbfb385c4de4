"""From a study's tables to what the report shows."""

import numpy as np
import pandas as pd
import pytest
from report_sample import ENCODERS, EXAMPLE, SIZES, TASKS, held_out, probe_results

from meta.metric import Metric
from meta.report.data import LearningCurve, MeasuredPoint, PilotReportData, display_name
from meta.report.study_view import encoder_means
from meta.report.svg import inline, short_count
from meta.report.tables import (
    MAX_POINTS,
    depth_curves,
    horizons,
    learning_curves,
    measured_spaces,
    regularisation_curves,
    stage_times,
)
from meta.report.wording import duration, number, parameters, percent, rate, rows_between


@pytest.fixture(scope="module")
def results() -> pd.DataFrame:
    return probe_results()


def test_learning_curves_choose_the_space_without_test_rows(results):
    spoilt = results.copy()
    here = (spoilt["task"] == "docs/library") & (spoilt["encoder"] == "neoberta:deep")
    spoilt.loc[here & (spoilt["layer"] == 0), "accuracy"] = 0.999  # the best on test rows
    spoilt.loc[here & (spoilt["layer"] == 1), "loo_accuracy"] = 1.0  # the best by leave-one-out
    curves = learning_curves(spoilt, names={"neoberta:deep": "deep"})
    assert len(curves) == len(TASKS) * len(ENCODERS)
    mine = next(
        curve for curve in curves if curve.task == "docs/library" and curve.encoder == "deep"
    )
    assert mine.view == "layer 1, mean"
    rows = spoilt[here & (spoilt["layer"] == 1) & spoilt["C_selected"] & (spoilt["n_train"] == 64)][
        "accuracy"
    ]
    point = next(point for point in mine.points if point.n_train == 64)
    assert point.mean == pytest.approx(rows.mean())
    assert point.sd == pytest.approx(rows.std())
    assert point.n_seeds == 3


def test_depth_curves_average_the_tasks(results):
    curve = next(curve for curve in depth_curves(results) if curve.encoder == "neoberta:wide")
    assert curve.layers == (0, 1, 2)
    assert curve.n_train == max(SIZES)
    rows = results[
        results["C_selected"]
        & (results["n_train"] == 1024)
        & (results["encoder"] == "neoberta:wide")
    ]
    assert curve.values[1] == pytest.approx(
        rows[rows["layer"] == 1].groupby("task")["accuracy"].mean().mean()
    )


def test_regularisation_and_truth(results):
    curves = regularisation_curves(results)
    assert [curve.n_train for curve in curves] == [16, 128, 1024]
    assert all(
        curve.values[1] == max(curve.values) == pytest.approx(curve.chosen, abs=1e-9)
        for curve in curves
    )
    truth = measured_spaces(results, EXAMPLE)
    assert {(curve.encoder, curve.view) for curve in truth} >= {("lsa:256", "layer=0,pooling=mean")}
    assert {curve.task for curve in truth} == {EXAMPLE}


def test_empty_results_give_no_curves(results):
    nothing = results.iloc[:0]
    assert learning_curves(nothing) == depth_curves(nothing) == regularisation_curves(nothing) == ()


def test_horizons_are_drawn_evenly_from_the_tasks_and_say_how_many():
    frame = pd.concat([held_out(seed) for seed in range(3)], ignore_index=True)
    frame.loc[:3000, ["task", "task_fingerprint"]] = "large"
    shown = horizons(frame)
    assert [horizon.factor for horizon in shown] == [1, 4, 16]
    for horizon in shown:
        assert len(horizon.points) == MAX_POINTS
        assert horizon.n_total == int((frame["factor"] == horizon.factor).sum())
        counts = pd.Series([point.task for point in horizon.points]).value_counts()
        assert (
            counts["large"]
            <= counts.drop("large").max() + MAX_POINTS - 9 * counts.drop("large").min()
        )
        assert len(counts) == len(TASKS) + 1
    assert horizons(frame) == shown
    assert horizons(frame.assign(truth=np.nan)) == ()


def test_stage_times_add_up_interrupted_runs():
    ledger = [
        {"stage": stage, "seconds": seconds}
        for stage, seconds in (("Tasks", 3.0), ("Sweep", 5.0), ("Tasks", 4.0))
    ]
    assert [
        (stage.stage, stage.seconds, stage.note)
        for stage in stage_times(ledger, {"Sweep": "9 probes"})
    ] == [
        ("Tasks", 7.0, ""),
        ("Sweep", 5.0, "9 probes"),
    ]


def test_encoder_means_count_wins_on_shared_sizes():
    def curve(task: str, encoder: str, *values: float) -> LearningCurve:
        points = tuple(
            MeasuredPoint(n_train=size, mean=value)
            for size, value in zip((16, 32, 64), values, strict=False)
        )
        return LearningCurve(task=task, encoder=encoder, points=points)

    table = encoder_means(
        [
            curve("t", "a", 0.5, 0.6),
            curve("t", "b", 0.4, 0.7, 0.9),
            curve("u", "a", 0.5, 0.8),
            curve("u", "b", 0.2, 0.3),
        ]
    )
    assert table["sizes"] == [16, 32]
    assert [(row["name"], row["means"][-1], row["wins"]) for row in table["rows"]] == [
        ("a", pytest.approx(0.7), 1),
        ("b", 0.5, 1),
    ]
    assert encoder_means([]) == {"sizes": [], "rows": []}


def test_unknown_parts_are_refused():
    assert PilotReportData(answers={"n_train": 200}).answers == {"n_train": 200}
    with pytest.raises(ValueError, match="learning_curve"):
        PilotReportData(learning_curve=())


def test_wording_of_numbers():
    assert rate(0.8417) == "84.2\u00a0%"
    assert rate(0.5, Metric.LOG_LOSS) == "0.500"
    assert rate(None) == rate(float("nan")) == "–"
    assert (percent(0.0), percent(0.004), percent(0.61), percent(0.9991), percent(1.0)) == (
        "0\u00a0%",
        "under 1\u00a0%",
        "61\u00a0%",
        "over 99\u00a0%",
        "100\u00a0%",
    )
    assert (duration(0.4), duration(48.2), duration(59.99), duration(200), duration(7500)) == (
        "0.4 s",
        "48 s",
        "60 s",
        "3 min 20 s",
        "2 h 05 min",
    )
    assert (number(4.5e-5), number(20), number(0.1), number(True), number("ridge")) == (
        "4.5e-5",
        "20",
        "0.1",
        "True",
        "ridge",
    )
    assert (parameters(22_700_000), parameters(850_000), parameters(None)) == (
        "22.7 million",
        "850 thousand",
        "–",
    )
    assert rows_between(None, None, 3200) == "more than 3,200"
    assert (short_count(9600), short_count(12_800), short_count(2_500_000)) == (
        "9,600",
        "12.8k",
        "2.5M",
    )


def test_display_name_hides_folders():
    assert display_name("neoberta:/data/out/checkpoints/3f2a", {}) == "neoberta:3f2a"
    assert display_name("hf:org/name", {}) == "hf:org/name"
    assert display_name("neoberta:/x/y/z", {"neoberta:/x/y/z": "deep"}) == "deep"


def test_inline_touches_tags_only():
    svg = (
        '<?xml?><svg viewBox="0 0 10 20"><metadata>m</metadata><g><text style="fill:'
        ' #00fd01">#00fd01 1.23456</text></g></svg>'
    )
    html = str(inline(svg, "a <b>"))
    assert html.startswith('<svg class="plot" role="img" viewBox="0 0 10 20"')
    assert "<title>a &lt;b&gt;</title>" in html
    assert 'style="fill: var(--ink)">#00fd01 1.23456</text>' in html
    assert "metadata" not in html
    with pytest.raises(ValueError, match="viewBox"):
        inline("<svg></svg>", "x")
