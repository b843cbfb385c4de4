"""Question 6: settings. What the sample can say is measured; fine-tuning is judged by published
runs, and marked as such.

Every group carries `source`: `leave-one-out` (chosen on the labelled rows, no evaluation label
involved), `published runs` (`benchmarks/finetuning.py` makes the numbers below from them) or
`rule`. Fine-tuning was run by others, on other data and in part with other encoders than the probes
it is set beside: its gain has the wide interval that a handful of data sets leave.
"""

from typing import Any

import numpy as np
from scipy.stats import t as student

from meta.schema import Hyperparameters
from probes.encoders.base import EncoderInfo
from probes.features.crossfit import PENALTIES, RidgeFit

REFERENCE_PARAMETERS = 110e6
REFERENCE_LR = 2e-5
"""Best of 5e-6, 1e-5, 2e-5 and 5e-5 over five tasks (SciBERT's runs, BERT-base size): 0.5 points of
macro-F1 below the best setting of each task on average; half of it 1.2, 5e-5 1.6, a quarter of it
4.5."""
BATCH_SIZE = 32
FINETUNE_STEPS = 500
"""Steps of 32 rows within a point of the best at that learning rate: 158, 402, at most 457, 521 on
four tasks."""
MIN_EPOCHS, MAX_EPOCHS = 2, 20
"""2 to 5 epochs were tried: what is beyond 5 is extrapolated by the number of steps."""
TRIED_EPOCHS = 5

FROZEN_BELOW_ROWS = 500
"""Below this many rows the lower half stays frozen: Lee, Tang and Lin 2019 (arXiv 1911.03090) lose
nothing with it."""

LOG_ERROR_RATIOS: dict[str, dict[int, tuple[float, float, int]]] = {
    "ordinary": {8: (0.291, 0.460, 5), 64: (-0.103, 0.268, 5)},
    "contrastive": {8: (-0.202, 0.170, 5), 64: (-0.309, 0.237, 5)},
}
"""Kind of fine-tuning -> labelled rows a class -> ln(its error / a probe's error): mean, standard
deviation over data sets, and how many these are. Ordinary: of a language model. Contrastive: of a
sentence encoder, then a probe (SetFit)."""
WIDER_PER_OCTAVE_OUTSIDE = 0.25
"""Outside those rows a class the interval is this much wider per octave."""


def hyperparameters(
    fit: RidgeFit, info: EncoderInfo, n_layers: int, labels: np.ndarray, accuracy: float | None
) -> Hyperparameters:
    """Settings for a probe on the chosen space and for fine-tuning its encoder cut off above layer
    `n_layers`, from `labels` (n,) int64 of the labelled rows; `accuracy` is the probe's median
    forecast, None where another metric is forecast."""
    n_train, counts = len(labels), np.bincount(labels)
    finetune = finetune_settings(info, n_layers, n_train)
    if accuracy is not None and "learning_rate" in finetune:
        rows_per_class, floor = n_train / np.sum(counts > 0), float(counts.max() / n_train)
        finetune["gain"] = {
            kind: finetune_gain(kind, rows_per_class, accuracy, floor) for kind in LOG_ERROR_RATIOS
        }
    return Hyperparameters(probe=probe_settings(fit), finetune=finetune)


def probe_settings(fit: RidgeFit) -> dict[str, Any]:
    """Probe kind and C, chosen by leave-one-out error, with the neighbours on the grid as the range
    worth trying again; `C_is_at_end`: the grid ends there, so that a C beyond it was not tried."""
    position = int(np.argmin(np.abs(np.log(PENALTIES) - np.log(fit.penalty))))
    around = PENALTIES[max(position - 1, 0) : position + 2]
    return {
        "probe": "ridge",
        "C": 1 / fit.penalty,
        "C_low": 1 / max(around),
        "C_high": 1 / min(around),
        "C_is_at_end": len(around) < 3,
        "feature_scale": "mean row norm sqrt(d)",
        "temperature": fit.temperature,
        "source": "leave-one-out",
    }


def finetune_settings(info: EncoderInfo, n_layers: int, n_train: int) -> dict[str, Any]:
    """Fine-tuning settings from published runs with encoders of BERT-base's size; smaller ones take
    larger steps by rule. Spaces without layers are not fine-tuned."""
    if n_layers == 0:
        return {
            "source": "rule",
            "reason": "the chosen space has no trainable layers: use the probe",
        }
    lr = REFERENCE_LR * (REFERENCE_PARAMETERS / max(info.n_parameters, 1)) ** 0.25
    epochs = int(np.clip(np.ceil(FINETUNE_STEPS * BATCH_SIZE / n_train), MIN_EPOCHS, MAX_EPOCHS))
    return {
        "learning_rate": float(f"{np.clip(lr, 1e-5, 5e-4):.1e}"),
        "learning_rate_low": float(f"{np.clip(lr / 2, 5e-6, 2.5e-4):.1e}"),
        "learning_rate_high": float(f"{np.clip(lr * 2.5, 2.5e-5, 1e-3):.1e}"),
        "epochs": epochs,
        "epochs_extrapolated": epochs > TRIED_EPOCHS,
        "batch_size": BATCH_SIZE,
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "frozen_layers": n_layers // 2 if n_train < FROZEN_BELOW_ROWS else 0,
        "source": "published runs",
    }


def finetune_gain(
    kind: str, rows_per_class: float, accuracy: float, floor: float = 0.0
) -> dict[str, Any]:
    """What fine-tuning of `kind` (a key of LOG_ERROR_RATIOS) should add to a probe of this
    `accuracy`: q05, q50, q95 of the difference (fractions, negative where the probe is better), and
    whether `rows_per_class` lies outside what was published.

    The error is multiplied by exp(mean), between the published rows a class linear in their
    logarithm; the interval is that of a further data set, Student's for so few. A fine-tuned model
    is never taken to be worse than `floor`, the accuracy of always answering the commonest class
    (unless the probe is).
    """
    known = LOG_ERROR_RATIOS[kind]
    octaves = np.log2(np.array(list(known), dtype=np.float64))
    at = float(np.log2(max(rows_per_class, 1e-9)))
    mean, sd, n_sets = (
        float(np.interp(at, octaves, column)) for column in zip(*known.values(), strict=True)
    )
    outside = max(octaves[0] - at, at - octaves[-1], 0.0)
    half = (
        student.ppf(0.95, n_sets - 1)
        * sd
        * np.sqrt(1 + 1 / n_sets)
        * (1 + WIDER_PER_OCTAVE_OUTSIDE * outside)
    )
    error, most_lost = 1 - accuracy, max(accuracy - floor, 0.0)
    q05, q50, q95 = (
        float(np.clip(error * (1 - np.exp(mean + sign * half)), -most_lost, error))
        for sign in (1, 0, -1)
    )
    return {"q05": q05, "q50": q50, "q95": q95, "extrapolated": bool(outside > 0)}
