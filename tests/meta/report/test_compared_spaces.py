"""The embedding spaces as the page shows them, and the pictures' values that are made of them."""

import pytest
from report_sample import answers

from meta.metric import Metric
from meta.report.compared_spaces import best_of_each_encoder, screened_spaces, shown_forecasts
from meta.report.questions import q1_need, q4_spaces
from meta.report.questions.q5_model import by_layer
from meta.report.space_plots import least_good_enough
from meta.report.study_data import MeasuredPoint, MeasuredSpace
from meta.schema import AnswersContent, ViewName

POINTS = (MeasuredPoint(n_train=400, mean=0.8),)


def content(**changes) -> AnswersContent:
    return AnswersContent.model_validate(answers() | changes)


def test_what_was_measured_later_belongs_to_encoder_layer_and_pooling():
    truth = [
        MeasuredSpace(encoder="hf:all-MiniLM-L6-v2", view=view, points=POINTS)
        for view in (ViewName(layer=4, pooling="mean"), ViewName(layer=6, pooling="cls"))
    ]
    names = {"hf:all-MiniLM-L6-v2": "MiniLM"}
    spaces = shown_forecasts(content(), names, truth)
    assert [(space.name, space.layer) for space in spaces if space.measured] == [("MiniLM", 4)]


def test_encoders_keep_the_colours_that_they_have_elsewhere():
    spaces = shown_forecasts(content(), {}, colours={"another": 0, "lsa:256": 1})
    colours = {space.name: space.colour for space in spaces}
    assert colours["lsa:256"] == 1
    assert sorted(colours.values()) == [1, 2, 3, 4, 5]


def test_the_score_now_is_of_the_metric_that_is_forecast():
    def held_out(**changes) -> list[float | None]:
        value = content(**changes)
        return [
            space.held_out
            for space in (*shown_forecasts(value, {})[:1], *screened_spaces(value, {}))
        ]

    accuracy = answers()["encoders"][0]["held_out"]["accuracy"]
    assert held_out() == [accuracy, 0.5]
    assert held_out(metric="log_loss") == [None, None]
    measured = [space | {"measured": 0.7} for space in answers()["encoders"]]
    assert held_out(metric="log_loss", encoders=measured) == [0.7, None]
    assert held_out(encoders=measured) == [0.7, 0.5]


def test_the_first_space_of_an_encoder_stands_for_it():
    spaces = shown_forecasts(content(), {})
    first = best_of_each_encoder(spaces)
    assert len(first) == len({space.name for space in spaces}) < len(spaces)
    assert all(
        space.q50 == max(each.q50 for each in spaces if each.name == space.name) for space in first
    )


def test_the_encoder_of_the_first_answer_comes_first_in_its_table():
    need = answers()["data_needed"]
    other = need["by_encoder"][0]  # needs too many rows
    fewer = need["by_encoder"][1] | {"encoder": "neoberta:deep", "q50": 100}
    value = content(data_needed=need | {"by_encoder": [other, fewer, need["by_encoder"][1]]})
    rows = q1_need.view(value, shown_forecasts(value, {}), {}).rows
    assert [row.name for row in rows] == ["hf:all-MiniLM-L6-v2", "neoberta:deep", "lsa:256"]
    assert [row.need.q05 for row in rows][::2] == [290, 2400]


def test_an_encoder_without_a_forecast_has_no_picture_of_its_need():
    value = content(encoders=answers()["encoders"][-1:])
    assert q1_need.view(value, shown_forecasts(value, {}), {}).plot is None


def test_a_favourite_that_stays_one_is_not_named_again():
    value = content()
    assert max(space.p_best_16x for space in value.encoders) == value.encoders[0].p_best_16x > 0.5
    assert q4_spaces.view(value, shown_forecasts(value, {}), value.metric).later_favourite is None


@pytest.mark.parametrize(
    ("metric", "best", "edge"), [("accuracy", 1, 0.795), ("log_loss", 0, 0.705)]
)
def test_of_each_layer_the_best_pooling_is_drawn(metric, best, edge):
    first = answers()["encoders"][0]

    def space(pooling: str, now: float) -> dict:
        curve = [point | {"q50": now} for point in first["curve"]]
        return first | {"view": {"layer": 4, "pooling": pooling}, "curve": curve}

    medians = (0.7, 0.8)
    value = content(metric=metric, encoders=[space("mean", medians[0]), space("cls", medians[1])])
    encoders = by_layer(shown_forecasts(value, {}), value.metric)
    assert [encoder.values for encoder in encoders] == [{4: medians[best]}]
    assert least_good_enough(encoders, Metric(metric)) == pytest.approx(edge)
