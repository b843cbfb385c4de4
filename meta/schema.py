"""The schema of `answers.json`: the six answers, their intervals, and warnings.

Field names are a contract (docs/answers.md). Fields may be added; none is renamed or removed. Rates
are fractions in [0, 1]. Sizes count labelled rows. `row` is the 0-based position among the data
rows of the file that the user gave. `q05` to `q95` are quantiles of what is forecast.
"""

from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from meta.metric import Metric


class AnswerPart(BaseModel):
    """A part of the answers. It keeps unknown fields, which a later version may have written."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class ViewName(AnswerPart):
    """A layer and a pooling of an encoder: together with the encoder they name an embedding
    space."""

    layer: int
    """0 is the input embeddings. The encoder's number of layers is the last layer."""
    pooling: str
    """How the vectors of a text's tokens become one vector: `mean`, `cls`, `max`, ..."""


class CurvePoint(AnswerPart):
    """Forecast of the metric of a probe that is trained on `n_train` rows and evaluated on rows
    like those of the evaluation sample."""

    n_train: int
    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


class HeldOut(AnswerPart):
    """Leave-one-out accuracy on the labelled sample, with the 90 % interval of its sampling noise
    (Wilson)."""

    accuracy: float
    q05: float
    q95: float


class Interval(AnswerPart):
    """A median with the ends of its 90 % interval."""

    q05: float
    q50: float
    q95: float


class EvalLabels(AnswerPart):
    """Question 2, where labels of evaluation rows were given: the metric of the best space's probe
    at `n_train`. It is measured on those rows, and the probe's predictions for the other rows make
    its interval narrower. `curve` of that space has been corrected by it."""

    n_labelled: int
    estimate: float
    q05: float
    q95: float
    """End of the 90 % interval of the estimate alone, without the metamodel."""
    weight: float
    """In [0, 1]: weight of the probe's own confidence on unlabelled rows."""
    before: Interval
    """The forecast at `n_train` without these labels."""


class RankedView(AnswerPart):
    """One embedding space with its forecast. The list is ordered by the median forecast at
    `n_train`, the best first."""

    encoder: str
    view: ViewName
    p_best: float
    """Probability that it is the best of all spaces compared, screened ones included, at
    `n_train`."""
    p_best_16x: float
    """The same probability at 16 times the labels; curves may cross."""
    p_within_tolerance: float
    """Probability that it is within half a point of the best at `n_train`."""
    held_out: HeldOut
    measured: float | None = None
    """The metric that was asked for, in leave-one-out. `held_out` is always accuracy."""
    curve: list[CurvePoint] = Field(min_length=1)


class ScreenedView(AnswerPart):
    """A space that was compared by leave-one-out and did not get a forecast of its own."""

    encoder: str
    view: ViewName
    p_best: float
    held_out: HeldOut
    measured: float | None = None
    """As in `RankedView`."""


class UntriedEncoder(AnswerPart):
    """Question 4: an encoder of the hub that the user did not give. It is judged by published
    results and by what the tried encoders reached on this task."""

    encoder: str
    p_beats_best_tried: float
    """Probability that its accuracy on this task is above that of the best encoder tried."""
    q05: float
    q50: float
    q95: float
    """Quantiles of its accuracy at `n_train`, on rows like the labelled ones."""
    parameters: int | None
    n_tasks: int
    """Number of published tasks on which it was measured."""


class LabellingRound(AnswerPart):
    """One round of the labelling plan: label `label` more rows, then ask again with `n_train`
    rows."""

    round: int
    label: int
    n_train: int
    q05: float
    q50: float
    q95: float
    """Quantiles of the metric after the round."""
    p_reached: float | None = None
    """Probability that the target is reached by then."""


class EncoderNeed(AnswerPart):
    """How many labels one embedding space needs. Null means: more than `searched_up_to`."""

    encoder: str
    view: ViewName
    reachable: bool
    status: Literal["reached", "reachable", "uncertain", "not_reachable"]
    """`reached`: the median is at the target now. `reachable`: the median gets there. `uncertain`:
    only an optimistic quantile gets there. `not_reachable`: not even the most optimistic quantile
    does."""
    q05: int | None
    q50: int | None
    q95: int | None
    n_if_reached: int | None = None
    """Median of the required n, given that the target is not met now and is within reach. Null
    where the target is reached, and where more labels make it hardly more likely."""
    p_reached_now: float
    p_reachable: float
    """Probability that the metric at `searched_up_to` rows is at the target or better."""


class DataNeeded(EncoderNeed):
    """Question 1: the labels that the space with the smallest need requires."""

    searched_up_to: int
    """Largest `n_train` of the forecasts (16 times the present one)."""
    plan: list[LabellingRound]
    by_encoder: list[EncoderNeed]
    """For each encoder, its space that needs the fewest labels."""


class LabelNext(AnswerPart):
    """Question 3: an evaluation row worth labelling."""

    row: int
    """Position in the evaluation file."""
    text: str
    text_pair: str | None = None
    score: float
    """In [0, 1]; comparable only within this list."""
    reason: Literal["uncovered region", "uncertain", "rare class", "typical"]
    why: str
    """The reason in a sentence."""


