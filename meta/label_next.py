"""Question 3, first half: which unlabelled rows to label next, each with its reason.

With few labels typical rows of regions without a label teach most; with many, rows that the probe cannot decide (TypiClust,
Hacohen et al. 2022, arXiv 2202.02794). The two are weighed by rows per class; rare classes are sought at any size. Rows are
picked one by one, and each pick makes its neighbourhood less interesting, so that a batch does not say one thing twenty times.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BALANCE_ROWS_PER_CLASS = 32
"""Labelled rows per class at which typical and uncertain rows weigh the same."""
MAX_REGIONS = 40
LABELS_PER_REGION = 3
"""Labelled rows that a region has on average: with fewer, many would be without one by chance."""
MIN_ROWS_PER_REGION = 10
SIGNIFICANT_Z = 2.0
"""A region counts as uncovered when its lack of labels exceeds this many standard errors, or it has none and is due one."""
RARE_SHARE = 0.5
"""A class is rare below this share of an equal share."""
RARE_WEIGHT = 0.7
CROWDING = 0.6
"""What a pick leaves of the interest of its region's other rows."""
SAME_COSINE = 0.97
"""Rows closer than this to a picked one are not picked."""


@dataclass(frozen=True)
class Pick:
    """One evaluation row to label; `row_idx` is its position in X_eval."""

    row_idx: int
    score: float
    reason: str
    why: str


@dataclass(frozen=True)
class Regions:
    """Both samples in the same k-means cells of the embedding space."""

    of_eval: np.ndarray
    """(m,) cell of each evaluation row."""
    typicality: np.ndarray
    """(m,) in (0, 1]: 1 for the row nearest its cell's centre."""
    eval_counts: np.ndarray
    train_counts: np.ndarray

    @property
    def deficit(self) -> np.ndarray:
        """(k,) share of the evaluation rows in a cell less its share of the labelled ones, 0 where that is within the noise of
        the counts (unless the cell has no label and is due one)."""
        n_eval, n_train = self.eval_counts.sum(), max(self.train_counts.sum(), 1)
        of_eval, of_train = self.eval_counts / n_eval, self.train_counts / n_train
        pooled = (self.eval_counts + self.train_counts) / (n_eval + n_train)
        noise = np.sqrt(pooled * (1 - pooled) * (1 / n_eval + 1 / n_train))
        lacking = (of_eval - of_train > SIGNIFICANT_Z * noise) | ((self.train_counts == 0) & (of_eval * n_train >= 1))
        return np.where(lacking, np.maximum(of_eval - of_train, 0.0), 0.0)


def find_regions(X: np.ndarray, X_eval: np.ndarray, *, n_regions: int, seed: int) -> Regions:
    """K-means cells of the evaluation rows X_eval (m, d), unit-normalised; the labelled rows X (n, d) fall where they are
    nearest."""
    from sklearn.cluster import KMeans

    of_eval, of_train = _unit(X_eval), _unit(X)
    cells = KMeans(n_regions, n_init=1, max_iter=50, random_state=seed).fit(of_eval)
    distance = np.linalg.norm(of_eval - cells.cluster_centers_[cells.labels_], axis=1)
    typicality = np.empty(len(of_eval))
    for cell in range(n_regions):
        inside = np.flatnonzero(cells.labels_ == cell)
        typicality[inside[np.argsort(distance[inside], kind="stable")]] = 1 - np.arange(len(inside)) / max(len(inside), 1)
    train_counts = np.bincount(cells.predict(of_train), minlength=n_regions)
    return Regions(cells.labels_, typicality, np.bincount(cells.labels_, minlength=n_regions), train_counts)


