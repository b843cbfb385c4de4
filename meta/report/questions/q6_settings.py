"""Question 6: which hyperparameters?"""

from collections.abc import Iterator
from typing import NamedTuple

from meta.report.wording import gain_words, number, setting
from meta.schema import (
    AnswersContent,
    FinetuneSettings,
    Hyperparameters,
    NoFinetuning,
    ProbeSettings,
)

NAMES = {
    "C": "regularisation C",
    "C_low": "C worth trying, from",
    "C_high": "C worth trying, to",
    "C_is_at_end": "C at the end of the grid",
    "probe": "kind of probe",
    "feature_scale": "feature scale",
    "temperature": "temperature of the probabilities",
    "learning_rate": "learning rate",
    "epochs": "epochs",
    "batch_size": "batch size",
    "warmup_ratio": "warm-up, share of steps",
    "weight_decay": "weight decay",
    "frozen_layers": "layers to freeze",
    "reason": "note",
    "learning_rate_low": "learning rate worth trying, from",
    "learning_rate_high": "learning rate worth trying, to",
}
"""Settings as the table names them; one that a later build added has its own name."""
NOT_SETTINGS = ("source", "gain", "epochs_extrapolated")
"""Fields that have no line of their own: the first two are shown otherwise."""
SOURCES = {
    "leave-one-out": "measured by leave-one-out",
    "published runs": "published runs on other data",
    "rule": "rule of thumb, not measured",
    "measured": "measured",
}


def sentence(answers: AnswersContent) -> str:
    """C for the probe, and with what fine-tuning should start."""
    probe, finetune = answers.hyperparameters.probe, answers.hyperparameters.finetune
    end = " (the end of the grid: try beyond it)" if probe.C_is_at_end else ""
    said = f"Use C = {number(probe.C)} for a linear probe{end}"
    if isinstance(finetune, NoFinetuning):
        return (
            f"{said}; fine-tuning does not apply to the space of answer 5, which has no layers to"
            " train."
        )
    said += (
        f"; to fine-tune, start with learning rate {number(finetune.learning_rate)} and"
        f" {finetune.epochs} epochs"
    )
    if finetune.source == "rule":
        return f"{said} (a rule of thumb)."
    if finetune.gain is None:
        return f"{said}."
    ordinary, contrastive = finetune.gain.ordinary, finetune.gain.contrastive
    recipes = sorted(
        [("ordinary fine-tuning", ordinary), ("contrastive fine-tuning (SetFit)", contrastive)],
        key=lambda recipe: -recipe[1].q50,
    )
    gains = ", ".join(f"{name} {gain_words(gain)}" for name, gain in recipes)
    if max(ordinary.q50, contrastive.q50) <= 0:
        return (
            f"{said}, but do not expect it to beat the probe with so few labels: by published runs"
            f" on other data, {gains}."
        )
    return f"{said}; over the probe, by published runs on other data: {gains}."


class SettingRow(NamedTuple):
    """A line of the table."""

    group: str
    """What it is for."""
    name: str
    value: str
    source: str


def setting_rows(settings: Hyperparameters) -> list[SettingRow]:
    """The section's table."""
    return [
        *_group_rows("linear probe", settings.probe),
        *_group_rows("fine-tuning", settings.finetune),
    ]


def _group_rows(
    group: str, settings: ProbeSettings | FinetuneSettings | NoFinetuning
) -> Iterator[SettingRow]:
    source = SOURCES.get(settings.source or "", settings.source or "not stated")
    for name, value in settings:
        if name in settings.model_fields_set and name not in NOT_SETTINGS:
            yield SettingRow(group, NAMES.get(name, name), setting(value), source)
    if isinstance(settings, FinetuneSettings) and settings.gain is not None:
        for kind, gain in (
            ("ordinary fine-tuning", settings.gain.ordinary),
            (
                "contrastive fine-tuning of a sentence encoder, then a probe",
                settings.gain.contrastive,
            ),
        ):
            yield SettingRow(group, f"gain over the probe, {kind}", gain_words(gain), source)
