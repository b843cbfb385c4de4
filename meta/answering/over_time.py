"""What is lost when a classifier is trained on the past: the world changes, and texts to come are
not drawn from the same hat as the labelled rows.

Leave-one-out and the curve seen so far train on rows of any time. So the loss is measured beside
them, in the space that is best in leave-one-out. The later half of the rows is cut into blocks. For
each block one probe is trained on all earlier rows, others on as many rows of any time outside the
block (forward chaining, paired). The difference, shrunk by its standard error, is taken off all
forecasts. It is the loss over the time that the labelled rows span; further into the future it may
be larger.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from meta.answering.wider_intervals import add_noise
from meta.metamodel.quantile_curves import bounded
from meta.metric import Metric
from probes.features.crossfit import MIN_PART_ROWS, fit_ridge
from probes.metrics import score

BLOCK_STARTS = (0.5, 0.625, 0.75, 0.875)
"""Shares of the rows, in order of time, before which a block of test rows starts."""
N_DRAWS = 3
"""Probes of rows of any time that each probe of earlier rows is compared with."""
N_RESAMPLES = 100
"""Bootstrap samples of the test rows."""
MIN_TEST_ROWS = 20
"""With fewer test rows nothing is measured."""


@dataclass(frozen=True)
class TimeGap:
    """A metric on later rows by what the probe was trained on: earlier rows, or rows of any
    time."""

    after_past: float
    after_any: float
    n_rows: int
    """Test rows."""
    loss: float
    """What training on the past costs, on the scale of forecasts (`Metric.to_scale`), shrunk
    towards 0; at least 0."""
    standard_error: float
    """Of `loss`."""


def time_gap(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    times: np.ndarray,
    metric: Metric,
    *,
    groups: np.ndarray | None = None,
    seed: int = 0,
) -> TimeGap | None:
    """Measure the loss on labelled rows X (n, d), y (n,) int64 at `times` (n,). No row of a test
    row's group (`groups` (n,)) trains its probe. None where there are too few later rows, or where
    the earlier ones have one class. Cost: four times (1 + N_DRAWS) ridge probes. Deterministic
    given `seed`."""
    rng = np.random.default_rng(seed)
    past, anytime, labels = [], [], []
    for rows, earlier, others in _blocks(times, groups):
        if len(earlier) < MIN_PART_ROWS or len(np.unique(y[earlier])) < 2:
            continue
        size = min(len(earlier), len(others))
        fits = [_probabilities(X, y, n_classes, earlier, rows, groups)]
        for _ in range(N_DRAWS):
            drawn = np.sort(rng.choice(others, size, replace=False))
            fits.append(_probabilities(X, y, n_classes, drawn, rows, groups))
        past.append(fits[0])
        anytime.append(np.stack(fits[1:]))
        labels.append(y[rows])
    if sum(map(len, labels)) < MIN_TEST_ROWS:
        return None
    known, late = np.concatenate(labels), np.concatenate(past)
    mixed = np.concatenate(anytime, axis=1)  # (N_DRAWS, m, K)

    def values(rows: np.ndarray) -> tuple[float, float]:
        of_any = [_value(known[rows], part[rows], n_classes, metric) for part in mixed]
        return _value(known[rows], late[rows], n_classes, metric), float(np.mean(of_any))

    def loss(rows: np.ndarray) -> float:
        later, whole = (float(metric.to_scale(np.array(value))) for value in values(rows))
        return metric.sign * (whole - later)

    rows = np.arange(len(known))
    measured = loss(rows)
    if not np.isfinite(measured):
        return None  # the later rows are of one class: they have no AUROC
    resampled = [loss(rng.choice(rows, len(rows))) for _ in range(N_RESAMPLES)]
    error = float(np.nanstd(resampled))
    if measured <= error:
        return TimeGap(*values(rows), len(rows), 0.0, 0.0)
    weight = 1 - (error / measured) ** 2
    return TimeGap(*values(rows), len(rows), weight * measured, weight**0.5 * error)


def after_the_past(curve: np.ndarray, gap: TimeGap, metric: Metric) -> np.ndarray:
    """The forecast `curve` (H, 5) of texts that come after the labelled rows: every quantile loses
    `gap.loss`, and the intervals hold its error too."""
    if gap.loss <= 0:
        return curve
    lower = metric.to_scale(curve) - metric.sign * gap.loss
    return add_noise(metric.from_scale(bounded(lower, metric)), gap.standard_error, metric)


def time_notes(gap: TimeGap | None, metric: Metric) -> list[str]:
    """What was seen over time, in a sentence."""
    if gap is None:
        return [
            "--time-column: too few later rows, classes or times to see what is lost over time:"
            " forecasts are for texts of the same time as the labelled rows"
        ]
    form = "{:.1%}" if metric.is_rate else "{:.3f}"
    past, whole = form.format(gap.after_past), form.format(gap.after_any)
    seen = (
        f"over time: trained on earlier rows the probe has {past} {metric.words} on the"
        f" {gap.n_rows} rows that follow, {whole} with as many rows of any time"
    )
    if gap.loss <= 0:
        return [f"{seen}: no loss that is more than chance"]
    return [
        f"{seen}: forecasts are corrected for that; the further texts are ahead, the more may be"
        " lost"
    ]


def _blocks(
    times: np.ndarray, groups: np.ndarray | None
) -> Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each block of test rows: its rows, all earlier rows, and all rows outside it. Rows of one
    time are in one block."""
    ordered = np.sort(times)
    starts = np.unique([ordered[int(share * len(times))] for share in BLOCK_STARTS])
    blocks = []
    for start, end in zip(starts, [*starts[1:], np.inf], strict=True):
        inside = (times >= start) & (times < end)
        may_train = ~inside
        if groups is not None:
            may_train &= ~np.isin(groups, groups[inside])
        blocks.append(
            (
                np.flatnonzero(inside),
                np.flatnonzero(may_train & (times < start)),
                np.flatnonzero(may_train),
            )
        )
    return blocks


def _probabilities(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    of_train: np.ndarray,
    of_test: np.ndarray,
    groups: np.ndarray | None,
) -> np.ndarray:
    """(m, K) probabilities of the rows `of_test` by a probe of the rows `of_train`."""
    fit = fit_ridge(
        X[of_train], y[of_train], n_classes, None if groups is None else groups[of_train]
    )
    return fit.probabilities(fit.scores(X[of_test]))


def _value(labels: np.ndarray, probabilities: np.ndarray, n_classes: int, metric: Metric) -> float:
    return float(score(labels, probabilities, np.arange(n_classes))[metric])
