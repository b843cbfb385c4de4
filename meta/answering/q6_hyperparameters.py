"""Question 6: settings for a probe and for fine-tuning.

The settings of the probe are measured on the sample. Those of fine-tuning come from published runs.
The field `source` of each group says so: `leave-one-out` (chosen on the labelled rows; no label of
an evaluation row is read), `published runs` (`benchmarks/finetuning.py` makes the numbers below
from them) or `rule`. The published runs are on other data and partly with other encoders than the
probes. So the gain of fine-tuning has a wide interval.
"""

from typing import Any

import numpy as np
from scipy.stats import t as student

from meta.schema import Hyperparameters
from probes.encoders.base import EncoderInfo
from probes.features.crossfit import PENALTIES, RidgeFit

REFERENCE_PARAMETERS = 110e6
"""Parameters of BERT-base, the size for which `REFERENCE_LR` was found."""
REFERENCE_LR = 2e-5
"""The best of four learning rates over five tasks (SciBERT's runs, BERT-base size). On average it
is 0.5 points of macro-F1 below the best setting of each task. 1e-5 is 1.2 points below, 5e-5 is 1.6
and 5e-6 is 4.5."""
BATCH_SIZE = 32
"""Rows in a batch of the published runs."""
FINETUNE_STEPS = 500
"""Steps of 32 rows. On four tasks the runs at `REFERENCE_LR` came within a point of the best after
158, 402, at most 457, and 521 steps."""
MIN_EPOCHS, MAX_EPOCHS = 2, 20
TRIED_EPOCHS = 5
"""The published runs have 2 to 5 epochs. More are extrapolated from the number of steps."""
FROZEN_BELOW_ROWS = 500
"""With fewer rows the lower half of the layers stays frozen. Lee, Tang and Lin 2019 (arXiv
1911.03090) lose nothing with it."""

LOG_ERROR_RATIOS: dict[str, dict[int, tuple[float, float, int]]] = {
    "ordinary": {8: (0.291, 0.460, 5), 64: (-0.103, 0.268, 5)},
    "contrastive": {8: (-0.202, 0.170, 5), 64: (-0.309, 0.237, 5)},
}
"""Kind of fine-tuning -> labelled rows per class -> ln(error of fine-tuning / error of a probe):
the mean, the standard deviation over data sets, and the number of data sets. `ordinary` fine-tunes
a language model. `contrastive` fine-tunes a sentence encoder and then fits a probe (SetFit)."""
WIDER_PER_OCTAVE_OUTSIDE = 0.25
"""Outside those numbers of rows per class, each octave makes the interval wider by this share."""


def hyperparameters(
    fit: RidgeFit, info: EncoderInfo, n_layers: int, labels: np.ndarray, accuracy: float | None
) -> Hyperparameters:
    """Settings for the probe `fit` of the best space, and for fine-tuning the encoder `info`, cut
    off above layer `n_layers`.

    `labels` (n,) int64 are those of the labelled rows. `accuracy` is the median forecast of the
    probe; None where another metric is forecast, and then no gain of fine-tuning is given.
    """
    n_train, counts = len(labels), np.bincount(labels)
    finetune = finetune_settings(info, n_layers, n_train)
    if accuracy is not None and "learning_rate" in finetune:
        rows_per_class, floor = n_train / np.sum(counts > 0), float(counts.max() / n_train)
        finetune["gain"] = {
            kind: finetune_gain(kind, rows_per_class, accuracy, floor) for kind in LOG_ERROR_RATIOS
        }
    return Hyperparameters(probe=probe_settings(fit), finetune=finetune)


def probe_settings(fit: RidgeFit) -> dict[str, Any]:
    """The kind of probe and its C, chosen by the leave-one-out error. `C_low` and `C_high` are the
    neighbours of C on the grid, the range worth trying again. `C_is_at_end` says that the grid ends
    at C, so that no C beyond it was tried."""
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
    """Fine-tuning settings, from published runs with encoders of the size of BERT-base. Smaller
    encoders get a larger learning rate, by a rule of thumb. A space without layers is not
    fine-tuned; the result then says why."""
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
    """What fine-tuning of `kind`, a key of LOG_ERROR_RATIOS, should add to the `accuracy` of a
    probe.

    Returns `q05`, `q50`, `q95` of the difference (fractions, negative where the probe is better),
    and `extrapolated`: whether `rows_per_class` lies outside the published numbers of rows.

    The error of the probe is multiplied by exp(mean). Between the published numbers of rows per
    class the mean is linear in their logarithm. The interval is the prediction interval for one
    more data set, with Student's t because there are few. A fine-tuned model is never taken to be
    worse than `floor`, the accuracy of the constant answer, unless the probe is worse than that.
    """
    known = LOG_ERROR_RATIOS[kind]
    octaves = np.log2(np.array(list(known), dtype=np.float64))
    at = float(np.log2(max(rows_per_class, 1e-9)))
    mean, sd, n_sets = (
        float(np.interp(at, octaves, column)) for column in zip(*known.values(), strict=True)
    )
    octaves_outside = max(octaves[0] - at, at - octaves[-1], 0.0)
    half = (
        student.ppf(0.95, n_sets - 1)
        * sd
        * np.sqrt(1 + 1 / n_sets)
        * (1 + WIDER_PER_OCTAVE_OUTSIDE * octaves_outside)
    )
    error, most_lost = 1 - accuracy, max(accuracy - floor, 0.0)
    q05, q50, q95 = (
        float(np.clip(error * (1 - np.exp(mean + sign * half)), -most_lost, error))
        for sign in (1, 0, -1)
    )
    return {"q05": q05, "q50": q50, "q95": q95, "extrapolated": bool(octaves_outside > 0)}
