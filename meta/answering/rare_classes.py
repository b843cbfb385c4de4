"""The AUROC where a class has few labelled rows.

An AUROC compares the rows of a class with all others, so the rows of the class limit how well it is
known, whatever n is. The metamodel has learnt from samples whose classes have dozens of rows, and
makes its intervals by n. So for rare classes its intervals are made wider here.
"""

from collections.abc import Sequence

import numpy as np

from meta.answering.wider_intervals import MAX_NAMED, short_name
from meta.metamodel.quantile_curves import Z_SCORES, bounded
from meta.metric import MEDIAN, Metric

ENOUGH_ROWS = 40
"""A class with this many labelled rows, or more, changes nothing."""
TOO_FEW_ROWS = 10
"""Classes with this many labelled rows, or fewer, are named in a warning."""
MIN_POINTS = 5
"""There is no warning where rare classes move the ends of an interval by fewer points: among many
classes a rare one hardly matters."""
CHANCE = 0.5
"""The AUROC of the constant answer. Probes reach it with any number of rows: of the truths that the
shipped metamodels have learnt from, 2 % are below it and 0.3 % below 0.49."""


def rare_class_variance(counts: np.ndarray) -> float:
    """How much larger the variance of an AUROC is than with `ENOUGH_ROWS` rows of each class, on
    the scale of `meta.metric.stabilised`. `counts` (K,) are the labelled rows of the classes.

    The AUROC of m rows against q others has the variance (1/m + 1/q) / 12 where scores are random
    (Mann and Whitney 1947). On this scale it is nearly the same at any AUROC (Hanley and McNeil
    1982). With more than two classes the metric is the mean of K such values, each of a class
    against the many rows of all others.

    Leave-one-out scores of a class depend on each other, which doubles the variance where labels
    are random. The metamodel shrinks what it is given, which takes this back: with the plain
    variance 90 % intervals hold nine truths in ten (`benchmarks.rare_classes`).
    """
    rows = counts[counts > 0]
    excess = np.maximum(1 / rows - 1 / ENOUGH_ROWS, 0.0).sum() / 12
    return float(excess if len(rows) == 2 else excess / len(rows) ** 2)


def widen_for_rare_classes(curve: np.ndarray, counts: np.ndarray, metric: Metric) -> np.ndarray:
    """The quantiles `curve` (H, 5) over ascending horizons, for a sample whose classes have
    `counts` (K,) rows. For other metrics than the AUROC they are returned as they are.

    The variance of rare classes is added to the squared distance of each quantile from the median,
    in proportion to the quantile's own normal variance. Then the median and what lies above it are
    raised to chance. Neither changes the order of quantiles, within a row or over horizons.
    """
    if metric is not Metric.AUROC:
        return curve
    extra = rare_class_variance(counts)
    wide = curve.copy()
    if extra > 0:
        angles = metric.to_scale(curve)
        distance = angles - angles[:, MEDIAN : MEDIAN + 1]
        stretched = np.sign(Z_SCORES) * np.sqrt(distance**2 + extra * Z_SCORES**2)
        wide = metric.from_scale(bounded(angles[:, MEDIAN : MEDIAN + 1] + stretched, metric))
        wide[:, MEDIAN] = curve[:, MEDIAN]
    wide[:, MEDIAN:] = np.maximum(wide[:, MEDIAN:], CHANCE)
    return wide


def rare_class_warnings(
    counts: np.ndarray, label_names: Sequence[str], metric: Metric
) -> list[str]:
    """A warning that names the classes with too few rows for an AUROC. Empty for other metrics, and
    where rare classes hardly matter. `counts` (K,) are the labelled rows of `label_names`."""
    rare = np.flatnonzero((counts > 0) & (counts <= TOO_FEW_ROWS))
    # at an AUROC of one half, where the scale is the steepest
    points = 100 * Z_SCORES[-1] * float(np.sqrt(rare_class_variance(counts)))
    if metric is not Metric.AUROC or not len(rare) or points < MIN_POINTS:
        return []
    rarest = rare[np.argsort(counts[rare], kind="stable")]
    named = ", ".join(
        f"'{short_name(label_names[i])}' ({counts[i]} row{'s' if counts[i] > 1 else ''})"
        for i in rarest[:MAX_NAMED]
    )
    more = f" and {len(rare) - MAX_NAMED} more" if len(rare) > MAX_NAMED else ""
    return [
        f"too few labelled rows for an AUROC in class {named}{more}: what so few rows show can be"
        f" {points:.0f} points off by luck alone, so all intervals are made that wide; label"
        f" {ENOUGH_ROWS} rows of each class"
    ]
