"""Warnings beside the answers: a constant answer is as good, the sample is unusual, an encoder cuts
texts."""

from collections.abc import Mapping, Sequence

import numpy as np

from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.metric import MEDIAN, Metric
from meta.priors.spaces import short_reference

SCARCE_ROWS = 3
"""A class with at most this many labelled rows, and more than one, is scarce."""
COMMON_SHARE, COMMON_TIMES = 0.1, 3.0
"""A scarce class is common in the evaluation sample if it has at least this share of it, and this
many times its share of the labelled rows."""
LEARNT_FAMILIES = ("lsa", "static", "random")
"""Families of encoders whose members are so alike that one stands for all: the forecasts have
learnt from one of each."""
COST_HORIZONS = ("1x", "4x")
"""Of an encoder that was not learnt from, the errors at these horizons are told."""
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


def scarce_class_warnings(
    prepared: PreparedSamples, X: np.ndarray, X_eval: np.ndarray
) -> list[str]:
    """A warning for each class with two or three labelled rows that is common in the evaluation
    sample.

    X (n, d) and X_eval (m, d) are the rows in the best space. An evaluation row counts for the
    class of the labelled row that is nearest by cosine. The probe itself hardly predicts so rare a
    class, however common it is.
    """
    labels, names = prepared.train.labels, prepared.train.label_names
    counts = np.bincount(labels, minlength=len(names))
    scarce = np.flatnonzero((counts > 1) & (counts <= SCARCE_ROWS))
    if not len(scarce) or not len(X_eval):
        return []

    def directions(rows: np.ndarray) -> np.ndarray:
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))

    nearest = labels[(directions(X_eval) @ directions(X).T).argmax(axis=1)]
    warnings = []
    for label in scarce:
        share, own = float(np.mean(nearest == label)), counts[label] / len(labels)
        if share >= max(COMMON_SHARE, COMMON_TIMES * own):
            warnings.append(
                f"class '{names[label]}' has {counts[label]} of the {len(labels)} labelled rows,"
                f" but about {share:.0%} of the evaluation rows are most like them: label more rows"
                " of it before you believe the forecast"
            )
    return warnings


def unseen_encoder_warnings(
    refs: Sequence[str], learnt: Sequence[str], errors: Mapping[str, Mapping[str, float]]
) -> list[str]:
    """A warning where encoders are not among those that the metamodel has learnt from.

    `refs` are the encoders that were compared, `learnt` those of the metamodel's card. `errors` are
    the card's mean absolute errors on an encoder left out: horizon -> `seen`, `unseen` in
    hundredths of the metric, and `unseen_held`, the share of truths in the 90 % intervals. They are
    empty where nobody measured it.
    """
    if not learnt:
        return []
    known = set(map(short_reference, learnt))
    known_families = {ref.partition(":")[0] for ref in learnt} & set(LEARNT_FAMILIES)
    new = [
        short_reference(ref)
        for ref in dict.fromkeys(refs)
        if short_reference(ref) not in known and ref.partition(":")[0] not in known_families
    ]
    if not new:
        return []
    were = "was" if len(new) == 1 else "were"
    cost = "; ".join(
        f"{error['unseen']:.1f} instead of {error['seen']:.1f} points at {horizon}, where 90 %"
        f" intervals held {error['unseen_held']:.0%}"
        for horizon, error in errors.items()
        if horizon in COST_HORIZONS
    )
    measured = f" (measured on an encoder left out: an error of {cost})" if cost else ""
    return [
        f"{', '.join(new)} {were} not among the encoders that the forecasts have learnt"
        f" from{measured}"
    ]


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
