"""The two pages: self-contained, escaped, complete, and honest about what is missing."""

import json
import re

import pytest
from html_page import Page
from pydantic import BaseModel, ValidationError
from report_sample import answers, pilot_data

from meta.answers import load_answers
from meta.report.page import characterize_report, pilot_report
from meta.report.study_data import PilotReportData
from meta.schema import AnswersContent

NASTY = (
    "<script>alert('x')</script><img src=\"http://evil.example/p.png\" onerror=x> & $\\alpha$"
    " \x00\x1b[31m {{ 7*7 }}"
)
REQUESTING = {"src", "href", "srcset", "data", "poster", "action", "background", "xlink:href"}


@pytest.fixture(scope="module")
def pilot_html() -> str:
    data = pilot_data()
    few = tuple(
        curve for curve in data.learning_curves if curve.task in ("docs/kind", "docs/library")
    )
    return pilot_report(data.model_copy(update={"learning_curves": few}))


@pytest.fixture(scope="module")
def nasty_html() -> str:
    """The report on answers whose every text is hostile: rows, labels, encoder names, warnings."""
    content = answers()
    content["encoders"] = content["encoders"][:2]
    for space in content["encoders"]:
        space["encoder"] = NASTY
    content["data_needed"] |= {"encoder": NASTY, "by_encoder": []}
    content["model"] |= {"encoder": NASTY, "neoberta": {NASTY: NASTY}, "neoberta_source": NASTY}
    content["label_next"] = [
        content["label_next"][0]
        | {
            "text": NASTY,
            "text_pair": NASTY,
            "why": NASTY,
        }
    ]
    content["suspect_labels"] = [
        content["suspect_labels"][0] | {"text": NASTY, "given": NASTY, "likely": NASTY}
    ]
    content |= {"class_counts": {NASTY: 3, "b": 2}, "warnings": [NASTY]}
    content["evidence"] |= {"metamodel": NASTY}
    return characterize_report(content)


def assert_self_contained(html: str) -> None:
    page = Page(html)
    assert "script" not in page.tags
    assert not {"img", "iframe", "object", "embed", "form", "base", "audio", "video"} & set(
        page.tags
    )
    for name, value in page.attributes:
        assert not name.startswith("on"), name
        if name in REQUESTING:
            assert value.startswith("#") or value == "data:,", (name, value)
        if name == "style":
            assert all(
                target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", value)
            )
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in html
    assert len(page.ids) == len(set(page.ids))
    fragments = {
        value[1:] for name, value in page.attributes if name == "href" and value.startswith("#")
    }
    assert fragments <= set(page.ids)
    assert {target for value in re.findall(r"url\(#([^)]*)\)", html) for target in [value]} <= set(
        page.ids
    )


def test_pilot_page_asks_nothing_of_the_network_and_is_small(pilot_html):
    assert_self_contained(pilot_html)
    assert len(pilot_html.encode()) <= 3_000_000


def test_pilot_page_says_the_six_answers_first(pilot_html):
    words = Page(pilot_html).words
    order = [
        words.index(part)
        for part in (
            "How much data do I need?",
            "About 520 labelled rows",
            "What was measured",
            "still thin",
        )
    ]
    assert words.index("The six answers") < order[0] < order[1]
    for question in (
        "How well can I",
        "What type of data",
        "Which embedding space",
        "Which model",
        "Which hyperparameters",
    ):
        assert question in words
    assert "not shown" not in words
    assert "11,907" in words


def test_pilot_page_counts_one_as_one_and_explains_its_words(pilot_html):
    words = Page(pilot_html).words
    assert "1 of them trailed so far behind in leave-one-out that it got no forecast" in words
    assert all(f" {word} " in words for word in ("Power law", "LogME, H-score", "Nat"))
    assert "LogME" not in Page(characterize_report(answers())).words, (
        "said on the page that uses it only"
    )