class LabelBatch(AnswerPart):
    """What labelling all rows of `label_next` should bring. The forecast treats them as rows that
    are drawn at random."""

    n_rows: int
    gain: float
    """Median forecast after the batch less the median now, in the unit of the metric; never
    negative: a falling log-loss is a gain too."""
    strategy: str
    """How the rows were chosen, in words."""


class SuspectLabel(AnswerPart):
    """Question 3: a labelled row whose label looks wrong."""

    row: int
    """Position in the labelled file."""
    text: str
    given: str
    likely: str
    score: float
    """1 − the probability of the given label: the probes' in leave-one-out, or the label's share of
    the rows with the same text."""
    reason: Literal["predicted otherwise", "same text, other label"]


class ModelAnswer(AnswerPart):
    """Question 5: the cheapest model whose median forecast at `n_train` is within half a point of
    the best."""

    encoder: str
    view: ViewName
    layers: int
    encoder_layers: int | None = None
    """Number of layers of the whole encoder. None in answers of earlier builds."""
    hidden_size: int
    parameters: int
    """Parameters of the encoder without the layers above `view.layer`."""
    memory_mb: float
    """Size of these weights in float32."""
    milliseconds_per_text: float | None
    milliseconds_source: Literal["measured", "scaled by depth", "not measured"]
    metric_q50: float
    best_q50: float
    p_within_tolerance: float
    neoberta: dict[str, Any]
    """A NeoBERTa configuration of this depth and width to pretrain: what a user pastes into a
    study's configuration, with the names of `neoberta.config.PretrainConfig`."""
    neoberta_source: str


class Settings(AnswerPart):
    """A group of settings of question 6. Builds differ in the settings that they name: those that
    were not given are not written either."""

    @model_serializer(mode="wrap")
    def _only_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = serialise(self)
        return {name: value for name, value in written.items() if name in self.model_fields_set}


class ProbeSettings(Settings):
    """A linear probe on the chosen space."""

    probe: str | None = None
    """Kind of probe."""
    C: float
    """Regularisation: a small C holds the probe back."""
    C_low: float | None = None
    C_high: float | None = None
    """The neighbours of `C` on the grid: the range worth trying again."""
    C_is_at_end: bool = False
    """The grid ends at `C`: what lies beyond was not tried."""
    feature_scale: str | None = None
    temperature: float | None = None
    """Divides the scores before they become probabilities."""
    source: str | None = None


class FinetuneGain(Interval):
    """What fine-tuning should add to the accuracy of the probe."""

    extrapolated: bool
    """The labelled rows a class lie outside what was published."""


class FinetuneGains(AnswerPart):
    """The gain by kind of fine-tuning."""

    ordinary: FinetuneGain
    """Of a language model."""
    contrastive: FinetuneGain
    """Of a sentence encoder, then a probe (SetFit)."""


class FinetuneSettings(Settings):
    """Fine-tuning of the chosen space's encoder."""

    learning_rate: float
    learning_rate_low: float | None = None
    learning_rate_high: float | None = None
    """The range worth trying."""
    epochs: int
    epochs_extrapolated: bool = False
    """More epochs than were ever tried."""
    batch_size: int | None = None
    warmup_ratio: float | None = None
    weight_decay: float | None = None
    frozen_layers: int | None = None
    source: str | None = None
    gain: FinetuneGains | None = None
    """Not given where the metric is not accuracy."""


class NoFinetuning(Settings):
    """The chosen space has no layers to train."""

    source: str | None = None
    reason: str


class Hyperparameters(AnswerPart):
    """Question 6. The field `source` of each group says where its numbers come from: measured on
    the sample, published runs, or a rule of thumb."""

    probe: ProbeSettings
    finetune: FinetuneSettings | NoFinetuning


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
    held_out_required_n_within_2x: dict[str, dict[str, float]] = {}
    """For each horizon at which a target was truly reached ("4x", "16x"): the share of cases in
    which `q50` and `n_if_reached` of `DataNeeded` were right within a factor of two."""
    in_training_range: bool
    """False where the sample lies outside the range of the samples that the metamodel has learnt
    from."""
    interval_factor: float
    """All intervals were stretched about their medians by this factor: 1, or more where classes
    have a single row or the texts are not English."""


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
    eval_labels: EvalLabels | None = None
    """None where `--eval-labels` was not given, where fewer than 20 rows have a label, and for a
    metric that is no mean over rows."""
    untried: list[UntriedEncoder] = []
    """At most 5 encoders, those that most likely beat the best one tried first. Empty where none
    beats it with a probability of at least one half."""
    data_needed: DataNeeded
    label_next: list[LabelNext]
    label_batch: LabelBatch | None
    suspect_labels: list[SuspectLabel]
    model: ModelAnswer
    hyperparameters: Hyperparameters
    evidence: Evidence
    warnings: list[str]
    """What to keep in mind before you believe the answers. Empty where nothing is unusual."""

    def to_json(self) -> dict[str, Any]:
        """The content of `answers.json`, as JSON types."""
        return self.model_dump(mode="json", by_alias=True)
