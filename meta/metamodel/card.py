"""The card of a metamodel, which says what it has learnt from, and the check of the file card.json.

The file holds the card and the fitted numbers (`Metamodel.save`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from meta.metamodel.inputs import N_NOISE_TERMS, log2_ratio
from meta.metamodel.linear_stage import OCTAVE_KNOTS
from meta.metamodel.trust import KNOTS_SHAPE
from meta.metric import QUANTILES, Metric

RANGE_FEATURES = {
    "n_train": "labelled rows",
    "n_classes": "classes",
    "log2_n_columns": "dimensions of the space",
}
"""The features whose range in the training samples is stored, and what they count."""


def check_stored(stored: Mapping[str, Any], n_features: int) -> None:
    """Check the content of card.json. Raises ValueError, KeyError, TypeError or AttributeError
    where `predict` would fail with it. `n_features` is the number of inputs of the stored trees."""
    shapes = {
        "noise": (N_NOISE_TERMS,),
        "spread": (len(OCTAVE_KNOTS), len(QUANTILES)),
        "trust": (len(OCTAVE_KNOTS),),
        "factors": (*KNOTS_SHAPE, len(QUANTILES)),
    }
    for name, shape in shapes.items():
        values = np.array(stored[name], dtype=np.float64)
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(
                f"{name}: must be finite numbers of shape {shape}, found shape {values.shape}"
            )
    names, card = stored["feature_names"], stored["card"]
    if (
        not isinstance(names, list)
        or len(names) != n_features
        or not all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"feature_names: must be the names of the trees' {n_features} inputs")
    Metric(stored["metric"])
    if not np.isfinite(np.float64(card["max_octaves"])):
        raise ValueError("max_octaves: must be a number")
    for name, bounds in card["ranges"].items():
        if (
            name not in RANGE_FEATURES
            or not np.isfinite(np.array(bounds, dtype=np.float64).reshape(2)).all()
        ):
            raise ValueError(
                f"ranges: {name}: must be the least and the greatest of one of"
                f" {', '.join(RANGE_FEATURES)}"
            )


def make_card(
    frame: pd.DataFrame, names: np.ndarray, metric: Metric, guaranteed: np.ndarray
) -> dict[str, Any]:
    """The card of a metamodel that was fitted to `frame`, whose groups are `names` (R,)."""
    return {
        "metric": metric,
        "n_observations": len(frame),
        "tasks": sorted(set(frame["task"].astype(str))),
        "task_families": sorted(set(names.tolist())),
        "encoders": sorted(set(frame["encoder"].astype(str))),
        "ranges": {
            name: [float(frame[name].min()), float(frame[name].max())] for name in RANGE_FEATURES
        },
        "max_octaves": float(log2_ratio(frame).max()),
        "quantiles": list(QUANTILES),
        "guaranteed_levels": [float(level) for level in guaranteed],
    }
