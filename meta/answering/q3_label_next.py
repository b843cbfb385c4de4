"""Question 3, first half: which unlabelled rows to label next, each with its reason.

Every evaluation row gets an interest. It is high where the probe hesitates, where there are many
evaluation rows and few labelled ones, and where the row may be of a class with few labels. The
batch is then spread over the interesting rows: weighted k-means makes cells, and one row of each
cell is chosen. So the batch does not hold twenty rows that all teach the same (Zhdanov 2019, arXiv
1901.05954).

With few labels the probe is hardly believed, and the cells are made of nearly all rows. At that
time typical rows teach most; uncertain rows teach more later (TypiClust, Hacohen et al. 2022, arXiv
2202.02794). docs/benchmarks.md compares other strategies.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from probes.features.geometry import unit_rows

FULL_TRUST_ROWS_PER_CLASS = 16
"""From this many labelled rows per class on, the probe's hesitation counts in full."""
CANDIDATES_PER_PICK = 10
"""The batch is spread over this many times as many rows as it has, the most interesting ones. With
hardly any labels it is spread over all rows."""
MAX_REGIONS = 40
"""Largest number of regions."""
LABELS_PER_REGION = 8
"""Labelled rows that a region has on average. With fewer, a region without labels would be no
surprise."""
MIN_ROWS_PER_REGION = 10
"""Evaluation rows that a region has on average, at least."""
MIN_EXPECTED_LABELS, MAX_COVERED_SHARE = 5.0, 0.1
"""A region counts as uncovered under two conditions. Its share of the evaluation rows makes at
least `MIN_EXPECTED_LABELS` labels expected in it. It has at most the share `MAX_COVERED_SHARE` of
them. Anything less may be chance among so many regions, or a region whose rows earlier batches did
not need."""
RARE_SHARE = 0.5
"""A class is rare below this share of an equal share."""
RARE_WEIGHT = 0.7
"""Weight of the probability of a rare class in a row's interest."""
HESITANT_MARGIN = 0.5
"""The probe hesitates where the most probable class leads the second one by less than this."""


@dataclass(frozen=True)
class Pick:
    """One evaluation row to label."""

    row_idx: int
    """Position in X_eval."""
    score: float
    reason: str
    why: str


@dataclass(frozen=True)
class Regions:
    """k regions (k-means cells) of the embedding space, and the rows of both samples in them."""

    of_eval: np.ndarray
    """(m,) int: the region of each evaluation row."""
    eval_counts: np.ndarray
    """(k,) evaluation rows in each region."""
    train_counts: np.ndarray
    """(k,) labelled rows in each region."""

    @property
    def deficit(self) -> np.ndarray:
        """(k,) a region's share of the evaluation rows less its share of the labelled rows. 0 for
        every region that is not uncovered."""
        n_eval, n_train = self.eval_counts.sum(), max(self.train_counts.sum(), 1)
        eval_share, train_share = self.eval_counts / n_eval, self.train_counts / n_train
        expected = eval_share * n_train
        is_uncovered = (expected >= MIN_EXPECTED_LABELS) & (
            self.train_counts <= MAX_COVERED_SHARE * expected
        )
        return np.where(is_uncovered, eval_share - train_share, 0.0)


