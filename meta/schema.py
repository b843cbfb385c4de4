"""The schema of `answers.json`: the six answers, each number with its interval, and what to beware
of.

Field names are a contract (docs/answers.md); fields are only ever added. Rates are fractions in [0,
1], sizes are labelled rows, `row` is the 0-based position among the data rows of the file that the
user gave.
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
    """A part of the answers; unknown fields of a later version are kept."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class ViewName(AnswerPart):
    layer: int
    """0: input embeddings; the encoder's `n_layers`: the last."""
    pooling: str


class CurvePoint(AnswerPart):
    """Quantiles of the metric of a probe trained on `n_train` rows, evaluated on rows like the
    evaluation sample."""

    n_train: int
    q05: float
    q25: float
    q50: float
    q75: float
    q95: float


class HeldOut(AnswerPart):
    """What the labelled sample itself says: leave-one-out, accuracy with the 90 % interval of its
    noise (Wilson)."""

    accuracy: float
    q05: float
    q95: float


class Interval(AnswerPart):
    q05: float
    q50: float
    q95: float


class EvalLabels(AnswerPart):
    """Question 2, where labels of evaluation rows were given: the metric of the best space's probe
    at `n_train`, measured on those rows and narrowed by its predictions for the others; `curve` has
    it in it already."""

    n_labelled: int
    estimate: float
    q05: float
    q95: float
    """Of the estimate alone, without the metamodel."""
    weight: float
    """In [0, 1]: how much the probe's own confidence on unlabelled rows was believed."""
    before: Interval
    """The forecast without these labels."""


class RankedView(AnswerPart):
    """One embedding space with its forecast; the list is ordered by the median forecast at
    `n_train`."""

    encoder: str
    view: ViewName
    p_best: float
    """Probability that it is the best of all spaces compared (screened ones included) at
    `n_train`."""
    p_best_16x: float
    """The same with 16 times the labels: curves may cross."""
    p_within_tolerance: float
    """Probability that it is within half a point of the best at `n_train`."""
    held_out: HeldOut
    measured: float | None = None
    """The metric itself in leave-one-out (`held_out` is accuracy, whatever the metric)."""
    curve: list[CurvePoint] = Field(min_length=1)


class ScreenedView(AnswerPart):
    """A space that leave-one-out left behind: compared, but without a forecast of its own."""

    encoder: str
    view: ViewName
    p_best: float
    held_out: HeldOut
    measured: float | None = None
    """As of those that are forecast."""


class UntriedEncoder(AnswerPart):
    """Question 4: an encoder of the hub that was not tried, judged by published results and by how
    those tried did here."""

    encoder: str
    p_beats_best_tried: float
    """Probability that its accuracy on this task is above that of the best encoder tried."""
    q05: float
    q50: float
    q95: float
    """Its accuracy at `n_train`, on rows like the labelled ones."""
    parameters: int | None
    n_tasks: int
    """Published tasks that this rests on."""


class LabellingRound(AnswerPart):
    """One round of the labelling plan: label `label` more rows, look again at `n_train`."""

    round: int
    label: int
    n_train: int
    q05: float
    q50: float
    q95: float
    """Forecast of the metric after the round."""
    p_reached: float | None = None
    """Probability that the target is reached by then."""


class EncoderNeed(AnswerPart):
    """Required labels with one embedding space; null: not within `searched_up_to`."""

    encoder: str
    view: ViewName
    reachable: bool
    status: Literal["reached", "reachable", "uncertain", "not_reachable"]
    """`reached`: the median is there now. `reachable`: the median gets there. `uncertain`: only an
    optimistic quantile does. `not_reachable`: not even the 95 % quantile does."""
    q05: int | None
    q50: int | None
    q95: int | None
    n_if_reached: int | None = None
    """If the target is not met now, and is within reach: the n at which it is (median). Null where
    more labels make it hardly likelier."""
    p_reached_now: float
    p_reachable: float
    """Probability that the metric at `searched_up_to` rows is at the target or better."""


class DataNeeded(EncoderNeed):
    """Question 1, with the space that needs the fewest labels."""

    searched_up_to: int
    """Largest `n_train` that was looked at (16 times the present one)."""
    plan: list[LabellingRound]
    by_encoder: list[EncoderNeed]
    """The best space of each encoder."""


