"""The two pages. `pilot_report` and `characterize_report` return a whole HTML document: one file,
no script, no address.

Jinja's autoescape is on for all templates, so every text of a user is escaped. Only our own SVG and
CSS pass as they are.
"""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from meta.report import wording
from meta.report.answer_view import answer_view
from meta.report.study_data import PilotReportData
from meta.report.study_view import study_view
from meta.schema import AnswersContent

FOLDER = Path(__file__).parent
MAX_EXCERPT = 400
"""Characters of a user's text that a page shows."""


def pilot_report(data: PilotReportData) -> str:
    """The study's report as an HTML document."""
    study = study_view(data)
    answers = None
    if data.answers is not None:
        answers = answer_view(
            data.answers,
            data.names,
            data.answers_truth,
            colours=study.colours,
            evaluation=data.evaluation,
            pretrained={model.name: model.n_tokens for model in data.pretrained},
        )
    return _render(
        "pilot.html.j2", title=data.title, d=data, s=study, a=answers, sections=PILOT_SECTIONS
    )


def characterize_report(
    answers: AnswersContent | Mapping[str, Any], *, names: Mapping[str, str] | None = None
) -> str:
    """The answers for a user's own data as an HTML document. `answers` may be the content of
    answers.json, which is validated; `names` replace encoder references."""
    content = AnswersContent.model_validate(answers)
    title = "What your data can tell before you build"
    return _render(
        "characterize.html.j2",
        title=title,
        a=answer_view(content, names),
        sections=CHARACTERIZE_SECTIONS,
    )


PILOT_SECTIONS = (
    ("six", "Six answers"),
    ("example", "The example"),
    ("measured", "What was measured"),
    ("trust", "How far to trust it"),
    ("search", "Meta-search"),
    ("time", "Time"),
    ("thin", "Still thin"),
    ("words", "Words"),
)
CHARACTERIZE_SECTIONS = (
    ("six", "Six answers"),
    ("need", "1 Data"),
    ("expect", "2 Score"),
    ("label", "3 Labels"),
    ("spaces", "4 Space"),
    ("model", "5 Model"),
    ("settings", "6 Settings"),
    ("trust", "How far to trust it"),
    ("words", "Words"),
)


def excerpt(text: str) -> str:
    """A user's text as shown: at most `MAX_EXCERPT` characters."""
    clean = wording.printable(text).strip()
    return clean if len(clean) <= MAX_EXCERPT else clean[:MAX_EXCERPT].rstrip() + " …"


def whole_names(sentence: str) -> Markup:
    """A sentence in which names and numbers with a hyphen or a slash (`hf:all-MiniLM-L6-v2`,
    `3e-5`) do not end a line."""
    words = wording.printable(sentence).split(" ")
    return Markup(" ").join(
        Markup('<span class="whole">{}</span>').format(word)
        if re.search(r"[-/]", word) and re.search(r"[\d:]", word)
        else word
        for word in words
    )


def _render(template: str, **context: Any) -> str:
    css = Markup((FOLDER / "report.css").read_text())  # ours: nothing of a user is in it
    return (
        _environment()
        .get_template(template)
        .render(css=css, max_excerpt=MAX_EXCERPT, **context)
        .lstrip()
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        finalize=lambda value: (
            wording.printable(value) if type(value) is str else value
        ),  # not Markup: that is ours
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        name: getattr(wording, name)
        for name in (
            "rate",
            "between",
            "nats",
            "percent",
            "count",
            "points",
            "parameters",
            "duration",
            "number",
        )
    }
    environment.filters |= {"excerpt": excerpt, "whole_names": whole_names}
    return environment
