"""What must be said beside the answers: a level that a constant answer has as well, texts that an encoder cuts."""

from collections.abc import Sequence

import numpy as np

from meta.conformal import MEDIAN
from meta.sample import EmbeddedEncoder, Prepared

TRUNCATED_SHARE = 0.05
"""Share of cut texts above which it is said."""


def level_warnings(name: str, majority: float, curve: np.ndarray, metric: str, target: float | None) -> list[str]:
    """An accuracy, forecast (H, 5) or wished for, that always answering the most frequent class `name` has as well."""
    if metric != "accuracy":
        return []
    always = f"always answering '{name}' ({majority:.1%} of the labelled rows)"
    warnings = []
    if curve[0, MEDIAN] <= majority + 0.01:
        warnings.append(f"the forecast at the present size is no better than {always}")
    elif curve[0, 0] <= majority:
        warnings.append(f"the forecast at the present size is not surely better than {always}: its interval reaches below that")
    if target is not None and target <= majority:
        warnings.append(f"the target of {target:.1%} is met by {always}: aim higher")
    return warnings


def truncation_warnings(prepared: Prepared, encoders: Sequence[EmbeddedEncoder]) -> list[str]:
    """Encoders that do not read the ends of more than `TRUNCATED_SHARE` of the texts."""
    warnings = []
    n_texts = (len(prepared.train) + len(prepared.evaluation)) * (1 if prepared.train.text_pair is None else 2)
    for encoder in encoders:
        if encoder.n_truncated > TRUNCATED_SHARE * n_texts:
            share = encoder.n_truncated / n_texts
            warnings.append(
                f"{encoder.info.ref} reads only the first {encoder.info.max_length} tokens of {share:.0%} of the texts"
            )
    return warnings