def test_pilot_page_shows_evidence_for_better_or_worse(pilot_html):
    words = Page(pilot_html).words
    assert "The metamodel errs less than every baseline at 2x (2.6 points against 2.8" in words
    assert "The best baseline errs less than the metamodel at 1x (1.6 points against 1.5" in words
    assert "In 88 % of the tasks" in words
    assert "3 x 128 (chosen)" in words


def test_pictures_have_words_and_follow_the_theme(pilot_html):
    pictures = re.findall(r"<svg.*?</svg>", pilot_html, flags=re.DOTALL)
    assert len(pictures) >= 16
    for picture in pictures:
        assert re.search(r"<title>[^<]{15,}</title>", picture)
        assert not re.search(r"#[0-9a-f]{6}\b(?!\")", picture), "a colour that no theme can change"
        assert "var(--" in picture
        assert "mathdefault" not in picture


def test_an_empty_study_says_what_is_missing_and_why():
    html = pilot_report(PilotReportData(missing={"candidates": "The meta-search was <stopped>."}))
    assert_self_contained(html)
    words = Page(html).words
    assert words.count("not shown.") >= 8
    assert "The meta-search was <stopped>." in words
    assert "nan" not in words.lower().split()


def test_an_evaluation_of_an_earlier_build_shows_what_it_has():
    coverage = {"90": {"all": {"coverage": 0.91}, "1x": {"coverage": 0.93}}}
    html = pilot_report(PilotReportData(evaluation={"coverage": coverage, "n_views": 20}))
    assert_self_contained(html)
    words = Page(html).words
    assert "90 % 91 % –" in words, "the width is not known"
    assert "Errors on tasks left out: not shown." in words
    assert "<svg" not in html, "horizons are drawn beside their errors"


def test_hostile_texts_are_only_text(nasty_html):
    assert_self_contained(nasty_html)
    assert "<script>alert" not in nasty_html
    assert "&lt;script&gt;alert" in nasty_html
    assert "\x00" not in nasty_html
    assert "\x1b" not in nasty_html
    page = Page(nasty_html)
    assert "{{ 7*7 }}" in page.words  # not evaluated as a template
    assert "$\\alpha$" in page.words  # nor as mathematics


def test_characterize_page_without_an_evaluation_sample():
    content = answers() | {
        "label_next": [],
        "label_batch": None,
        "n_eval": 0,
        "suspect_labels": [],
        "warnings": [],
    }
    content["encoders"] = content["encoders"][:1]
    words = Page(characterize_report(content)).words
    assert "none was given" in words
    assert "No label looks wrong." in words
    assert "Keep in mind" not in words


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"status": "uncertain", "q05": 2100, "q50": None, "q95": None, "p_reachable": 0.2},
            "is unlikely with up to 3,200",
        ),
        (
            {
                "status": "uncertain",
                "q05": 2100,
                "q50": None,
                "q95": None,
                "p_reachable": 0.46,
                "n_if_reached_q05": 900,
                "n_if_reached": 1800,
                "n_if_reached_q95": 3100,
            },
            "is reached, then with about 1,800 labelled rows (90 % interval: 900 to 3,100)",
        ),
        (
            {
                "status": "not_reachable",
                "q05": None,
                "q50": None,
                "q95": None,
                "p_reachable": 0.001,
            },
            "is not reachable with these",
        ),
        ({"q95": None}, "290 to more than 3,200"),
    ],
)
def test_every_outcome_of_the_first_question(change, expected):
    content = answers()
    content["encoders"] = content["encoders"][:1]
    content["data_needed"] |= change
    assert expected in Page(characterize_report(content)).words


