"""Question 3, second half: labels that look wrong, by confident learning on cross-fitted
probabilities.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021, arXiv 1911.00068): a row counts as
confidently of a class when it is predicted with more confidence than that class's own rows have on
average; the confident joint of given and likely classes says how many rows of each class are wrong,
and the least probable ones are suspected. Probabilities are leave-one-out, so no row vouches for
itself. A weak probe suspects many sound labels: the list is cut where doubt is small.
"""

from collections.abc import Sequence

import numpy as np

from meta.given.prepare import Conflict
from meta.given.sample import LabelledSample
from meta.schema import SuspectLabel

MAX_SUSPECTS = 50
UNLEARNT_SHARE, UNLEARNT_ROWS = 0.3, 4
"""A class of which this share of its rows, and so many, is doubted has not been learnt: doubt says
little of its labels."""
MIN_LEAD = 0.2
"""Least lead of the likely class's probability over the given one's: less is a close call, not an
error."""


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, K) estimated number of rows that are given class i and are of class j; row i sums to the
    rows given i.

    `probabilities` (n, K) cross-fitted, `labels` (n,) int64. A class's threshold is the mean
    probability that its own rows give it; of several classes above their thresholds the likeliest
    counts. A class of which no row is confident is believed.
    """
    n_rows, n_classes = probabilities.shape
    counts = np.bincount(labels, minlength=n_classes)
    sums = np.bincount(labels, probabilities[np.arange(n_rows), labels], minlength=n_classes)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    above = np.where(probabilities >= thresholds - 1e-6, probabilities, -1.0)
    is_confident = above.max(axis=1) >= 0
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (labels[is_confident], above.argmax(axis=1)[is_confident]), 1.0)
    joint += np.diag(joint.sum(axis=1) == 0)
    return joint / joint.sum(axis=1, keepdims=True) * counts[:, None]


def suspects(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows, likely): rows whose label looks wrong, least probable given label first, and their
    likely classes.

    Suspected by the confident joint twice: as one of the least probable rows of its class, as many
    as are wrong in it, and as one of those that lean most to some other class, as many as are that
    class's. Its given class is never the likeliest.
    """
    own = probabilities[np.arange(len(labels)), labels]
    joint = confident_joint(probabilities, labels)
    least_probable, leaning = np.zeros(len(labels), dtype=bool), np.zeros(len(labels), dtype=bool)
    for given, expected in enumerate(joint):
        rows = np.flatnonzero(labels == given)
        n_wrong = round(float(expected.sum() - expected[given]))
        least_probable[rows[np.argsort(own[rows], kind="stable")[:n_wrong]]] = True
        for other in np.flatnonzero(np.round(expected)):
            if other != given:
                lead = own[rows] - probabilities[rows, other]
                leaning[rows[np.argsort(lead, kind="stable")[: round(float(expected[other]))]]] = (
                    True
                )
    likely = probabilities.argmax(axis=1)
    rows = np.flatnonzero(least_probable & leaning & (likely != labels))
    rows = rows[np.argsort(own[rows], kind="stable")]
    return rows, likely[rows]


def suspect_labels(
    probabilities: np.ndarray,
    sample: LabelledSample,
    conflicts: Sequence[Conflict] = (),
    *,
    max_rows: int = MAX_SUSPECTS,
) -> list[SuspectLabel]:
    """The labelled rows to look at again: contradictions (same text, other label) first, then by
    doubt, at most `max_rows`.

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
    """A warning for every class that the probe cannot tell yet, whose doubted labels are hard rows
    rather than errors."""
    warnings = []
    for label, name in enumerate(sample.label_names):
        n_rows = int(np.sum(sample.labels == label))
        n_doubted = sum(
            row.given == name and row.reason == "predicted otherwise" for row in doubted
        )
        if n_doubted >= UNLEARNT_ROWS and n_doubted > UNLEARNT_SHARE * n_rows:
            warnings.append(
                f"the probe disagrees with {n_doubted} of the {n_rows} rows labelled '{name}': it"
                " cannot tell that class well yet, so most of these are hard rows, not wrong"
                " labels"
            )
    return warnings
