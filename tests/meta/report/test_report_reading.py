"""What a first-time reader must not have to guess: chance, ties, coverage, which rows are meant,
what is drawn."""

import re

import pytest
from html_page import Page
from report_sample import answers, pilot_data, said

from meta.report.evaluation_data import Evaluation
from meta.report.page import characterize_report, pilot_report
from meta.report.study_view import study_view
from meta.schema import AnswersContent


@pytest.fixture(scope="module")
def pilot_html() -> str:
    data = pilot_data()
    few = tuple(
        curve for curve in data.learning_curves if curve.task in ("docs/kind", "docs/library")
    )
    return pilot_report(data.model_copy(update={"learning_curves": few}))


def test_pilot_page_says_how_far_each_answer_goes(pilot_html):
    words = Page(pilot_html).words
    right = "within a factor of two of the truth in 71 % of the cases that needed 4 times the rows."
    assert words.count(right) == 2, "on the first card and in its section"
    assert "metamodel, for a target that is unlikely 75 % power law, 2 parameters 55 %" in words
    assert "in 5 and in 9 of 10 cases (on tasks left out they held 53 % and 91 %)" in words
    assert "wider than needed: the 50 % intervals (held 53 %)" in words
    assert (
        "the target is as likely missed as met; the cautious end of the interval lies at 1,750 rows"
        in words
    )
    assert (
        "By these forecasts it may be worth it here" in words
        or "By these forecasts it is not worth it here" in words
    )
    assert "random:deep (untrained)" in words
    assert "Spaces without a forecast are not drawn." in words


def test_pilot_page_says_which_rows_are_meant_and_what_becomes_of_them(pilot_html):
    words = Page(pilot_html).words
    assert "evaluation row 3 " in words and "Labelled row Text" in words
    assert "counted from 0 in the evaluation file (the task’s test rows)" in words
    assert "rows of the labelled file (the task’s training rows), counted from 0" in words
    assert "the next run leaves them out of the evaluation sample" in words
    assert "the task’s" not in Page(characterize_report(answers())).words


def test_a_study_without_an_evaluation_claims_nothing_of_it():
    data = pilot_data()
    content = answers()
    content["evidence"]["held_out_required_n_within_2x"] = {}
    unknown = {
        "evaluation": Evaluation(),
        "learning_curves": (),
        "answers": AnswersContent.model_validate(content),
    }
    data = data.model_copy(update=unknown)
    words = Page(pilot_report(data)).words
    assert "About 520 labelled rows" in words
    assert "within a factor of two" not in words and "they held" not in words


def test_learning_curves_show_what_chance_is():
    data = pilot_data()
    few = tuple(curve for curve in data.learning_curves if curve.task == "docs/kind")
    alone = data.model_copy(update={"learning_curves": few})
    unknown = alone.model_copy(
        update={
            "tasks": tuple(task.model_copy(update={"constant_score": None}) for task in data.tasks)
        }
    )
    dashes, dashes_unknown = (
        study_view(each).measured.learning_panels[0].count("stroke-dasharray")
        for each in (alone, unknown)
    )
    assert dashes == dashes_unknown + 1
    sentence = "Dashed: an answer that never looks at a text (always the commonest class)"
    assert (
        sentence in Page(pilot_report(alone)).words
        and sentence not in Page(pilot_report(unknown)).words
    )


def test_forecasts_that_missed_to_one_side_say_so_under_their_pictures():
    data = pilot_data()
    truth = tuple(
        curve.model_copy(
            update={
                "points": tuple(
                    point.model_copy(update={"mean": point.mean - 0.1}) for point in curve.points
                )
            }
        )
        for curve in data.answers_truth
    )
    data = data.model_copy(update={"answers_truth": truth, "learning_curves": ()})
    assert "On this task the median forecasts are too high, by" in Page(pilot_report(data)).words


def test_depth_and_pretraining_pictures_name_what_they_leave_out_and_their_dashed_line():
    data = pilot_data()
    encoder = data.encoders[0].model_copy(update={"n_layers": 12})
    data = data.model_copy(
        update={"encoders": (encoder, *data.encoders[1:]), "learning_curves": ()}
    )
    words = Page(pilot_report(data)).words
    assert (
        f"Of {encoder.name}, which has 12 layers, only 0, 1, 2, 3, 4, 5 and 6 were read." in words
    )
    assert "Dashed: guessing by word frequency." in words
    trained = data.pretrained[0].model_copy(update={"name": encoder.name})
    measured = study_view(data.model_copy(update={"pretrained": (trained,)})).measured
    assert measured.pretraining_key[0].css == next(
        key.css for key in measured.depth_key if key.label == encoder.name
    )


