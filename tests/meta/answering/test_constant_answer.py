"""The score of the constant answer, compared with the score that scikit-learn gives it."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, f1_score, log_loss, roc_auc_score

from meta.answering.constant_answer import constant_score, constant_words
from meta.answering.warnings import constant_answer_warnings
from meta.metric import Metric

COUNTS = np.array([60, 30, 10])
LABELS = np.repeat(np.arange(3), COUNTS)
FREQUENCIES = np.tile(COUNTS / COUNTS.sum(), (len(LABELS), 1))


def test_it_is_what_scikit_learn_says_of_that_answer():
    commonest = np.zeros(len(LABELS), dtype=np.int64)
    assert constant_score(COUNTS, Metric.ACCURACY) == pytest.approx(
        accuracy_score(LABELS, commonest)
    )
    assert constant_score(COUNTS, Metric.MACRO_F1) == pytest.approx(
        f1_score(LABELS, commonest, average="macro", zero_division=0)
    )
    assert constant_score(COUNTS, Metric.AUROC) == pytest.approx(
        roc_auc_score(LABELS, FREQUENCIES, multi_class="ovr")
    )
    assert constant_score(COUNTS, Metric.LOG_LOSS) == pytest.approx(log_loss(LABELS, FREQUENCIES))


def test_a_class_without_rows_costs_no_log_loss():
    assert constant_score(np.array([5, 5, 0]), Metric.LOG_LOSS) == pytest.approx(np.log(2))


@pytest.mark.parametrize(
    ("metric", "curve", "target", "said"),
    [
        (
            Metric.MACRO_F1,
            [0.20, 0.23, 0.255, 0.28, 0.3],
            None,
            ["no better than always answering 'a' (60.0% of"],
        ),
        (
            Metric.MACRO_F1,
            [0.20, 0.4, 0.5, 0.6, 0.7],
            0.24,
            ["not surely better", "the target of 24.0% is met by always answering 'a'"],
        ),
        (
            Metric.AUROC,
            [0.45, 0.5, 0.6, 0.7, 0.8],
            0.5,
            ["reaches below", "is met by always answering the classes' frequencies: aim higher"],
        ),
        (
            Metric.LOG_LOSS,
            [0.5, 0.7, 0.8, 0.85, 0.9],
            0.95,
            ["reaches above", "the target of 0.95 is met by always answering the"],
        ),
        (
            Metric.LOG_LOSS,
            [0.7, 0.8, 0.9, 0.95, 1.0],
            None,
            ["no better than always answering the classes' frequencies"],
        ),
        (Metric.LOG_LOSS, [0.1, 0.2, 0.3, 0.4, 0.5], 0.2, []),
        (Metric.ACCURACY, [0.7, 0.8, 0.85, 0.9, 0.95], 0.9, []),
    ],
)
def test_a_level_that_it_has_as_well_is_said(metric, curve, target, said):
    constant, always = (
        constant_score(COUNTS, metric),
        constant_words(COUNTS, ("a", "b", "c"), metric),
    )
    warnings = constant_answer_warnings(constant, always, np.array([curve, curve]), metric, target)
    assert len(warnings) == len(said) and all(
        part in line for part, line in zip(said, warnings, strict=True)
    ), warnings