class LabelNext(AnswerPart):
    """Question 3: an evaluation row worth labelling."""

    row: int
    """Row of the evaluation file."""
    text: str
    text_pair: str | None = None
    score: float
    """In [0, 1], comparable only within this list."""
    reason: Literal["uncovered region", "uncertain", "rare class", "typical"]
    why: str
    """The reason in a sentence."""


class LabelBatch(AnswerPart):
    """What labelling the whole `label_next` list should bring, forecast as if its rows were drawn
    at random."""

    n_rows: int
    gain: float
    """Median forecast after the batch less the median now (points of the metric / 100)."""
    strategy: str


class SuspectLabel(AnswerPart):
    """Question 3: a labelled row whose label looks wrong."""

    row: int
    """Row of the labelled file."""
    text: str
    given: str
    likely: str
    score: float
    """1 − the cross-fitted probability of the given label."""
    reason: Literal["predicted otherwise", "same text, other label"]


class ModelAnswer(AnswerPart):
    """Question 5: the cheapest model within half a point of the best (median forecasts at
    `n_train`)."""

    encoder: str
    view: ViewName
    layers: int
    encoder_layers: int | None = None
    """Layers that the whole encoder has; None in answers of earlier builds."""
    hidden_size: int
    parameters: int
    """Of the encoder cut off above `view.layer`."""
    memory_mb: float
    """Weights in float32."""
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
    """Question 6. Every group says its `source`: measured on the sample, or a rule of thumb."""

    probe: ProbeSettings
    finetune: FinetuneSettings | NoFinetuning


class Evidence(AnswerPart):
    """What the forecasts rest on: the metamodel and how it did on tasks that it had not seen."""

    metamodel: str
    tasks: int
    tasks_left_out: int | None = None
    """Those that its own evaluation left out in turn, where they are fewer: a study's, beside the
    shipped ones."""
    held_out_mae: dict[str, float]
    """Per horizon ("1x", "4x", ...): mean absolute error, fraction."""
    held_out_coverage_90: float | None
    held_out_required_n_within_2x: dict[str, dict[str, float]] = {}
    """By the horizon at which the target was truly reached ("4x", "16x"): share of cases in which
    `q50` (`n_if_reached`) of `DataNeeded` was right within a factor of two."""
    in_training_range: bool
    interval_factor: float
    """Intervals were stretched by this about the median (1 inside the training range)."""


class AnswersContent(AnswerPart):
    """Everything that `characterize` found out: the content of `answers.json`."""

    schema_version: int = Field(1, alias="schema")
    metric: Metric
    n_train: int
    """Labelled rows used: distinct, and at most as many as one run looks at."""
    n_train_given: int
    n_eval: int
    """Evaluation rows used: distinct, not among the labelled ones; 0 without an evaluation
    sample."""
    n_classes: int
    class_counts: dict[str, int]
    majority_share: float
    """Of the labelled rows: those of the most frequent class."""
    constant_score: float
    """The metric of an answer that never looks at the text (`meta.answering.constant_answer`)."""
    target: float
    target_source: Literal["user", "default"]
    """`default`: a point less than the best median forecast at 16 times the labels, and better than
    `constant_score`."""
    encoders: list[RankedView] = Field(min_length=1)
    screened: list[ScreenedView]
    eval_labels: EvalLabels | None = None
    """None where `--eval-labels` was not given, or gave fewer than 20."""
    untried: list[UntriedEncoder] = []
    """At most 5, likeliest to beat the best one tried first; empty where none is more likely than
    not to."""
    data_needed: DataNeeded
    label_next: list[LabelNext]
    label_batch: LabelBatch | None
    suspect_labels: list[SuspectLabel]
    model: ModelAnswer
    hyperparameters: Hyperparameters
    evidence: Evidence
    warnings: list[str]
    """What to keep in mind before the answers are believed; empty: nothing special."""

    def to_json(self) -> dict[str, Any]:
        """The content of `answers.json`."""
        return self.model_dump(mode="json", by_alias=True)
