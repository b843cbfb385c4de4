"""What labelled evaluation rows do to a space's forecast, and what is said of it
(`meta.answering.q2_prediction_powered` has the estimator).

Pure: a curve, the probe's probabilities and labels in, a curve and a line for the user out. No
other part of the answers ever sees a label of an evaluation row; that there is one keeps the row
from being proposed for labelling.
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
    measure,
    outcomes,
)
from meta.given.sample import NOT_LABELLED
from meta.metric import MEDIAN, Metric
from meta.schema import EvalLabels, Interval


@dataclass(frozen=True)
class Correction:
    """A forecast curve (H, 5) as it was, and what corrected it."""

    before: np.ndarray
    measured: Measured


def correct_forecast(
    curve: np.ndarray,
    labels: np.ndarray | None,
    probabilities: Callable[[], np.ndarray],
    metric: Metric,
) -> tuple[np.ndarray, Correction | None]:
    """The forecast (H, 5) after what labels (m,) of evaluation rows say of this very probe, whose
    `probabilities()` are (m, K).

    The curve itself and None without labels, with fewer than `MIN_LABELLED_ROWS`, or for a metric
    that is no mean over rows.
    """
    if labels is None or not can_measure(labels, metric):
        return curve, None
    measured = measure(*outcomes(metric, probabilities(), labels))
    return correct_curve(curve, measured, metric), Correction(curve, measured)


def eval_labels_answer(
    correction: Correction | None, labels: np.ndarray | None, metric: Metric
) -> tuple[EvalLabels | None, list[str]]:
    """What labels (m,) have done to the best space's forecast, and why they have done nothing."""
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
    at = [measured.quantiles[0], measured.estimate, measured.quantiles[-1]]
    q05, estimate, q95 = np.clip(
        at, 0.0, 1.0 if metric.is_rate else np.inf
    ).tolist()  # unbiased: it may be beyond the range
    return (
        EvalLabels(
            n_labelled=n_labelled,
            estimate=estimate,
            q05=q05,
            q95=q95,
            weight=measured.weight,
            before=Interval(q05=low, q50=middle, q95=high),
        ),
        [],
    )
