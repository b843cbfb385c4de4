"""Metrics of a classification probe from its predicted probabilities. They equal scikit-learn's to
1e-6.

This is code of our own because scikit-learn checks and encodes the labels at every call, and here
thousands of probes share the same test labels.
"""

import numpy as np

ECE_BINS = 15
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "log_loss", "brier", "ece", "auroc")
"""The names of the metrics that `score` returns."""
LOWER_IS_BETTER = ("log_loss", "brier", "ece")


def score(y_true: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of `probabilities` (m, K) float, whose rows sum to 1, on the labels `y_true` (m,).
    Column k is the class `labels[k]`.

    - accuracy
    - balanced_accuracy: mean recall over the classes of `y_true`
    - macro_f1: over classes that occur in `y_true` or in the predictions; an undefined F1 counts 0
    - mcc: Matthews' correlation coefficient, 0 where undefined (Gorodkin 2004)
    - log_loss: in nats. Probabilities are clipped at the machine epsilon of their dtype, so a row
      of a class that the probe never saw costs about 16 in float32
    - brier: squared distance from the one-hot truth, in [0, 2]. For two classes it is that of one
      column, in [0, 1]
    - ece: of the top label, with 15 bins of equal width
    - auroc: macro one-vs-rest, over classes that have rows on both sides; NaN where there is none

    Raises ValueError for a label without a column, and for an empty `y_true`.
    """
    return {
        name: float(values[0])
        for name, values in score_all(y_true, probabilities[None], labels).items()
    }


def score_all(
    y_true: np.ndarray, probabilities: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """`score` of B probes on the same rows: `probabilities` are (B, m, K), each metric is (B,)
    float64. Raises ValueError as `score` does."""
    columns = _columns_of(np.asarray(y_true), np.asarray(labels))
    n_probes, n_rows, n_classes = probabilities.shape
    predicted = probabilities.argmax(axis=2)  # (B, m)
    confidence = np.take_along_axis(probabilities, predicted[:, :, None], axis=2)[:, :, 0].astype(
        np.float64
    )
    chosen = probabilities[:, np.arange(n_rows), columns].astype(np.float64)  # (B, m)
    is_right = predicted == columns
    offset = np.arange(n_probes)[:, None] * n_classes
    n_true = np.bincount(columns, minlength=n_classes)  # (K,)
    n_predicted = np.bincount((predicted + offset).ravel(), minlength=n_probes * n_classes).reshape(
        n_probes, n_classes
    )
    n_hit = np.bincount((predicted + offset)[is_right], minlength=n_probes * n_classes).reshape(
        n_probes, n_classes
    )
    is_tested, occurs = n_true > 0, n_true + n_predicted > 0
    f1 = np.where(occurs, 2 * n_hit / np.maximum(n_true + n_predicted, 1), 0.0)
    return {
        "accuracy": is_right.mean(axis=1),
        "balanced_accuracy": (n_hit[:, is_tested] / n_true[is_tested]).mean(axis=1),
        "macro_f1": f1.sum(axis=1) / occurs.sum(axis=1),
        "mcc": _matthews(n_true, n_predicted, n_hit.sum(axis=1), n_rows),
        "log_loss": _log_loss(chosen, float(np.finfo(probabilities.dtype).eps)),
        "brier": _brier(chosen, probabilities),
        "ece": _expected_calibration_error(is_right, confidence),
        "auroc": _macro_auroc(columns, probabilities),
    }


def _columns_of(y_true: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(m,) int64: the column of each row's label."""
    if not len(y_true):
        raise ValueError("no rows to score")
    order = np.argsort(labels)
    columns = order[np.minimum(np.searchsorted(labels, y_true, sorter=order), len(labels) - 1)]
    unknown = labels[columns] != y_true
    if unknown.any():
        raise ValueError(
            f"label {y_true[unknown][0]} is not among the {len(labels)} labels of the probabilities"
        )
    return columns


def _matthews(
    n_true: np.ndarray, n_predicted: np.ndarray, n_hit: np.ndarray, n_rows: int
) -> np.ndarray:
    true, predicted = n_true.astype(np.float64), n_predicted.astype(np.float64)
    spread = (n_rows**2 - true @ true) * (n_rows**2 - np.square(predicted).sum(axis=1))
    return np.where(
        spread > 0,
        (n_hit * n_rows - predicted @ true) / np.sqrt(np.where(spread > 0, spread, 1.0)),
        0.0,
    )


def _brier(chosen: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    squares = np.einsum("bij,bij->bi", probabilities, probabilities, dtype=np.float64)
    total = (squares - 2 * chosen + 1).mean(axis=1)
    return total / 2 if probabilities.shape[2] == 2 else total


def _log_loss(chosen: np.ndarray, epsilon: float) -> np.ndarray:
    return -np.log(np.clip(chosen, epsilon, 1 - epsilon)).mean(axis=1)


def _expected_calibration_error(is_right: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """(B,) from (B, m): the distance between confidence and accuracy, as a mean over the bins
    (k/15, (k+1)/15], weighted by their rows."""
    n_probes, n_rows = confidence.shape
    bins = (
        np.searchsorted(np.arange(1, ECE_BINS) / ECE_BINS, confidence, side="left")
        + np.arange(n_probes)[:, None] * ECE_BINS
    )
    gap = np.bincount(
        bins.ravel(), weights=(is_right - confidence).ravel(), minlength=n_probes * ECE_BINS
    )
    return np.abs(gap.reshape(n_probes, ECE_BINS)).sum(axis=1) / n_rows


def _macro_auroc(columns: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """(B,) mean over classes of P(the score of a member > the score of another row). Ties count one
    half."""
    n_probes, n_rows, n_classes = probabilities.shape
    n_members = np.bincount(columns, minlength=n_classes)
    defined = np.flatnonzero((n_members > 0) & (n_members < n_rows))
    if not len(defined):
        return np.full(n_probes, np.nan)
    if n_classes == 2:  # the two one-vs-rest problems have the same AUROC
        defined = defined[-1:]
    # one row for each probe and class
    by_class = probabilities[:, :, defined].transpose(0, 2, 1).reshape(-1, n_rows)
    # Whether a row is a member of the class is put into a bit below its score. So one sort of
    # integers orders the scores and keeps the memberships, with ties side by side.
    is_member = np.tile(columns == defined[:, None], (n_probes, 1))
    ordered = np.sort(_order_of(by_class) << np.uint32(1) | is_member, axis=1)
    is_member, values = (ordered & np.uint32(1)).astype(bool), ordered >> np.uint32(1)
    rank_sums = is_member.astype(np.float32) @ np.arange(1, n_rows + 1, dtype=np.float64)
    is_new = np.ones(values.shape, dtype=bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=is_new[:, 1:])
    tied = ~is_new.all(axis=1)
    rank_sums[tied] = (_mid_ranks(is_new[tied]) * is_member[tied]).sum(axis=1)
    n_own = n_members[defined]
    return (
        (rank_sums.reshape(n_probes, -1) - n_own * (n_own + 1) / 2) / (n_own * (n_rows - n_own))
    ).mean(axis=1)


def _mid_ranks(is_new: np.ndarray) -> np.ndarray:
    """(R, m) ranks from 1 in rows of ascending values. `is_new` (R, m) says which values differ
    from the one before. Equal values share the mean of their ranks."""
    starts = np.flatnonzero(is_new)
    sizes = np.diff(starts, append=is_new.size)
    return np.repeat(starts % is_new.shape[1] + (sizes + 1) / 2, sizes).reshape(is_new.shape)


def _order_of(probabilities: np.ndarray) -> np.ndarray:
    """uint32 in [0, 2^31) in the same order as the probabilities. The bits of a float32 that is not
    negative, read as an integer, grow with it. Other dtypes are ranked."""
    if probabilities.dtype == np.float32:
        return (np.ascontiguousarray(probabilities) + np.float32(0)).view(np.uint32)
    return (
        np.unique(probabilities, return_inverse=True)[1]
        .reshape(probabilities.shape)
        .astype(np.uint32)
    )
