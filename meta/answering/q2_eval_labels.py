"""Question 2: how labelled evaluation rows correct a space's forecast, and what the answers say of
it.

The estimator is in `meta.answering.q2_prediction_powered`. No other part of the answers sees a
label of an evaluation row. Question 3 only sees which rows have one, and does not propose them for
labelling.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from meta.answering.q2_prediction_powered import (
    MEAN_METRICS,
    MIN_LABELLED_ROWS,
    Measured,
    can_measure,
    correct_curve,
    is_refuted,
    measure,
    outcomes,
)
from meta.given.sample import NOT_LABELLED
from meta.metric import MEDIAN, Metric
from meta.schema import EvalLabels, Interval


@dataclass(frozen=True)
class Correction:
    """How a forecast curve was corrected."""

    before: np.ndarray
    """(H, 5) quantiles before the correction."""
    measured: Measured


def correct_forecast(
    curve: np.ndarray,
    labels: np.ndarray | None,
    probabilities: Callable[[], np.ndarray],
    metric: Metric,
) -> tuple[np.ndarray, Correction | None]:
    """The forecast `curve` (H, 5) after the labels of evaluation rows have corrected it, and the
    correction.

    `labels` (m,) int64 are the labels of the evaluation rows (`EvalSample.labels`).
    `probabilities()` returns the probe's probabilities (m, K) for them. Returns `curve` and None
    without labels, with fewer than `MIN_LABELLED_ROWS`, and for a metric that is no mean over rows.
    """
    if labels is None or not can_measure(labels, metric):
        return curve, None
    measured = measure(*outcomes(metric, probabilities(), labels))
    return correct_curve(curve, measured, metric), Correction(curve, measured)


def eval_labels_answer(
    correction: Correction | None, labels: np.ndarray | None, n_given: int, metric: Metric
) -> tuple[EvalLabels | None, list[str]]:
    """The field `eval_labels` of the answers, and warnings: why `labels` (m,) were not used, why
    fewer than `n_given` were, and whether they refute the forecast. `correction` is that of the
    best space's forecast."""
    if labels is None:
        return None, []
    n_labelled = int(np.sum(labels != NOT_LABELLED))
    if correction is None:
        if metric not in MEAN_METRICS:
            return None, [
                f"--eval-labels: not used, as {metric} is no mean over rows;"
                f" {' and '.join(MEAN_METRICS)} are"
            ]
        few = (
            f"{n_labelled} distinct evaluation rows with a label; at least {MIN_LABELLED_ROWS} are"
            " needed"
        )
        return None, [f"--eval-labels: not used ({few})"]
    low, middle, high = correction.before[0, [0, MEDIAN, -1]].tolist()
    measured = correction.measured
    notes = []
    if n_labelled < n_given:
        notes.append(
            f"--eval-labels: {n_labelled} of {n_given} labels are used; the other rows repeat one"
            " of these, or are left out of the evaluation sample"
        )
    at = [measured.quantiles[0], measured.estimate, measured.quantiles[-1]]
    # an unbiased estimate may lie outside the metric's range
    q05, estimate, q95 = np.clip(at, 0.0, 1.0 if metric.is_rate else np.inf).tolist()
    if is_refuted(correction.before, measured, metric):
        notes.append(
            f"the {n_labelled} labelled evaluation rows refute the forecast: it was"
            f" {metric.show(middle)}, they measure {metric.show(estimate)}; the answers lean on the"
            " measurement"
        )
    return (
        EvalLabels(
            n_labelled=n_labelled,
            n_given=n_given,
            estimate=estimate,
            q05=q05,
            q95=q95,
            weight=measured.weight,
            before=Interval(q05=low, q50=middle, q95=high),
        ),
        notes,
    )