def test_bands_are_keyed_one_by_one_and_names_stay_whole(pilot_html):
    assert (
        len(re.findall(r'<b class="\w+ core" aria-hidden="true">■</b> 50&nbsp;% band', pilot_html))
        == 2
    )
    assert (
        len(re.findall(r'<b class="\w+ outer" aria-hidden="true">■</b> 90&nbsp;% band', pilot_html))
        == 2
    )
    assert pilot_html.count('<span class="whole">hf:all-MiniLM-L6-v2') >= 6, (
        "three answers name it, on a card and in a section"
    )


def test_an_encoder_keeps_its_colour_in_every_key(pilot_html):
    names = r"(neoberta:deep|random:deep \(untrained\)|lsa:256)"
    keys = re.findall(rf'<b class="(c\d)" aria-hidden="true">[^<]*</b> {names}</li>', pilot_html)
    assert len(keys) >= 9 and len(set(keys)) == 3


def test_a_picture_of_some_spaces_says_of_how_many():
    content = answers()
    space = content["encoders"][-1]
    content["encoders"] = [
        space | {"view": {"layer": layer, "pooling": "mean"}} for layer in range(12)
    ]
    assert (
        "The picture shows the first 10 of the 12 with a forecast."
        in Page(characterize_report(content)).words
    )
    content["encoders"] = content["encoders"][:10]
    assert "The picture shows" not in Page(characterize_report(content)).words


def test_long_texts_end_in_an_ellipsis():
    content = answers()
    content["encoders"] = content["encoders"][:1]
    content["label_next"] = [content["label_next"][0] | {"text": "word " * 100}]
    content["suspect_labels"] = [content["suspect_labels"][0] | {"text": "other " * 100}]
    words = Page(characterize_report(content)).words
    assert "word …" in words and "othe …" in words
    assert "shown whole, up to 400 characters (then …)" in words


def test_of_a_loss_nats_are_said_and_of_a_rate_points():
    content = answers()
    for space in content["encoders"]:
        space["curve"] = [
            point | {name: 2 * (1 - point[name]) for name in ("q05", "q25", "q50", "q75", "q95")}
            for point in space["curve"]
        ]
    content |= {
        "metric": "log_loss",
        "target": 0.4,
        "target_source": "default",
        "label_batch": {"n_rows": 20, "gain": 0.012},
    }
    content["label_batch"]["strategy"] = "typical rows"
    for status in ("reached", "reachable"):
        content["data_needed"]["status"] = status
        words = Page(characterize_report(content)).words
        assert not re.findall(r".{50}\bpoints?\b", words, re.IGNORECASE)
        assert (
            "0.01 to 0.02 nats short" in words
            and "within 0.005 nats of the best" in words
            and "bring about 0.012 nats" in words
        )
        assert "Error, nats 0.016 0.031 0.056" in words and "one nat less is" in words
    words = Page(characterize_report(answers())).words
    assert (
        "nat" not in re.findall(r"\w+", words.lower())
        and "within half a point of the best" in words
    )


def test_unlabelled_rows_that_were_given_are_not_said_to_be_missing():
    batch = {"n_rows": 0, "gain": 0.0, "strategy": "rows that the probe cannot decide"}
    sure, without = (
        {"label_next": [], "label_batch": batch},
        {"label_next": [], "label_batch": None},
    )
    assert said("label", **sure).startswith("The probe hesitates over none of the unlabelled rows")
    assert said("label", **without).startswith("All evaluation rows have a label already")
    assert said("label", n_eval=0, **without).startswith("No unlabelled rows were given")
    content = answers()
    content["encoders"] = content["encoders"][:1]
    assert "none was given" not in Page(characterize_report(content | sure)).words
    assert "none was given" in Page(characterize_report(content | without | {"n_eval": 0})).words
    given = {
        "n_labelled": 300,
        "estimate": 0.8,
        "q05": 0.7,
        "q95": 0.9,
        "weight": 0.0,
        "before": answers()["encoders"][0]["curve"][0],
    }
    assert (
        "All evaluation rows have a label already."
        in Page(characterize_report(content | without | {"eval_labels": given})).words
    )


