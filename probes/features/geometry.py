"""The geometry of a sample, from its pairs of rows. The Euclidean features share one matrix of
squared distances."""

import numpy as np

SAME_ROW = 1e-12
"""Squared distances below this share of the rows' own squared lengths are round-off. The rows then
count as the same."""
TWO_NN_SHARE_KEPT = 0.9
"""Share of the ratios of TwoNN that are used, from the smallest on. The largest come from outliers,
and are dropped as in the publication."""
LEAST_ROWS = 4
"""With fewer distinct rows than this TwoNN is undefined."""


def squared_distances(gram: np.ndarray) -> np.ndarray:
    """(n, n) squared Euclidean distances of rows whose inner products are `gram` (n, n) float64.
    They are exactly 0 between equal rows.

    The rows should be centred, because a common offset costs digits. Cost n².
    """
    norms = np.diagonal(gram)
    lengths = norms[:, None] + norms
    squared = lengths - 2 * gram
    squared[squared <= SAME_ROW * lengths] = 0.0
    return squared


def knn_loo_accuracy(
    X: np.ndarray, y: np.ndarray, *, k: int = 5, groups: np.ndarray | None = None
) -> float:
    """Leave-one-out accuracy of the majority class of the k nearest other rows by cosine. A row's
    neighbours are outside its group (`groups` (n,) int64).

    X (n, d), y (n,) int64. Range [0, 1], NaN for one row. Cost n²d. Ties go to the class whose
    neighbours are nearer (votes have weights 1 + 1e-3·similarity). Source: Cover and Hart, 1967.
    """
    if len(X) < 2:
        return float("nan")
    similarity, nearest = _nearest(unit_rows(X), None, k, groups)
    weights = 1.0 + 1e-3 * np.take_along_axis(similarity, nearest, axis=1)
    if groups is not None:
        weights = np.where(np.isfinite(weights), weights, 0.0)
    return float(np.mean(_votes(y[nearest], weights, int(y.max()) + 1).argmax(axis=1) == y))


def neighbour_votes(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    rows: np.ndarray | None,
    *,
    k: int = 5,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """(m, n_classes + 1): for each row the shares of the classes among the k nearest labelled rows
    X (n, d), by cosine about their mean, and the similarity of the nearest one. The rows are `rows`
    (m, d); where that is None they are the labelled rows, each among the others that are not of its
    group (`groups` (n,) int64). n >= 2. Cost mnd."""
    centre = X.mean(axis=0, dtype=np.float64)
    similarity, nearest = _nearest(
        unit_rows(X - centre), None if rows is None else unit_rows(rows - centre), k, groups
    )
    weights: np.ndarray | float = 1.0 / nearest.shape[1]
    if rows is None and groups is not None:
        found = np.isfinite(np.take_along_axis(similarity, nearest, axis=1))
        weights = found / np.maximum(found.sum(axis=1, keepdims=True), 1)
    shares = _votes(y[nearest], weights, n_classes)
    return np.column_stack([shares, similarity.max(axis=1)])


def _nearest(
    labelled: np.ndarray, rows: np.ndarray | None, k: int, groups: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """(products (m, n) of `rows` (m, d) with the `labelled` (n, d), indices (m, min(k, n)) of the
    nearest in no order). Where `rows` is None, every labelled row is compared with the others, and
    its products with itself and with its group are -inf."""
    similarity = (labelled if rows is None else rows) @ labelled.T
    if rows is None:
        np.fill_diagonal(similarity, -np.inf)
        if groups is not None:
            similarity[groups[:, None] == groups] = -np.inf
    k = min(k, len(labelled) - (rows is None))
    return similarity, np.argpartition(-similarity, k - 1, axis=1)[:, :k]


def _votes(classes: np.ndarray, weights: np.ndarray | float, n_classes: int) -> np.ndarray:
    """(m, n_classes): the sum of the `weights` of each row's neighbours by class. `classes` (m, k)
    are those of the neighbours."""
    votes = np.zeros((len(classes), n_classes))
    np.add.at(votes, (np.arange(len(votes))[:, None], classes), weights)
    return votes


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """`rows` (m, d) scaled to length 1. Rows of length 0 stay as they are."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(norms > 0, norms, 1)


def silhouette(squared: np.ndarray, y: np.ndarray) -> float:
    """Mean over the rows of (b − a)/max(a, b). a is the mean distance to the other rows of the
    class, b the least mean distance to another class. The term is 0 for the only row of a class,
    and where a = b = 0.

    `squared` (n, n) are squared distances, y is (n,) int64. Range [-1, 1], higher is better, NaN
    for one class. Cost n²·classes. Source: Rousseeuw, 1987.
    """
    labels, index, counts = np.unique(y, return_inverse=True, return_counts=True)
    if len(labels) < 2:
        return float("nan")
    members = np.zeros((len(y), len(labels)))
    rows = np.arange(len(y))
    members[rows, index] = 1.0
    sums = np.sqrt(squared) @ members  # (n, c)
    own = sums[rows, index] / np.maximum(counts[index] - 1, 1)
    means = sums / counts
    means[rows, index] = np.inf
    nearest = means.min(axis=1)
    larger = np.maximum(own, nearest)
    widths = np.divide(
        nearest - own, larger, out=np.zeros_like(larger), where=(larger > 0) & (counts[index] > 1)
    )
    return float(widths.mean())


def twonn_dimension(squared: np.ndarray) -> float:
    """Intrinsic dimension from the ratio μ of the distances to each row's second and first
    neighbour. It is the slope, through the origin, of −ln(1 − F(μ)) on ln μ over the smallest 90 %
    of the ratios.

    `squared` (n, n) are squared distances. A repeated row counts once. Range (0, inf]: inf where
    all ratios are 1 (all distances are equal), NaN for fewer than 4 distinct rows. Biased low in
    many dimensions, as every estimator from distances is. Cost n². Source: Facco et al., Scientific
    Reports 2017.
    """
    if np.count_nonzero(squared) < squared.size - len(squared):
        first_copy = ~np.tril(squared == 0, -1).any(axis=1)
        squared = squared[np.ix_(first_copy, first_copy)]
    n_rows = len(squared)
    if n_rows < LEAST_ROWS:
        return float("nan")
    apart = squared.copy()
    np.fill_diagonal(apart, np.inf)
    rows, nearest = np.arange(n_rows), apart.argmin(axis=1)
    first = apart[rows, nearest]
    apart[rows, nearest] = np.inf
    logs = np.sort(np.log(apart.min(axis=1) / first)) / 2
    kept = int(TWO_NN_SHARE_KEPT * n_rows)
    heights = -np.log1p(-np.arange(1, kept + 1) / n_rows)
    square = float(logs[:kept] @ logs[:kept])
    return float(logs[:kept] @ heights) / square if square > 0 else float("inf")
