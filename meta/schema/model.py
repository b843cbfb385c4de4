"""Questions 5 and 6: the model to use, and its settings."""

from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer

from meta.schema.part import AnswerPart, Interval, ViewName


class UnsafeModel(AnswerPart):
    """Question 5: a smaller model whose median forecast is within half a point of the best, but
    which is truly so close less likely than not."""

    encoder: str
    view: ViewName
    layers: int
    parameters: int
    p_within_tolerance: float
    n_to_tell: int | None
    """With about this many labelled rows one could tell. None: with more than 64 times the present
    ones."""


class ModelAnswer(AnswerPart):
    """Question 5: the cheapest model whose median forecast at `n_train` is within half a point of
    the best, and is truly so close more likely than not. Where there is none it is the best
    itself."""

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
    unsafe: UnsafeModel | None = None
    """A cheaper model that was not chosen, because it is likely not as good."""
    neoberta: dict[str, Any]
    """A NeoBERTa configuration of this depth and width to pretrain: what a user pastes into a
    study's configuration, with the names of `neoberta.config.PretrainConfig`."""
    neoberta_source: str

    @property
    def neoberta_tokens(self) -> int | None:
        """The budget of that configuration, in tokens. None where it leaves it to the default."""
        n_tokens = self.neoberta.get("n_tokens")
        return None if n_tokens is None else int(n_tokens)


class Settings(AnswerPart):
    """A group of settings of question 6. Builds of this program differ in the settings that they
    write. A setting that was not given is not written."""

    @model_serializer(mode="wrap")
    def _only_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written = serialise(self)
        return {name: value for name, value in written.items() if name in self.model_fields_set}


class ProbeSettings(Settings):
    """Settings for a linear probe on the chosen space."""

    probe: str | None = None
    """Kind of probe."""
    C: float
    """The inverse of the regularisation's strength: the smaller, the simpler the probe."""
    C_low: float | None = None
    C_high: float | None = None
    """The neighbours of `C` on the grid: the range that is worth trying again."""
    C_is_at_end: bool = False
    """True where the grid ends at `C`, so that no value beyond it was tried."""
    feature_scale: str | None = None
    temperature: float | None = None
    """Scores are divided by it before they become probabilities."""
    source: str | None = None


class FinetuneGain(Interval):
    """What fine-tuning should add to the accuracy of the probe: a fraction, negative where the
    probe is better."""

    extrapolated: bool
    """True where the number of labelled rows per class lies outside the published ones."""


class FinetuneGains(AnswerPart):
    """The gains of two kinds of fine-tuning."""

    ordinary: FinetuneGain
    """Fine-tuning of a language model."""
    contrastive: FinetuneGain
    """Fine-tuning of a sentence encoder, followed by a probe (SetFit)."""


class FinetuneSettings(Settings):
    """Settings for fine-tuning the encoder of the chosen space."""

    learning_rate: float
    learning_rate_low: float | None = None
    learning_rate_high: float | None = None
    """The range that is worth trying."""
    epochs: int
    epochs_extrapolated: bool = False
    """True where the published runs have fewer epochs."""
    batch_size: int | None = None
    warmup_ratio: float | None = None
    weight_decay: float | None = None
    frozen_layers: int | None = None
    source: str | None = None
    gain: FinetuneGains | None = None
    """Given only where the metric is accuracy."""


class NoFinetuning(Settings):
    """Takes the place of `FinetuneSettings` where the chosen space has no layers to train."""

    source: str | None = None
    reason: str


class Hyperparameters(AnswerPart):
    """Question 6. The field `source` of each group says where its numbers come from: measured on
    the sample, published runs, or a rule of thumb."""

    probe: ProbeSettings
    finetune: FinetuneSettings | NoFinetuning
