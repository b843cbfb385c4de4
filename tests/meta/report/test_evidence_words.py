"""How far to trust a forecast is said from numbers, and not said without them."""

from report_sample import answers, curve, data_needed, said

from meta.report.evaluation_data import Evaluation
from meta.report.evidence_words import (
    bias_words,
    coverage_words,
    error_rows,
    error_words,
    held_words,
    row_count_words,
)
from meta.report.study_data import MeasuredPoint
from meta.schema import CurvePoint, Evidence


def test_a_row_count_is_followed_by_how_often_such_counts_were_right():
    shares = {"4x": {"q50": 0.22, "n_if_reached": 0.49}, "16x": {"q50": 0.08}}
    evidence = Evidence.model_validate(
        answers()["evidence"] | {"held_out_required_n_within_2x": shares}
    )
    reachable = row_count_words(evidence, data_needed(status="reachable", q50=578))
    assert (
        "a factor of two of the truth in 22\u00a0% of the cases that needed 4 times the rows, "
        "in 8\u00a0% of those that needed 16 times." in reachable
    )
    uncertain = row_count_words(
        evidence, data_needed(status="uncertain", q50=None, n_if_reached=900)
    )
    assert "in 49\u00a0% of" in uncertain and "16" not in uncertain, (
        "of the estimator that made this count"
    )
    for need in (
        {"status": "reached", "q50": 200},
        {"status": "uncertain", "n_if_reached": None},
        {"status": "not_reachable", "q50": None},
    ):
        assert row_count_words(evidence, data_needed(**need)) == "", "no row count is named"
    unknown = evidence.model_copy(update={"held_out_required_n_within_2x": {}})
    assert row_count_words(unknown, data_needed(status="reachable", q50=578)) == ""
    assert said("need").endswith("in 71\u00a0% of the cases that needed 4 times the rows."), (
        "in the terminal, too"
    )


def test_what_looks_equal_is_called_level_and_is_bold_twice():
    errors = {
        "4x": {"metamodel": 4.76, "loo": 4.82, "pow2": 7.4},
        "16x": {"metamodel": 7.39, "loo": 7.26, "pow2": 9.0},
    }
    assert error_words(errors) == [
        (
            "The metamodel is level with the best baseline at 4x (4.8 points each). The best"
            " baseline there: leave-one-out, carried forward."
        ),
        (
            "The best baseline errs less than the metamodel at 16x (7.4 points against 7.3). The"
            " best baseline there: leave-one-out, carried forward."
        ),
    ]
    bold = {row.label: [is_lowest for _, is_lowest in row.cells] for row in error_rows(errors)}
    assert bold == {
        "metamodel": [True, False],
        "leave-one-out, carried forward": [True, True],
        "power law, 2 parameters": [False, False],
    }
    assert error_words({"1x": {"metamodel": 1.96, "loo": 2.04}})[0].startswith(
        "The metamodel is level"
    )
    assert error_words({"1x": {"metamodel": 1.94, "loo": 2.04}})[0].startswith(
        "The metamodel errs less"
    )


def test_narrow_bands_are_called_so_at_every_level():
    coverage = {
        level: {"all": {"coverage": held}}
        for level, held in (("50", 0.447), ("80", 0.81), ("90", 0.928))
    }
    evaluation = Evaluation.model_validate({"coverage": coverage})
    assert (
        coverage_words(evaluation)
        == "Too narrow: the 50\u00a0% intervals (held 45\u00a0%); about right: the 80\u00a0%"
        " intervals (held 81\u00a0%); wider than needed: the 90\u00a0% intervals (held"
        " 93\u00a0%)."
    )
    assert held_words(evaluation) == "45\u00a0% and 93\u00a0%"
    assert coverage_words(Evaluation()) == held_words(Evaluation()) == ""
    one_level = Evaluation.model_validate({"coverage": {"90": coverage["90"]}})
    assert held_words(one_level) == "" and coverage_words(one_level).startswith("Wider than")


def test_forecasts_that_err_to_one_side_are_said_to():
    forecast = [CurvePoint.model_validate(point) for point in curve(0.1, 4, 4)]
    at = {point.n_train: point for point in forecast}

    def measured(shift: float) -> list[MeasuredPoint]:
        return [MeasuredPoint(n_train=size, mean=at[size].q50 + shift) for size in (200, 400, 800)]

    low = bias_words([(forecast, measured(0.05)), (forecast, measured(0.01))])
    assert (
        "too low, by 3.0 points on average (6 of 6 measured values lie above)" in low
        and "bands hold 3 of 6" in low
    )
    assert "too high, by 2.0 points" in bias_words([(forecast, measured(-0.02))])
    beyond = [MeasuredPoint(n_train=100, mean=0.1), MeasuredPoint(n_train=100_000, mean=0.1)]
    assert (
        bias_words([(forecast, measured(0.05)), (forecast, measured(-0.05))])
        == bias_words([(forecast, beyond)])
        == ""
    )
