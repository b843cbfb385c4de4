"""Question 3: which rows to label next, and which labels look wrong."""

import numpy as np

from meta.answering.forecasts import Forecasts
from meta.answering.q3_label_errors import suspect_labels
from meta.answering.q3_label_next import label_next, strategy
from meta.given.prepare import PreparedSamples
from meta.given.sample import NOT_LABELLED
from meta.metric import MEDIAN
from meta.schema import LabelBatch, LabelNext, SuspectLabel

N_SUSPECT_SPACES = 3
"""Labels are judged by the mean of the probabilities in this many of the best spaces."""


def rows_to_label(
    forecasts: Forecasts, prepared: PreparedSamples, n_rows: int, seed: int
) -> tuple[list[LabelNext], LabelBatch | None]:
    """At most `n_rows` evaluation rows to label next, and what labelling all of them should bring.
    Rows that have a label are not proposed. Where every row has one, the result is ([], None)."""
    train, evaluation, best = prepared.train, prepared.evaluation, forecasts.best
    if evaluation.labels is None:
        to_label = np.arange(len(evaluation))
    else:
        to_label = np.flatnonzero(evaluation.labels == NOT_LABELLED)
    if not len(to_label):
        return [], None
    X, X_eval = best.encoder.views[best.space.view]
    X_eval = X_eval[to_label]
    fit = best.space.fit
    probabilities = fit.probabilities(fit.scores(X_eval))
    picks = label_next(
        X, train.labels, X_eval, probabilities, train.label_names, n_rows=n_rows, seed=seed
    )
    rows = [
        LabelNext(
            row=int(evaluation.positions[at]),
            text=evaluation.texts[at],
            text_pair=evaluation.text_pair[at] if evaluation.text_pair is not None else None,
            score=pick.score,
            reason=pick.reason,
            why=pick.why,
        )
        for pick, at in ((pick, int(to_label[pick.row_idx])) for pick in picks)
    ]
    medians = best.curve[:, MEDIAN]
    after = np.interp(np.log2(len(train) + len(rows)), np.log2(forecasts.sizes), medians)
    gain = abs(float(after) - best.median_now)  # curves only get better
    return rows, LabelBatch(
        n_rows=len(rows), gain=gain, strategy=strategy(len(train), len(train.label_names))
    )


def wrong_labels(forecasts: Forecasts, prepared: PreparedSamples) -> list[SuspectLabel]:
    """Labelled rows whose label looks wrong. Two signs are used: the probes of the best spaces
    predict another class, or rows with the same text have another label."""
    fits = [forecast.space.fit for forecast in forecasts.in_order[:N_SUSPECT_SPACES]]
    agreed = np.mean([fit.probabilities(fit.loo_scores) for fit in fits], axis=0)
    return suspect_labels(agreed, prepared.train, prepared.conflicts)