def label_next(
    X: np.ndarray,
    y: np.ndarray,
    X_eval: np.ndarray,
    probabilities: np.ndarray,
    label_names: Sequence[str],
    *,
    n_rows: int = 20,
    seed: int = 0,
) -> list[Pick]:
    """At most `n_rows` rows of X_eval (m, d), most useful first; X (n, d) are the labelled rows with y (n,) int64.

    `probabilities` (m, K): the probe's, for X_eval. Deterministic given `seed`. Empty when there are no evaluation rows.
    """
    n_eval, n_classes = len(X_eval), len(label_names)
    if n_eval == 0:
        return []
    wanted = max(len(X) // LABELS_PER_REGION, n_rows // 2)
    n_regions = int(np.clip(min(wanted, n_eval // MIN_ROWS_PER_REGION), 1, MAX_REGIONS))
    regions = find_regions(X, X_eval, n_regions=n_regions, seed=seed)
    typical = typical_weight(len(y), n_classes)
    margin, second, first = _margins(probabilities)
    rarity = _rarity(y, n_classes)
    rare = probabilities * rarity
    deficit = regions.deficit
    uncovered = (deficit / deficit.max() if deficit.max() > 0 else deficit)[regions.of_eval] * np.sqrt(regions.typicality)
    parts = np.stack([typical * uncovered, (1 - typical) * (1 - margin), RARE_WEIGHT * rare.max(axis=1)])  # (3, m)
    unit = _unit(X_eval)
    free = np.ones(n_eval, dtype=bool)
    picks: list[Pick] = []
    while len(picks) < min(n_rows, n_eval) and free.any():
        scores = np.where(free, parts.max(axis=0), -1.0)
        row = int(scores.argmax())
        kind, cell = int(parts[:, row].argmax()), int(regions.of_eval[row])
        if scores[row] <= 0:
            break
        if kind == 0:
            reason, why = "uncovered region", _why_uncovered(regions, cell)
        elif kind == 1:
            reason, why = "uncertain", _why_uncertain(probabilities[row], int(first[row]), int(second[row]), label_names)
        else:
            reason, why = "rare class", _why_rare(int(rare[row].argmax()), probabilities[row], y, label_names)
        picks.append(Pick(row, float(np.clip(scores[row], 0.0, 1.0)), reason, why))
        parts[kind, regions.of_eval == cell] *= CROWDING
        free &= unit @ unit[row] < SAME_COSINE
        free[row] = False
    return picks


def typical_weight(n_train: int, n_classes: int) -> float:
    """Weight in (0, 1) of typical over uncertain rows: falls with the labelled rows per class, 1/2 at
    `BALANCE_ROWS_PER_CLASS`."""
    return 1 / (1 + n_train / n_classes / BALANCE_ROWS_PER_CLASS)


def strategy(n_train: int, n_classes: int) -> str:
    """The weighing in words."""
    weight = typical_weight(n_train, n_classes)
    return (
        f"with {n_train / n_classes:.0f} labelled rows a class, typical rows of regions without labels weigh {weight:.0%}, "
        f"rows that the probe cannot decide {1 - weight:.0%}"
    )


def _why_uncovered(regions: Regions, cell: int) -> str:
    n_train, n_eval = int(regions.train_counts.sum()), int(regions.eval_counts.sum())
    share = regions.eval_counts[cell] / n_eval
    return (
        f"typical of {share:.0%} of the evaluation rows, where {int(regions.train_counts[cell])} of {n_train} labelled rows lie"
    )


def _why_uncertain(probabilities: np.ndarray, first: int, second: int, label_names: Sequence[str]) -> str:
    one, other = (f"'{label_names[i]}' ({probabilities[i]:.0%})" for i in (first, second))
    return f"the probe hesitates between {one} and {other}"


def _why_rare(label: int, probabilities: np.ndarray, y: np.ndarray, label_names: Sequence[str]) -> str:
    count = int(np.sum(y == label))
    return f"may be '{label_names[label]}' ({probabilities[label]:.0%}), which has {count} of {len(y)} labelled rows"


def _margins(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = np.argsort(probabilities, axis=1)
    first, second = order[:, -1], order[:, -2]
    rows = np.arange(len(probabilities))
    return probabilities[rows, first] - probabilities[rows, second], second, first


def _rarity(y: np.ndarray, n_classes: int) -> np.ndarray:
    """(K,) in [0, 1]: 0 from `RARE_SHARE` of an equal share upwards, 1 for a class without rows."""
    relative = np.bincount(y, minlength=n_classes) / len(y) * n_classes
    return np.clip(1 - relative / RARE_SHARE, 0.0, 1.0)


def _unit(X: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(X, axis=1, keepdims=True)
    return (X / np.where(norms > 0, norms, 1.0)).astype(np.float32)
