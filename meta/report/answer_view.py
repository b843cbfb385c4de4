"""What the six sections of a page show, made from the answers: names, rows, pictures. No HTML is
written here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meta.metric import Metric
from meta.report.compared_spaces import (
    ComparedSpace,
    ForecastSpace,
    screened_spaces,
    shown_forecasts,
)
from meta.report.evaluation_data import Evaluation
from meta.report.evidence_words import held_words
from meta.report.questions import q1_need, q2_expect, q3_label, q4_spaces, q5_model, q6_settings
from meta.report.six_answers import SixAnswer, six_answers
from meta.report.study_data import MeasuredSpace
from meta.report.wording import Hundredths, hundredths, names_apart
from meta.schema import AnswersContent


@dataclass(frozen=True)
class AnswerView:
    """The template's variable `a`."""

    answers: AnswersContent
    six: list[SixAnswer]
    metric: Metric
    hundredths: Hundredths
    held: str
    """What the 50 % and the 90 % intervals held on tasks left out; empty where nobody measured
    it."""
    has_truth: bool
    """Pictures show what was measured later."""
    spaces: list[ForecastSpace]
    screened: list[ComparedSpace]
    need: q1_need.NeedView
    expect: q2_expect.ExpectView
    classes: list[q3_label.ClassRow]
    ranking: q4_spaces.RankingView
    model: q5_model.ModelView
    settings: list[q6_settings.SettingRow]


def answer_view(
    answers: AnswersContent,
    names: Mapping[str, str] | None = None,
    truth: Sequence[MeasuredSpace] = (),
    *,
    colours: Mapping[str, int] | None = None,
    evaluation: Evaluation | None = None,
    pretrained: Mapping[str, int] | None = None,
) -> AnswerView:
    """The template's variable `a`. `names` replace encoder references. `truth` has curves that were
    measured later. `colours` number the encoders that the page shows elsewhere too: each keeps its
    colour. `pretrained` are the study's own NeoBERTas with their tokens of pretraining."""
    known = {
        **names_apart(answers.encoder_refs),
        **(names or {}),
    }
    spaces = shown_forecasts(answers, known, truth, colours)
    screened = screened_spaces(answers, known)
    return AnswerView(
        answers=answers,
        six=six_answers(answers, known),
        metric=answers.metric,
        hundredths=hundredths(answers.metric),
        held=held_words(evaluation) if evaluation is not None else "",
        has_truth=bool(truth),
        spaces=spaces,
        screened=screened,
        need=q1_need.view(answers, spaces, known),
        expect=q2_expect.view(spaces, answers.metric),
        classes=q3_label.class_rows(answers.class_counts),
        ranking=q4_spaces.view(answers, spaces, answers.metric),
        model=q5_model.view(answers, spaces, screened, known, pretrained or {}),
        settings=q6_settings.setting_rows(answers.hyperparameters),
    )
