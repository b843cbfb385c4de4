"""The six answers in six plain sentences."""

from collections.abc import Mapping
from typing import NamedTuple

from meta.report.questions import (
    q1_need,
    q2_expect,
    q3_label,
    q4_spaces,
    q5_model,
    q6_settings,
)
from meta.schema import AnswersContent


class SixAnswer(NamedTuple):
    """A question with its answer in one sentence; `anchor` is the section of the page that explains
    it."""

    anchor: str
    question: str
    sentence: str


def six_answers(answers: AnswersContent, names: Mapping[str, str]) -> list[SixAnswer]:
    """The six questions, each with its answer in a plain sentence. `names` replace encoder
    references."""
    return [
        SixAnswer("need", "How much data do I need?", q1_need.sentence(answers, names)),
        SixAnswer("expect", "How well can I expect to do?", q2_expect.sentence(answers, names)),
        SixAnswer("label", "What type of data do I need?", q3_label.sentence(answers)),
        SixAnswer(
            "spaces",
            "Which embedding space is best?",
            q4_spaces.sentence(answers, names),
        ),
        SixAnswer("model", "Which model (depth, size) is best?", q5_model.sentence(answers, names)),
        SixAnswer("settings", "Which hyperparameters?", q6_settings.sentence(answers)),
    ]