def without_later_fields(value):
    """The content of a part of the answers as a first build wrote it: without every field that has
    a default, since only such fields were added later."""
    if isinstance(value, list):
        return [without_later_fields(each) for each in value]
    if not isinstance(value, BaseModel):
        return value
    return {
        field.alias or name: without_later_fields(getattr(value, name))
        for name, field in type(value).model_fields.items()
        if field.is_required() or field.alias == "schema"
    }


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
def test_answers_of_the_first_build_load_and_make_a_page(tmp_path, metric):
    content = answers() | {"metric": metric, "warnings": []}
    old = without_later_fields(AnswersContent.model_validate(content))
    assert old["hyperparameters"] == {
        "probe": {"C": 0.31},
        "finetune": {"learning_rate": 4.5e-5, "epochs": 20},
    }
    assert "untried" not in old and "encoder_layers" not in old["model"]
    assert "p_reached" not in old["data_needed"]["plan"][0]
    (tmp_path / "answers.json").write_text(json.dumps(old))
    loaded = load_answers(str(tmp_path))
    html = characterize_report(loaded)
    assert html == characterize_report(old), "also where nobody validated it"
    assert_self_contained(html)
    words = Page(html).words
    assert "not shown" not in words
    assert "About 520 labelled rows" in words and "factor of two" not in words
    assert "Use C = 0.31 for a linear probe; to fine-tune, start with" in words
    assert "regularisation C 0.31 not stated" in words
    held_out = old["encoders"][0]["held_out"]["accuracy"]
    known = f"{100 * held_out:.1f} %" if metric == "accuracy" else "–"
    assert f"layer 4, mean pooling {known}" in words, "accuracy is all that was measured"


@pytest.mark.parametrize("missing", ["data_needed", "model", "hyperparameters", "evidence"])
def test_answers_without_a_part_that_every_build_wrote_are_refused(missing):
    content = answers()
    del content[missing]
    with pytest.raises(ValidationError, match=missing):
        characterize_report(content)


def test_labels_of_evaluation_rows_encoders_not_tried_and_the_gain_of_fine_tuning_are_shown():
    content = answers()
    content["eval_labels"] = {
        "n_labelled": 60,
        "estimate": 0.81,
        "q05": 0.73,
        "q95": 0.89,
        "weight": 0.4,
    }
    content["eval_labels"]["before"] = {"q05": 0.7, "q50": 0.78, "q95": 0.86}
    content["untried"] = [
        {
            "encoder": "hf:some/encoder",
            "p_beats_best_tried": 0.83,
            "q05": 0.75,
            "q50": 0.82,
            "q95": 0.9,
            "parameters": 109_000_000,
            "n_tasks": 31,
        }
    ]
    content["hyperparameters"]["finetune"] |= {
        "source": "published runs",
        "epochs_extrapolated": True,
    }
    gain = {"q05": -0.03, "q50": 0.012, "q95": 0.05, "extrapolated": True}
    content["hyperparameters"]["finetune"]["gain"] = {"ordinary": gain, "contrastive": gain}
    words = Page(characterize_report(content)).words
    assert (
        "Your 60 labelled evaluation rows measure 81.0 % (73.0 to 89.0 %); without them the"
        " forecast was 78.0" in words
    )
    assert "better with probability 83 %: hf:some/encoder." in words
    assert "109 million" in words and "Not tried, and likely better" in words
    assert "+1.2 points (90 % interval: −3.0 to +5.0; beyond what was published)" in words
    assert (
        "gain over the probe, ordinary fine-tuning" in words
        and "published runs on other data" in words
    )


def test_a_single_space_that_is_good_enough_now():
    content = answers() | {
        "screened": [],
        "label_batch": {"n_rows": 12, "gain": 0.0, "strategy": "any"},
    }
    content["encoders"] = content["encoders"][:1]
    content["data_needed"] |= {
        "status": "reached",
        "q05": 200,
        "q50": 200,
        "q95": 250,
        "by_encoder": [],
        "plan": [],
    }
    html = characterize_report(content)
    assert_self_contained(html)
    words = Page(html).words
    assert "You have enough" in words
    assert "was the only one given" in words
    assert "should bring less than 0.1 points" in words
    assert "The thick bar on it is the 90" not in words
    assert html.count('<svg class="plot') == 3  # no picture of depth for a single layer


def test_rendering_twice_gives_the_same_bytes():
    content = answers() | {"encoders": answers()["encoders"][:1]}
    assert characterize_report(content) == characterize_report(content)
