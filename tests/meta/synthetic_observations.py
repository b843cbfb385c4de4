"""Observations of made-up tasks whose learning curves are known laws, for the tests of the
metamodel."""

import numpy as np
import pandas as pd

from meta.metamodel.inputs import ACCURACY_ESTIMATES, FEW_TASK_INPUTS, LINEAR_FEATURES
from meta.metamodel.observations import HORIZON_FACTORS
from meta.metamodel.sample_features import FRACTIONS


def observations(
    n_tasks: int = 8, n_views: int = 3, sizes: tuple[int, ...] = (64, 256), seed: int = 0
) -> pd.DataFrame:
    """A frame like that of `meta.metamodel.observations.observation_table`. Each (task, view) has
    the error a + b·n^-0.45 / 2. The curve seen so far, at n/8 to n, has the noise of n rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in range(n_tasks):
        level, slope, chance = rng.uniform(0.02, 0.2), rng.uniform(1.0, 2.5), rng.uniform(0.2, 0.6)
        for view in range(n_views):
            a, b = level + 0.03 * view, slope
            for n_train in sizes:
                for draw in range(2):
                    sample = _sample(rng, a, b, n_train, chance)
                    names = {
                        "task": f"task{task}",
                        "task_fingerprint": f"{task:016x}",
                        "task_family": f"family{task}",
                    }
                    names |= {
                        "encoder": "hf:x",
                        "encoder_fingerprint": "e",
                        "pooling": "mean",
                        "subset": "stratified",
                        "layer": float(view),
                        "seed": draw,
                    }
                    for factor in HORIZON_FACTORS:
                        horizon = float(n_train * factor)
                        truth = 1 - a - b * horizon**-0.45 / 2
                        rows.append(
                            {
                                **names,
                                **sample,
                                "horizon": horizon,
                                "truth": truth,
                                "truth_std": 0.01,
                                "n_truth": 10,
                            }
                        )
    return pd.DataFrame(rows)


def _sample(
    rng: np.random.Generator, a: float, b: float, n_train: int, chance: float
) -> dict[str, float]:
    sample = {
        name: float(rng.normal()) for name in sorted(FEW_TASK_INPUTS) if not name.endswith("_gap")
    }
    for derived in ("skill", "log2_ratio", "log2_horizon", "anchor"):
        sample.pop(derived)
    for fraction in FRACTIONS:
        size = n_train / fraction
        error = a + b * size**-0.45 / 2
        noise = rng.normal() * np.sqrt(error * (1 - error) / n_train)
        sample[f"curve_n_{fraction}"] = size
        sample[f"curve_accuracy_{fraction}"] = float(np.clip(1 - error + noise, 0, 1))
        sample[f"curve_log_loss_{fraction}"] = float(max(2 * (error - noise), 0.01))
    accuracy = sample["curve_accuracy_1"]
    for_stack = np.random.default_rng(int(1e9 * accuracy) + n_train)
    known = sample | {
        "log2_n_classes": 2.0,
        "n_train": float(n_train),
        "log2_n_train": float(np.log2(n_train)),
        "n_classes": 4.0,
        "log2_n_columns": 8.0,
        "majority_share": chance,
        "share_single_rows": 0.0,
        "log2_n_eval": 9.0,
        "ridge_loo_accuracy": accuracy,
        "logme": accuracy - 1 + rng.normal() * 0.01,
    }
    others = {name: float(for_stack.normal()) for name in LINEAR_FEATURES}
    others |= {
        name: float(np.clip(accuracy + 0.02 * for_stack.normal(), 0, 1))
        for name in ACCURACY_ESTIMATES
    }
    return others | known
