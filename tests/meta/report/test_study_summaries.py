"""From a study's tables to what the report shows."""

import numpy as np
import pandas as pd
import pytest
from report_sample import ENCODERS, EXAMPLE, SIZES, TASKS, answers, held_out, probe_results

from meta.report.study_data import PilotReportData
from meta.report.study_summaries import (
    MAX_POINTS,
    depth_curves,
    horizons,
    learning_curves,
    measured_spaces,
    regularisation_curves,
    stage_times,
)
from meta.schema import ViewName


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
    assert len(truth) == sum(n_layers + 1 for n_layers, _ in ENCODERS.values())
    mine = next(space for space in truth if space.encoder == "lsa:256")
    assert mine.view == ViewName(layer=0, pooling="mean")
    rows = results[
        (results["task"] == EXAMPLE) & (results["encoder"] == "lsa:256") & results["C_selected"]
    ]
    means = rows.groupby("n_train")["accuracy"].mean()
    assert {point.n_train: point.mean for point in mine.points} == pytest.approx(means.to_dict())


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


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="learning_curve"):
        PilotReportData(learning_curve=())
    with pytest.raises(ValueError, match=r"answers\.encoders"):
        PilotReportData(answers=answers() | {"encoders": []})
