"""Question 3, second half: labels that look wrong, by confident learning on cross-fitted probabilities.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021, arXiv 1911.00068): a row is suspect when a class other than the
given one is predicted with more confidence than that class's own rows have on average. Probabilities are leave-one-out, so no
row vouches for itself. A weak probe suspects many sound labels: the list is cut where doubt is small.
"""

from collections.abc import Sequence

import numpy as np

from meta.answers import SuspectLabel
from meta.sample import Conflict, LabelledSample

MAX_SUSPECTS = 50
UNLEARNT_SHARE, UNLEARNT_ROWS = 0.3, 4
"""A class of which this share of its rows, and so many, is doubted has not been learnt: doubt says little of its labels."""
MIN_LEAD = 0.2
"""Least lead of the likely class's probability over the given one's: less is a close call, not an error."""


def suspects(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, likely): the confident joint's off-diagonal rows, least probable given label first, and their likely classes.

    `probabilities` (n, K) cross-fitted, `labels` (n,) int64. A class's threshold is the mean probability that its own rows give
    it; of several classes above their thresholds the likeliest counts. Classes without rows are never likely.
    """
    n_rows, n_classes = probabilities.shape
    own = probabilities[np.arange(n_rows), labels]
    counts = np.bincount(labels, minlength=n_classes)
    sums = np.bincount(labels, own, minlength=n_classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1.0)
    likely = confident.argmax(axis=1)
    # a row may be confidently in another class and still be most probably in its own
    doubted = (confident.max(axis=1) >= 0) & (likely != labels) & (probabilities.argmax(axis=1) != labels)
    rows = np.flatnonzero(doubted)
    rows = rows[np.argsort(own[rows], kind="stable")]
    return rows, likely[rows]


def suspect_labels(
    probabilities: np.ndarray, sample: LabelledSample, conflicts: Sequence[Conflict] = (), *, max_rows: int = MAX_SUSPECTS
) -> list[SuspectLabel]:
    """The labelled rows to look at again: contradictions (same text, other label) first, then by doubt, at most `max_rows`.

    `probabilities` (n, K): leave-one-out, aligned with `sample`.
    """
    found = [
        SuspectLabel(
            row=conflict.row,
            text=conflict.text,
            given=conflict.given,
            likely=conflict.other,
            score=1 - conflict.share_given,
            reason="same text, other label",
        )
        for conflict in conflicts
    ]
    known = {conflict.row for conflict in conflicts}
    for row, likely in zip(*suspects(probabilities, sample.labels), strict=True):
        given, position = int(sample.labels[row]), int(sample.positions[row])
        if position in known or probabilities[row, likely] - probabilities[row, given] < MIN_LEAD:
            continue
        found.append(
            SuspectLabel(
                row=position,
                text=sample.texts[row],
                given=sample.label_names[given],
                likely=sample.label_names[likely],
                score=float(1 - probabilities[row, given]),
                reason="predicted otherwise",
            )
        )
    return found[:max_rows]


def unlearnt_classes(doubted: Sequence[SuspectLabel], sample: LabelledSample) -> list[str]:
    """A warning for every class that the probe cannot tell yet, whose doubted labels are hard rows rather than errors."""
    warnings = []
    for label, name in enumerate(sample.label_names):
        n_rows = int(np.sum(sample.labels == label))
        n_doubted = sum(row.given == name and row.reason == "predicted otherwise" for row in doubted)
        if n_doubted >= UNLEARNT_ROWS and n_doubted > UNLEARNT_SHARE * n_rows:
            warnings.append(
                f"the probe disagrees with {n_doubted} of the {n_rows} rows labelled '{name}': it cannot tell that class well "
                "yet, so most of these are hard rows, not wrong labels"
            )
    return warnings
