"""Warnings beside the answers: a constant answer is as good, the sample is unusual, an encoder cuts
texts."""

from collections.abc import Sequence

import numpy as np

from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.metric import MEDIAN, Metric

TRUNCATED_SHARE = 0.05
"""A larger share of cut texts makes a warning."""


def constant_answer_warnings(
    constant: float, always: str, curve: np.ndarray, metric: Metric, target: float | None
) -> list[str]:
    """Warnings where the constant answer is as good as the forecast or as the target.

    `curve` (H, 5) is the forecast. `constant` is the score of the constant answer, and `always` are
    the words for it (`meta.answering.constant_answer`). `target` is None where the user gave none.
    """
    sign = metric.sign
    floor, now = sign * constant, np.sort(sign * curve[0])  # the worst quantile first
    warnings = []
    if now[MEDIAN] <= floor + 0.01:
        warnings.append(f"the forecast at the present size is no better than {always}")
    elif now[0] <= floor:
        beyond = "below" if metric.is_rate else "above"
        warnings.append(
            f"the forecast at the present size is not surely better than {always}: its interval"
            f" reaches {beyond} that"
        )
    if target is not None and sign * target <= floor:
        shown, further = (f"{target:.1%}", "higher") if metric.is_rate else (f"{target:g}", "lower")
        warnings.append(f"the target of {shown} is met by {always}: aim {further}")
    return warnings


def range_warnings(outside: Sequence[str]) -> list[str]:
    """A warning where the sample lies outside the range that the metamodel has learnt from;
    `outside` are phrases that say in what (`Metamodel.outside`)."""
    if not outside:
        return []
    return [
        f"outside the metamodel's training range ({'; '.join(outside)}): its intervals are wider,"
        " and less certain"
    ]


def truncation_warnings(
    prepared: PreparedSamples, encoders: Sequence[EmbeddedEncoder]
) -> list[str]:
    """A warning for each encoder that cuts more than `TRUNCATED_SHARE` of the texts."""
    warnings = []
    n_texts = (len(prepared.train) + len(prepared.evaluation)) * (
        1 if prepared.train.text_pair is None else 2
    )
    for encoder in encoders:
        if encoder.n_truncated > TRUNCATED_SHARE * n_texts:
            share = encoder.n_truncated / n_texts
            warnings.append(
                f"{encoder.info.ref} reads only the first {encoder.info.max_length} tokens of"
                f" {share:.0%} of the texts"
            )
    return warnings