def test_encoders_not_tried_are_of_accuracy_whatever_the_metric():
    untried = {
        "encoder": "hf:a/b",
        "p_beats_best_tried": 0.8,
        "q05": 0.7,
        "q50": 0.8,
        "q95": 0.9,
        "parameters": 10**8,
        "n_tasks": 9,
    }
    words = [
        Page(characterize_report(answers() | {"untried": [untried], "metric": name})).words
        for name in ("auroc", "accuracy")
    ]
    assert "This table is of accuracy" in words[0] and "This table is of accuracy" not in words[1]


def test_what_is_said_of_encoders_not_tried_says_what_it_rests_on():
    untried = [
        {
            "encoder": f"hf:{name}",
            "p_beats_best_tried": chance,
            "q05": 0.7,
            "q50": 0.8,
            "q95": 0.9,
            "parameters": 10**8,
            "n_tasks": 9,
        }
        for name, chance in (("org/mine", 0.8), ("org/other", 0.72))
    ]
    basis = {
        "language": "english",
        "kinds": {"topic": 0.9, "other": 0.1},
        "tasks": 70,
        "tasks_of_kind": 23,
        "known": {"hf:/models/small": "org/all-small"},
        "called_alike": {"hf:/models/mine": "org/mine"},
        "reliability": [
            {"said": 0.55, "came": 0.5, "families": 9},
            {"said": 0.83, "came": 0.86, "families": 12},
        ],
    }
    content = answers() | {"untried": untried, "untried_basis": basis}
    words = Page(characterize_report(content)).words
    assert (
        "by published results on 70 tasks in English better with probability 72 %: hf:org/other."
        in words
    ), "the one that the user may have tried is not the one that the sentence names"
    assert "this is a topic task (probability 90 %), so the 23 published ones" in words
    assert "hf:/models/small is known as org/all-small." in words
    assert "hf:/models/mine is called like org/mine, but its weights are not known here" in words
    assert "about 83 % came true in 86 % of the cases (12 families of tasks)" in words
    unsure = basis | {"kinds": {"topic": 0.4, "intent": 0.35, "other": 0.25}}
    words = Page(characterize_report(content | {"untried_basis": unsure})).words
    assert "do not tell the kind of the task" in words


def test_input_embeddings_alone_are_not_called_an_encoder_without_layers():
    model = answers()["model"] | {
        "layers": 0,
        "encoder_layers": 6,
        "view": {"layer": 0, "pooling": "max"},
    }
    assert "its input embeddings alone (max pooling, none of its 6 layers; " in said(
        "model", model=model
    )
    assert (
        "none of 6: the input embeddings, with max pooling"
        in Page(characterize_report(answers() | {"model": model})).words
    )
    assert "it has no layers to cut" in said("model", model=model | {"encoder_layers": 0})


def test_a_space_that_is_hardly_likelier_than_others_is_not_called_the_favourite():
    def words(p_best_16x: float) -> str:
        first, second, *rest = answers()["encoders"]
        spaces = [
            first | {"p_best": 0.6, "p_best_16x": 0.2},
            second | {"p_best": 0.1, "p_best_16x": p_best_16x},
            *rest,
        ]
        return Page(characterize_report(answers() | {"encoders": spaces})).words

    assert "With 16 times the labels the favourite is" in words(0.45)
    assert "With 16 times the labels the favourite is" not in words(0.35)


def test_evaluation_rows_with_labels_are_not_called_unlabelled():
    content = answers()
    content["encoders"] = content["encoders"][:1]
    interval = {"q05": 0.7, "q50": 0.8, "q95": 0.9}
    assert (
        "unlabelled rows of the kind the classifier will meet."
        in Page(characterize_report(content)).words
    )
    content["eval_labels"] = {
        "n_labelled": 60,
        "estimate": 0.8,
        "q05": 0.7,
        "q95": 0.9,
        "weight": 0.1,
        "before": interval,
    }
    words = Page(characterize_report(content)).words
    assert (
        "rows of the kind the classifier will meet, 60 of them labelled." in words
        and "unlabelled rows of the" not in words
    )
