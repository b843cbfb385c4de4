import json

import numpy as np
import pandas as pd
import pytest
from synthetic_observations import observations

from meta.metamodel import evaluation
from meta.metamodel.evaluation import (
    BASELINES,
    QUANTILE_COLUMNS,
    evaluation_tables,
    held_out_predictions,
    leave_task_out,
)
from meta.metamodel.fitting import FitSettings
from meta.metric import Metric
from meta.report.evaluation_data import Evaluation

QUICK = FitSettings(n_rounds=5)


@pytest.fixture(scope="module")
def frame():
    return observations(n_tasks=5, n_views=3, sizes=(64,))


@pytest.fixture(scope="module")
def held_out(frame):
    return held_out_predictions(frame, settings=QUICK)


def test_every_measured_row_is_predicted_once_and_keeps_its_truth(frame, held_out):
    measured = held_out[held_out["truth"].notna()]
    assert len(measured) == len(frame)
    keys = ["task", "layer", "n_train", "seed", "horizon"]
    both = measured.merge(frame[[*keys, "truth"]], on=keys, suffixes=("", "_given"))
    assert len(both) == len(frame)
    assert (both["truth"] == both["truth_given"]).all()


def test_a_fold_never_learns_from_the_task_it_predicts(frame, monkeypatch):
    seen = {}

    class Spy(evaluation.Metamodel):
        @classmethod
        def fit(cls, rest, **kwargs):
            seen["families"] = set(rest["task_family"])
            return evaluation_model(rest, **kwargs)

    evaluation_model = evaluation.Metamodel.fit
    monkeypatch.setattr(evaluation, "Metamodel", Spy)
    part = evaluation.predict_fold(
        {"family2"}, frame=frame, metric=Metric.ACCURACY, by="task_family", settings=QUICK
    )
    assert set(part["task_family"]) == {"family2"}
    assert seen["families"] == {f"family{i}" for i in (0, 1, 3, 4)}


def test_changing_a_tasks_truth_does_not_change_its_prediction(frame):
    spoilt = frame.assign(truth=np.where(frame["task"] == "task1", 0.0, frame["truth"]))
    parts = [
        evaluation.predict_fold(
            {"family1"}, frame=f, metric=Metric.ACCURACY, by="task_family", settings=QUICK
        )
        for f in (frame, spoilt)
    ]
    columns = [*QUANTILE_COLUMNS, *BASELINES, "static"]
    pd.testing.assert_frame_equal(parts[0][columns], parts[1][columns])


def test_tables_are_json_and_hold_every_forecaster(frame, held_out):
    tables = evaluation_tables(held_out)
    assert json.loads(json.dumps(tables)) == tables
    assert tables["n_tasks"] == 5 and tables["n_views"] == 3
    assert list(tables["mae_points"]) == ["1x", "2x", "4x", "8x", "16x"]
    assert set(tables["mae_points"]["4x"]) == {"metamodel", *BASELINES}
    assert set(tables["coverage"]) == {"50", "80", "90"}
    assert set(tables["required_n_within_2x"]) == {"4x", "16x"}


def test_the_page_of_a_study_reads_every_table(held_out):
    tables = json.loads(json.dumps(evaluation_tables(held_out)))
    shown = {name: table for name, table in tables.items() if name not in ("metric", "n_views")}
    for regret in shown["regret_at_1_points"].values():
        del regret["n_choices"]
    assert Evaluation.model_validate(tables).model_dump() == shown


def perfect(held_out):
    """Predictions that are the truth."""
    measured = held_out[held_out["truth"].notna()].copy()
    for name in QUANTILE_COLUMNS:
        measured[name] = measured["truth"]
    return measured


def test_a_perfect_forecast_scores_perfectly(held_out):
    tables = evaluation_tables(perfect(held_out))
    assert all(row["metamodel"] == 0 for row in tables["mae_points"].values())
    assert tables["coverage"]["90"]["all"] == {"coverage": 1.0, "width_points": 0.0}
    assert tables["tasks_covered_80"] == 1.0
    assert tables["required_n_within_2x"]["4x"]["metamodel"] == 1.0
    assert tables["regret_at_1_points"]["metamodel"]["mean"] == 0.0


def test_a_task_is_covered_from_four_fifths_of_its_rows(held_out):
    rows = perfect(held_out)
    for missed, covered in ((0.15, 1.0), (0.25, 0.8)):  # of one task's rows, of five tasks
        mine = rows.index[(rows["task"] == "task0") & rows["truth"].notna()]
        off = rows.copy()
        off.loc[mine[: round(missed * len(mine))], "q05"] += 0.01
        assert evaluation_tables(off)["tasks_covered_80"] == pytest.approx(covered)


def test_errors_are_points_and_tasks_weigh_alike(held_out):
    off = perfect(held_out)
    off.loc[off["task"] == "task0", "q50"] += 0.05
    few = off.drop(
        index=off.index[(off["task"] == "task0") & (off["seed"] == 1)]
    )  # half of task0's rows
    for rows in (off, few):
        assert evaluation_tables(rows)["mae_points"]["1x"]["metamodel"] == pytest.approx(1.0)
    assert evaluation_tables(off)["mae_points_by_task"]["task0"]["metamodel"] == pytest.approx(5.0)


def test_regret_is_the_loss_of_the_view_chosen(held_out):
    rows = perfect(held_out)
    rows["q50"] = 1 - rows["truth"]  # always chooses the worst of three views, 3 points apart
    assert evaluation_tables(rows)["regret_at_1_points"]["metamodel"]["mean"] == pytest.approx(6.0)


def test_one_call_does_it_all_and_reports_its_progress(frame):
    calls = []
    tables = leave_task_out(
        frame, settings=QUICK, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(i, 5) for i in range(1, 6)]
    assert tables["mae_points"]["4x"]["metamodel"] < tables["mae_points"]["4x"]["loo"]
