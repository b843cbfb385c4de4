"""The values that the study's report shows. Every part is optional: the page names a missing part
and says why it is missing.

Rates are fractions in [0, 1], errors in points are hundredths of the metric, seconds are
wall-clock.
"""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from meta.metric import Metric
from meta.report.evaluation_data import Evaluation
from meta.schema import AnswersContent, ViewName
from meta.search import Candidate


class ReportPart(BaseModel):
    """A part of the report's data."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class StageTime(ReportPart):
    """One stage of the study."""

    stage: str
    seconds: float
    """Wall-clock, over all runs of the stage when it was interrupted and run again."""
    note: str = ""
    """What it made, for example `11,520 probes`."""


class TaskSummary(ReportPart):
    """A labelled task of the study."""

    name: str
    n_train: int
    n_test: int
    n_classes: int
    is_pair: bool = False
    description: str = ""
    constant_score: float | None = None
    """What an answer that never looks at a text has on the test rows."""
    left_out: bool = False
    """The task of the example, which the metamodel has never seen."""


class EncoderSummary(ReportPart):
    """An encoder of the study."""

    name: str
    family: str = ""
    n_layers: int | None = None
    hidden_size: int | None = None
    n_parameters: int | None = None
    n_views: int | None = None
    """Layers x poolings that were probed."""
    note: str = ""


class PretrainedModel(ReportPart):
    """A NeoBERTa that the study trained. Losses are nats per masked token."""

    name: str
    n_layers: int
    hidden_size: int
    n_parameters: int
    n_tokens: int
    n_workers: int = 1
    seconds: float | None = None
    validation_loss: float | None = None
    unigram_loss: float | None = None
    """What guessing by word frequency alone would reach."""
    losses: tuple[tuple[float, float], ...] = ()
    """(tokens seen, training loss), in order."""


class MeasuredPoint(ReportPart):
    """What the probes reached with `n_train` labelled rows: mean and standard deviation over
    seeds."""

    n_train: int
    mean: float
    sd: float = 0.0
    n_seeds: int = 1


class LearningCurve(ReportPart):
    """The measured learning curve of an encoder on one task, at its best embedding space."""

    task: str
    encoder: str
    view: str = ""
    """For example `layer 6, mean`."""
    points: tuple[MeasuredPoint, ...]


class MeasuredSpace(ReportPart):
    """The measured learning curve of one embedding space on the task of the example."""

    encoder: str
    """The reference, as in the answers."""
    view: ViewName
    points: tuple[MeasuredPoint, ...]


class DepthCurve(ReportPart):
    """Quality by layer of an encoder: the mean over tasks, at each layer the pooling that
    leave-one-out likes best."""

    encoder: str
    n_train: int
    layers: tuple[int, ...]
    values: tuple[float, ...]


class RegularisationCurve(ReportPart):
    """Quality of the probes by their regularisation C, mean over tasks and encoders, at one
    size."""

    n_train: int
    C: tuple[float, ...]
    values: tuple[float, ...]
    chosen: float | None = None
    """What choosing C by leave-one-out on each sample reached."""


class ForecastPoint(ReportPart):
    """One forecast on a task left out and what came out."""

    task: str
    predicted: float
    actual: float
    low: float
    high: float
    """Ends of the 90 % interval."""


class Horizon(ReportPart):
    """Forecasts at one horizon, `factor` times the labels at hand."""

    factor: int
    points: tuple[ForecastPoint, ...]
    n_total: int
    """Forecasts that were made; `points` may be a sample of them."""


class PilotReportData(ReportPart):
    """The study's report."""

    title: str = "The pilot study"
    preset: str = ""
    created_at: str = ""
    command: str = ""
    """The command that makes this page again."""
    metric: Metric = Metric.ACCURACY
    environment: dict[str, str] = {}
    stages: tuple[StageTime, ...] = ()
    n_probes: int | None = None
    tasks: tuple[TaskSummary, ...] = ()
    encoders: tuple[EncoderSummary, ...] = ()
    names: dict[str, str] = {}
    """Encoder references, as in `answers`, and the names that the page shows in their place."""
    pretrained: tuple[PretrainedModel, ...] = ()
    learning_curves: tuple[LearningCurve, ...] = ()
    depth_curves: tuple[DepthCurve, ...] = ()
    regularisation: tuple[RegularisationCurve, ...] = ()
    answers: AnswersContent | None = None
    """The answers for the task of the example, which the metamodel has never seen."""
    answers_task: str = ""
    answers_truth: tuple[MeasuredSpace, ...] = ()
    """What the probes measured on that task."""
    evaluation: Evaluation = Evaluation()
    horizons: tuple[Horizon, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    """The meta-search's table."""
    thin: tuple[str, ...] = ()
    """What is still thin, a sentence each."""
    missing: dict[str, str] = {}
    """Why a part is missing, by the name of its field: `{"candidates": "the meta-search was
    switched off"}`."""


def total_seconds(stages: Sequence[StageTime]) -> float:
    """Seconds of all stages."""
    return sum(stage.seconds for stage in stages)
