"""Question 6: settings. What the sample can say is measured; the rest are published rules of thumb, and marked as such.

Every group carries `source`: `leave-one-out` (chosen on the labelled rows, no evaluation label involved) or `rule`.
"""

from typing import Any

import numpy as np

from meta.answers import Hyperparameters
from probes.encoders.base import EncoderInfo
from probes.features.crossfit import PENALTIES, RidgeFit

FINETUNE_STEPS = 1500
"""Optimiser steps aimed at: Mosbach, Andriushchenko and Klakow 2021 (arXiv 2006.04884) train small sets for many epochs."""
MIN_EPOCHS, MAX_EPOCHS = 3, 20
REFERENCE_PARAMETERS = 110e6
REFERENCE_LR = 3e-5
"""Middle of the range 2e-5 to 5e-5 that Devlin et al. 2019 give for 110M parameters."""
FROZEN_BELOW_ROWS = 500
"""Below this many rows the lower half stays frozen: Lee, Tang and Lin 2019 (arXiv 1911.03090) lose nothing with it."""


def hyperparameters(fit: RidgeFit, info: EncoderInfo, n_layers: int, n_train: int) -> Hyperparameters:
    """Settings for a probe on the chosen space and for fine-tuning its encoder cut off above layer `n_layers`."""
    return Hyperparameters(probe=probe_settings(fit), finetune=finetune_settings(info, n_layers, n_train))


def probe_settings(fit: RidgeFit) -> dict[str, Any]:
    """Probe kind and C, chosen by leave-one-out error, with the neighbours on the grid as the range worth trying again."""
    position = int(np.argmin(np.abs(np.log(PENALTIES) - np.log(fit.penalty))))
    around = PENALTIES[max(position - 1, 0) : position + 2]
    return {
        "probe": "ridge",
        "C": 1 / fit.penalty,
        "C_low": 1 / max(around),
        "C_high": 1 / min(around),
        "feature_scale": "mean row norm sqrt(d)",
        "temperature": fit.temperature,
        "source": "leave-one-out",
    }


def finetune_settings(info: EncoderInfo, n_layers: int, n_train: int) -> dict[str, Any]:
    """Fine-tuning settings by rule of thumb; nothing of them was measured here. Spaces without layers are not fine-tuned."""
    if n_layers == 0:
        return {"source": "rule", "reason": "the chosen space has no trainable layers: use the probe"}
    batch_size = 16 if n_train < 1000 else 32
    lr = REFERENCE_LR * (REFERENCE_PARAMETERS / max(info.n_parameters, 1)) ** 0.25  # smaller models take larger steps
    epochs = int(np.clip(np.ceil(FINETUNE_STEPS * batch_size / n_train), MIN_EPOCHS, MAX_EPOCHS))
    return {
        "learning_rate": float(f"{np.clip(lr, 1e-5, 5e-4):.1e}"),
        "epochs": epochs,
        "batch_size": batch_size,
        "warmup_ratio": 0.1,
        "weight_decay": 0.01,
        "frozen_layers": n_layers // 2 if n_train < FROZEN_BELOW_ROWS else 0,
        "source": "rule",
    }
