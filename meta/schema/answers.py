"""All answers together: the content of `answers.json`."""

from typing import Any, Literal

from pydantic import Field

from meta.metric import Metric
from meta.schema.labels import DataNeeded, LabelBatch, LabelNext, SuspectLabel
from meta.schema.model import Hyperparameters, ModelAnswer
from meta.schema.part import AnswerPart
from meta.schema.spaces import (
    BestPoint,
    EvalLabels,
    RankedView,
    ScreenedView,
    UntriedBasis,
    UntriedEncoder,
)


class Evidence(AnswerPart):
    """The metamodel that made the forecasts, and how right it was on tasks that it had not seen."""

    metamodel: str
    """Name of the metamodel."""
    tasks: int
    """Number of tasks that it has learnt from."""
    tasks_left_out: int | None = None
    """Number of tasks that its evaluation left out in turn. It can be smaller than `tasks`: a study
    learns from the shipped observations too, and leaves out its own tasks only."""
    held_out_mae: dict[str, float]
    """For each horizon ("1x", "4x", ...), the mean absolute error in the unit of the metric."""
    held_out_coverage_90: float | None
    held_out_required_n_within_2x: dict[str, dict[str, float]] = Field(default_factory=dict)
    """For each horizon at which a target was truly reached ("4x", "16x"): the share of cases in
    which `q50` and `n_if_reached` of `DataNeeded` were right within a factor of two."""
    in_training_range: bool
    """False where the sample lies outside the range of the samples that the metamodel has learnt
    from."""
    interval_factor: float
    """The intervals of the best space were stretched about their medians by this factor: 1, or more
    where classes have a single row or few rows for an AUROC, the texts are not English, rows of a
    group go together, accuracy is lost over time, or the sample lies outside the training
    range."""


class AnswersContent(AnswerPart):
    """All answers of one run of `characterize`: the content of `answers.json`."""

    schema_version: int = Field(1, alias="schema")
    metric: Metric
    n_train: int
    """Labelled rows that were used: distinct ones, and at most as many as one run looks at."""
    n_train_given: int
    """Labelled rows that the user gave."""
    n_eval: int
    """Evaluation rows that were used: distinct ones that are not among the labelled rows. 0 without
    an evaluation sample."""
    n_classes: int
    class_counts: dict[str, int]
    majority_share: float
    """Share of the labelled rows that are of the most frequent class."""
    constant_score: float
    """The metric of an answer that never looks at the text (`meta.answering.constant_answer`)."""
    target: float
    target_source: Literal["user", "default"]
    """`default`: no target was given, so it is a point less than the best median forecast at 16
    times the labels, and better than `constant_score`."""
    encoders: list[RankedView] = Field(min_length=1)
    screened: list[ScreenedView]
    best_curve: list[BestPoint] = Field(default_factory=list)
    """The best choice at each size, from which questions 1 and 2 are answered. Empty in answers of
    earlier builds."""
    eval_labels: EvalLabels | None = None
    """None where `--eval-labels` was not given, where fewer than 20 rows have a label, and for a
    metric that is no mean over rows."""
    untried: list[UntriedEncoder] = Field(default_factory=list)
    """At most 5 encoders, those that most likely beat the best one tried first. Empty where none
    beats it with a probability of at least one half."""
    untried_basis: UntriedBasis | None = None
    """None for pairs of texts, of which there are no published results."""
    data_needed: DataNeeded
    label_next: list[LabelNext]
    label_batch: LabelBatch | None
    suspect_labels: list[SuspectLabel]
    model: ModelAnswer
    hyperparameters: Hyperparameters
    evidence: Evidence
    warnings: list[str]
    """What to keep in mind before you believe the answers. Empty where nothing is unusual."""

    @property
    def encoder_refs(self) -> list[str]:
        """The references of all encoders compared, those with a forecast first."""
        forecast = [space.encoder for space in self.encoders]
        return list(dict.fromkeys(forecast + [space.encoder for space in self.screened]))

    def to_json(self) -> dict[str, Any]:
        """The content of `answers.json`, as JSON types."""
        return self.model_dump(mode="json", by_alias=True)
