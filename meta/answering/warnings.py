"""What must be said beside the answers: a level that a constant answer has as well, texts that an
encoder cuts."""

from collections.abc import Sequence

import numpy as np

from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.metric import MEDIAN, Metric

TRUNCATED_SHARE = 0.05
"""Share of cut texts above which it is said."""


def constant_answer_warnings(
    constant: float, always: str, curve: np.ndarray, metric: Metric, target: float | None
) -> list[str]:
    """A level, forecast (H, 5) or wished for, that an answer which never looks at a text has as
    well; `constant` is its score, `always` what it does in words
    (`meta.answering.constant_answer`)."""
    sign = metric.sign
    floor, now = sign * constant, np.sort(sign * curve[0])  # worst first
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
    """What of the sample lies outside the range that the metamodel has learnt from."""
    if not outside:
        return []
    return [
        f"outside the metamodel's training range ({'; '.join(outside)}): its intervals are wider,"
        " and less certain"
    ]


def truncation_warnings(
    prepared: PreparedSamples, encoders: Sequence[EmbeddedEncoder]
) -> list[str]:
    """Encoders that do not read the ends of more than `TRUNCATED_SHARE` of the texts."""
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
