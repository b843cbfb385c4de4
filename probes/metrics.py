"""Metrics of a classification probe from its predicted probabilities, equal to scikit-learn's to 1e-6.

Own code because scikit-learn checks and re-encodes labels at every call: here thousands of probes share the same test labels.
"""

import numpy as np

ECE_BINS = 15
METRICS = ("accuracy", "balanced_accuracy", "macro_f1", "mcc", "log_loss", "brier", "ece", "auroc")
"""What `score` gives."""
LOWER_IS_BETTER = ("log_loss", "brier", "ece")


def score(y_true: np.ndarray, probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Metrics of `probabilities` (m, K) float, rows summing to 1, column k for class `labels[k]`, on `y_true` (m,).

    accuracy; balanced_accuracy (mean recall over the classes of `y_true`); macro_f1 (over classes that occur in `y_true` or in
    the predictions, an undefined F1 counting 0); mcc (Matthews' correlation coefficient, 0 where undefined; Gorodkin 2004);
    log_loss (nats; probabilities clipped at the machine epsilon of their dtype, so a class the probe never saw costs about 16
    a row in float32); brier (squared distance from the one-hot truth; for two classes that of one column, so in [0, 1]; else
    in [0, 2]); ece (top-label, 15 equal-width bins); auroc (macro one-vs-rest over classes with rows on both sides, NaN where
    there is none). Raises ValueError for labels that have no column, or an empty `y_true`.
    """
    columns = _columns_of(np.asarray(y_true), np.asarray(labels))
    n_rows, n_classes = probabilities.shape
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(n_rows), predicted].astype(np.float64)
    is_right = predicted == columns
    n_true = np.bincount(columns, minlength=n_classes)
    n_predicted = np.bincount(predicted, minlength=n_classes)
    n_hit = np.bincount(columns[is_right], minlength=n_classes)
    is_tested, occurs = n_true > 0, n_true + n_predicted > 0
    return {
        "accuracy": float(is_right.mean()),
        "balanced_accuracy": float(np.mean(n_hit[is_tested] / n_true[is_tested])),
        "macro_f1": float(np.mean(2 * n_hit[occurs] / (n_true + n_predicted)[occurs])),
        "mcc": _matthews(n_true, n_predicted, int(n_hit.sum()), n_rows),
        "log_loss": _log_loss(columns, probabilities),
        "brier": _brier(columns, probabilities),
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


def _matthews(n_true: np.ndarray, n_predicted: np.ndarray, n_hit: int, n_rows: int) -> float:
    true, predicted = n_true.astype(np.float64), n_predicted.astype(np.float64)
    spread = (n_rows**2 - true @ true) * (n_rows**2 - predicted @ predicted)
    return float((n_hit * n_rows - true @ predicted) / np.sqrt(spread)) if spread > 0 else 0.0


def _brier(columns: np.ndarray, probabilities: np.ndarray) -> float:
    n_rows, n_classes = probabilities.shape
    chosen = probabilities[np.arange(n_rows), columns].astype(np.float64)
    squares = np.einsum("ij,ij->i", probabilities, probabilities, dtype=np.float64)
    total = float((squares - 2 * chosen + 1).mean())
    return total / 2 if n_classes == 2 else total


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
