"""Question 3, second half: which labels look wrong, by confident learning.

Confident learning (Northcutt, Jiang and Chuang, JAIR 2021, arXiv 1911.00068) works as follows. A
row counts as confidently of a class when its probability of that class is above the mean
probability that the rows labelled with that class have. The confident joint counts rows by given
and by confident class. It says how many rows of each class are wrong, and the least probable ones
are suspected. Probabilities are leave-one-out, so that the label of a row does not confirm itself.
A weak probe would suspect many right labels, so rows with a small lead of the likely class are left
out.
"""

from collections.abc import Sequence

import numpy as np

from meta.given.conflicts import Conflict
from meta.given.sample import LabelledSample
from meta.schema import SuspectLabel

MAX_SUSPECTS = 50
"""Longest list of suspect labels."""
UNLEARNT_SHARE, UNLEARNT_ROWS = 0.3, 4
"""A class counts as not learnt when more than this share of its rows, and at least this many, are
suspected. Its labels are then probably right."""
MIN_LEAD = 0.2
"""Least difference between the probabilities of the likely and of the given class. A smaller one is
a close call, not an error."""


def confident_joint(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(K, K) float64: the estimated number of rows that are labelled i and are of class j. Row i
    sums to the number of rows that are labelled i.

    `probabilities` (n, K) are leave-one-out, `labels` (n,) int64. The threshold of a class is the
    mean probability of it over the rows that are labelled with it. Where a row is above the
    thresholds of several classes, the most probable of them counts. Where no row labelled i is
    confident, all labels i count as right.
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
    """The rows (s,) whose label looks wrong, the least probable given label first, and their likely
    classes (s,); both int64.

    `probabilities` (n, K) and `labels` (n,) are as in `confident_joint`. A row is suspected under
    three conditions. It is among the least probable rows of its given class, as many as the joint
    counts as wrong there. It is among the rows of that class that lean most to some other class, as
    many as the joint counts there. Its most probable class is not the given one.
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
    """The labelled rows to look at again, at most `max_rows`: first the contradictions in
    `conflicts`, then the rows of `suspects`.

    `probabilities` (n, K) are leave-one-out and in the order of `sample`.
    """
    found = [
        SuspectLabel(
            row=conflict.row,
            text=conflict.text,
            given=conflict.given,
            likely=conflict.other,
            score=1 - conflict.share_given,
            reason=(
                "same text, other label" if conflict.is_same_text else "near-copy, other label"
            ),
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
    """A warning for every class that the probe has not learnt. The rows that it suspects there are
    hard rows rather than wrong labels."""
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
