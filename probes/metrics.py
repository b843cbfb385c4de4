"""Metrics of a classification probe from its predicted probabilities, equal to scikit-learn's to 1e-6.

Own code because scikit-learn checks and re-encodes labels at every call: here thousands of probes share the same test labels.
"""

import numpy as np

ECE_BINS = 15


def score(y_true: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of `probabilities` (m, K) float, rows summing to 1, column k for class `labels[k]`, on `y_true` (m,).

    accuracy; macro_f1 (over classes that occur in `y_true` or in the predictions, an undefined F1 counting 0); log_loss
    (nats; probabilities clipped at the machine epsilon of their dtype, so a class the probe never saw costs about 16 a row
    in float32); ece (top-label, 15 equal-width bins); auroc (macro one-vs-rest over classes with rows on both sides, NaN
    where there is none). Raises ValueError for labels that have no column, or an empty `y_true`.
    """
    columns = _columns_of(np.asarray(y_true), np.asarray(labels))
    n_rows, n_classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(n_rows), predicted].astype(np.float64)
    is_right = predicted == columns
    return {
        "accuracy": float(is_right.mean()),
        "macro_f1": _macro_f1(columns, predicted, is_right, n_classes),
        "log_loss": _log_loss(columns, probabilities),
        "ece": _expected_calibration_error(is_right, confidence),
        "auroc": _macro_auroc(columns, probabilities),
    }


def _columns_of(y_true: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(m,) int64 column of each row's label."""
    if not len(y_true):
        raise ValueError("no rows to score")
    order = np.argsort(labels)
    columns = order[np.minimum(np.searchsorted(labels, y_true, sorter=order), len(labels) - 1)]
    unknown = labels[columns] != y_true
    if unknown.any():
        raise ValueError(f"label {y_true[unknown][0]} is not among the {len(labels)} labels of the probabilities")
    return columns


def _macro_f1(columns: np.ndarray, predicted: np.ndarray, is_right: np.ndarray, n_classes: int) -> float:
    n_true = np.bincount(columns, minlength=n_classes)
    n_predicted = np.bincount(predicted, minlength=n_classes)
    n_hit = np.bincount(columns[is_right], minlength=n_classes)
    occurs = n_true + n_predicted > 0
    return float(np.mean(2 * n_hit[occurs] / (n_true + n_predicted)[occurs]))


def _log_loss(columns: np.ndarray, probabilities: np.ndarray) -> float:
    epsilon = np.finfo(probabilities.dtype).eps
    chosen = probabilities[np.arange(len(columns)), columns].astype(np.float64)
    return float(-np.log(np.clip(chosen, epsilon, 1 - epsilon)).mean())


def _expected_calibration_error(is_right: np.ndarray, confidence: np.ndarray) -> float:
    """Mean distance of confidence and accuracy over bins (k/15, (k+1)/15], weighted by rows."""
    bins = np.searchsorted(np.arange(1, ECE_BINS) / ECE_BINS, confidence, side="left")
    gap = np.bincount(bins, weights=is_right - confidence, minlength=ECE_BINS)
    return float(np.abs(gap).sum() / len(confidence))


def _macro_auroc(columns: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean over classes of P(score of a member > score of another row), ties counting one half."""
    n_rows, n_classes = probabilities.shape
    n_members = np.bincount(columns, minlength=n_classes)
    defined = np.flatnonzero((n_members > 0) & (n_members < n_rows))
    if not len(defined):
        return float("nan")
    if n_classes == 2:  # the two one-vs-rest problems mirror each other
        defined = defined[-1:]
    order = _order_of(probabilities)
    is_class = columns[:, None] == defined  # (m, classes)
    shift = np.arange(len(defined), dtype=np.int64) << 32
    keys = order[:, defined] + shift  # one ascending range of integers per class: one sort and one search serve all
    ordered = np.sort(keys.T, axis=1).ravel()
    members = keys.T[is_class.T]
    ranks = (np.searchsorted(ordered, members, side="left") + np.searchsorted(ordered, members, side="right") + 1) / 2
    n_own = n_members[defined]
    place = np.repeat(np.arange(len(defined)), n_own)
    rank_sums = np.bincount(place, weights=ranks - place * n_rows, minlength=len(defined))
    return float(np.mean((rank_sums - n_own * (n_own + 1) / 2) / (n_own * (n_rows - n_own))))


def _order_of(probabilities: np.ndarray) -> np.ndarray:
    """(m, K) int64 in [0, 2^32) that order as the probabilities do: the bits of a float32 that is not negative are an integer
    that grows with it; other dtypes are ranked."""
    if probabilities.dtype == np.float32:
        return (np.ascontiguousarray(probabilities) + np.float32(0)).view(np.int32).astype(np.int64)
    return np.unique(probabilities, return_inverse=True)[1].reshape(probabilities.shape).astype(np.int64)