def find_regions(X: np.ndarray, X_eval: np.ndarray, *, n_regions: int, seed: int) -> Regions:
    """The k-means cells of the evaluation rows X_eval (m, d), scaled to unit length. Each of the
    labelled rows X (n, d) belongs to the nearest cell. Deterministic given `seed`."""
    from sklearn.cluster import KMeans

    cells = KMeans(n_regions, n_init=1, max_iter=20, random_state=seed).fit(_unit(X_eval))
    train_counts = np.bincount(cells.predict(_unit(X)), minlength=n_regions)
    return Regions(cells.labels_, np.bincount(cells.labels_, minlength=n_regions), train_counts)


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
    """At most `n_rows` distinct rows of X_eval (m, d), the most useful first.

    X (n, d) are the labelled rows, y (n,) int64 their labels, and `probabilities` (m, K) those of
    the probe for X_eval. The score of a pick is the total interest of the rows in its cell, as a
    share of the greatest total. Deterministic given `seed`. Empty when there are no evaluation
    rows.
    """
    n_eval, n_classes = len(X_eval), len(label_names)
    if n_eval == 0:
        return []
    n_regions = int(
        np.clip(min(len(X) // LABELS_PER_REGION, n_eval // MIN_ROWS_PER_REGION), 1, MAX_REGIONS)
    )
    regions = find_regions(X, X_eval, n_regions=n_regions, seed=seed)
    trust = probe_trust(len(y), n_classes)
    margin, second, first = _margins(probabilities)
    rare = probabilities * _rarity(y, n_classes)
    deficit = regions.deficit
    uncovered = (deficit / deficit.max() if deficit.max() > 0 else deficit)[regions.of_eval]
    parts = np.stack([uncovered, (1 - margin) ** trust, RARE_WEIGHT * rare.max(axis=1)])  # (3, m)
    interest = parts.max(axis=0)
    n_candidates = max(CANDIDATES_PER_PICK * n_rows, round((1 - trust) * n_eval))
    rows, scores = spread_over_rows(_unit(X_eval), interest, n_rows, n_candidates, seed=seed)
    picks = []
    for row, score in zip(rows.tolist(), scores.tolist(), strict=True):
        kind, cell = int(parts[:, row].argmax()), int(regions.of_eval[row])
        if kind == 0:
            reason, why = "uncovered region", _why_uncovered(regions, cell)
        elif kind == 2:
            reason, why = (
                "rare class",
                _why_rare(int(rare[row].argmax()), probabilities[row], y, label_names),
            )
        elif margin[row] < HESITANT_MARGIN:
            reason, why = (
                "uncertain",
                _why_uncertain(probabilities[row], int(first[row]), int(second[row]), label_names),
            )
        else:
            reason, why = "typical", _why_typical(regions, cell)
        picks.append(Pick(row, score, reason, why))
    return picks


def spread_over_rows(
    unit: np.ndarray, interest: np.ndarray, n_rows: int, n_candidates: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """At most `n_rows` rows (int64) that are spread over the `n_candidates` most interesting ones,
    and their scores.

    `unit` (m, d) are unit vectors of all rows, `interest` (m,) their interest. Weighted k-means
    makes `n_rows` cells of the candidates. The row chosen in a cell has the least squared distance
    to the centre divided by its interest. A score is the total interest of the cell, as a share of
    the greatest total; the rows come by falling score. There are fewer rows where candidates
    coincide.
    """
    from sklearn.cluster import KMeans

    candidates = np.argsort(-interest, kind="stable")[: max(n_candidates, 1)]
    candidates = candidates[interest[candidates] > 0]
    distinct = len(np.unique(unit[candidates], axis=0)) if len(candidates) else 0
    n_cells = min(n_rows, distinct)
    if n_cells == 0:
        return np.array([], dtype=np.int64), np.array([])
    weights = interest[candidates].astype(np.float64)
    cells = KMeans(n_cells, n_init=1, max_iter=20, random_state=seed).fit(
        unit[candidates], sample_weight=weights
    )
    distance = ((unit[candidates] - cells.cluster_centers_[cells.labels_]) ** 2).sum(axis=1)
    total = np.bincount(cells.labels_, weights, minlength=n_cells)
    by_cell = np.lexsort((distance / weights, cells.labels_))
    filled, first = np.unique(cells.labels_[by_cell], return_index=True)
    order = np.argsort(-total[filled], kind="stable")
    return candidates[by_cell[first]][order], (total[filled] / total.max())[order]


def probe_trust(n_train: int, n_classes: int) -> float:
    """How far the probe's hesitation is believed, in (0, 1]. It grows with the labelled rows per
    class, up to 1 at `FULL_TRUST_ROWS_PER_CLASS`."""
    return min(n_train / n_classes / FULL_TRUST_ROWS_PER_CLASS, 1.0)


def strategy(n_train: int, n_classes: int) -> str:
    """How the batch is chosen, in words."""
    rows, trust = (
        f"with {n_train / n_classes:.0f} labelled rows a class",
        probe_trust(n_train, n_classes),
    )
    if trust < 1:
        return (
            f"{rows} the probe is believed {trust:.0%}: rows that are typical of many count beside"
            " those that it cannot decide"
        )
    return (
        f"{rows} on average, rows that the probe cannot decide or that may be of a rare class,"
        " spread over the evaluation sample so that each stands for others; typical ones where it"
        " is sure of the rest"
    )


def _why_uncovered(regions: Regions, cell: int) -> str:
    """The sentence for a row in an uncovered region `cell`."""
    n_train = int(regions.train_counts.sum())
    return (
        f"{_share(regions, cell)}, where {int(regions.train_counts[cell])} of {n_train} labelled"
        " rows lie"
    )


def _why_typical(regions: Regions, cell: int) -> str:
    """The sentence for a typical row of the region `cell`."""
    return f"{_share(regions, cell)}; the probe has seen too little to say more"


def _share(regions: Regions, cell: int) -> str:
    """The share of the evaluation rows that lie in the region `cell`, in words."""
    return (
        f"typical of {regions.eval_counts[cell] / int(regions.eval_counts.sum()):.0%} of the"
        " evaluation rows"
    )


def _why_uncertain(
    probabilities: np.ndarray, first: int, second: int, label_names: Sequence[str]
) -> str:
    """The sentence for a row whose most probable classes are `first` and `second`."""
    one, other = (f"'{label_names[i]}' ({probabilities[i]:.0%})" for i in (first, second))
    return f"the probe hesitates between {one} and {other}"


def _why_rare(
    label: int, probabilities: np.ndarray, y: np.ndarray, label_names: Sequence[str]
) -> str:
    """The sentence for a row that may be of the rare class `label`."""
    count = int(np.sum(y == label))
    return (
        f"may be '{label_names[label]}' ({probabilities[label]:.0%}), which has {count} of {len(y)}"
        " labelled rows"
    )


def _margins(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each row of `probabilities` (m, K): the lead (m,) of the most probable class over the
    second one, the second class (m,), the most probable class (m,)."""
    order = np.argsort(probabilities, axis=1)
    first, second = order[:, -1], order[:, -2]
    rows = np.arange(len(probabilities))
    return probabilities[rows, first] - probabilities[rows, second], second, first


def _rarity(y: np.ndarray, n_classes: int) -> np.ndarray:
    """(K,) in [0, 1]: 1 for a class without rows, falling to 0 at `RARE_SHARE` of an equal share of
    the labelled rows `y` (n,)."""
    relative = np.bincount(y, minlength=n_classes) / len(y) * n_classes
    return np.clip(1 - relative / RARE_SHARE, 0.0, 1.0)


def _unit(X: np.ndarray) -> np.ndarray:
    """The rows of X (n, d), scaled to unit length, as float32."""
    return unit_rows(X).astype(np.float32)
