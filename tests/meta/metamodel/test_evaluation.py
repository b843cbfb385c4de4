import json

import pytest
from synthetic_observations import observations

from meta.metamodel.evaluation import evaluation_tables
from meta.metamodel.fitting import FitSettings
from meta.metamodel.held_out import BASELINES, QUANTILE_COLUMNS, held_out_predictions
from meta.report.evaluation_data import Evaluation

QUICK = FitSettings(n_rounds=5)


@pytest.fixture(scope="module")
def frame():
    return observations(n_tasks=5, n_views=3, sizes=(64,))


@pytest.fixture(scope="module")
def held_out(frame):
    return held_out_predictions(frame, settings=QUICK)


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
    """Predictions that equal the truth."""
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


def test_the_metamodel_errs_less_than_leave_one_out_carried_forward(held_out):
    errors = evaluation_tables(held_out)["mae_points"]["4x"]
    assert errors["metamodel"] < errors["loo"]
