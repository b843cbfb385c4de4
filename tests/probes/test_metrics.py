"""Metrics against scikit-learn's."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    brier_score_loss,
    f1_score,
    log_loss,
    matthews_corrcoef,
    roc_auc_score,
)

from probes.metrics import ECE_BINS, score


def reference(y: np.ndarray, p: np.ndarray) -> dict[str, float]:
    labels = np.arange(p.shape[1])
    predicted = p.argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        present = [k for k in labels if 0 < (y == k).sum() < len(y)]
        if p.shape[1] == 2:
            auroc = roc_auc_score(y, p[:, 1]) if present else np.nan
        else:
            auroc = (
                np.mean([roc_auc_score(y == k, p[:, k]) for k in present]) if present else np.nan
            )
        return {
            "accuracy": accuracy_score(y, predicted),
            "balanced_accuracy": balanced_accuracy_score(y, predicted),
            "mcc": matthews_corrcoef(y, predicted),
            "brier": brier_score_loss(y, p, labels=labels),
            "macro_f1": f1_score(y, predicted, average="macro", zero_division=0),
            "log_loss": log_loss(y, p, labels=labels),
            "ece": slow_ece(y == predicted, p.max(axis=1).astype(np.float64)),
            "auroc": auroc,
        }


def slow_ece(is_right: np.ndarray, confidence: np.ndarray) -> float:
    total = 0.0
    for k in range(ECE_BINS):
        inside = (confidence > k / ECE_BINS) & (confidence <= (k + 1) / ECE_BINS)
        if inside.any():
            total += inside.mean() * abs(is_right[inside].mean() - confidence[inside].mean())
    return total


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    n_rows=st.integers(2, 60),
    n_classes=st.integers(2, 12),
    sharpness=st.sampled_from([0.1, 1.0, 20.0]),
    n_decimals=st.sampled_from([2, 16]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_equals_scikit_learn(seed, n_rows, n_classes, sharpness, n_decimals, dtype):
    generator = np.random.default_rng(seed)
    p = np.exp(sharpness * generator.standard_normal((n_rows, n_classes)))
    p = np.round(p / p.sum(axis=1, keepdims=True), n_decimals) + 1e-9  # two decimals: many ties
    p = (p / p.sum(axis=1, keepdims=True)).astype(dtype)
    y = generator.integers(0, n_classes, n_rows)
    ours, theirs = score(y, p, np.arange(n_classes)), reference(y, p)
    assert ours == pytest.approx(theirs, abs=1e-6, rel=1e-6, nan_ok=True)


def test_labels_need_not_be_indices_nor_sorted():
    p = np.array([[0.9, 0.1], [0.2, 0.8]], dtype=np.float32)
    assert score(np.array([7, 3]), p, np.array([7, 3]))["accuracy"] == 1.0


def test_an_impossible_class_costs_the_clipped_log_loss():
    p = np.array([[1.0, 0.0]], dtype=np.float32)
    assert score(np.array([1]), p, np.arange(2))["log_loss"] == pytest.approx(
        -np.log(np.finfo(np.float32).eps)
    )


def test_one_class_in_truth_has_no_auroc():
    p = np.array([[0.6, 0.4], [0.7, 0.3]])
    assert np.isnan(score(np.array([0, 0]), p, np.arange(2))["auroc"])


def test_refuses_unknown_labels_and_nothing():
    p = np.full((1, 2), 0.5)
    with pytest.raises(ValueError, match="label 2 is not among"):
        score(np.array([2]), p, np.arange(2))
    with pytest.raises(ValueError, match="no rows"):
        score(np.array([], dtype=int), p[:0], np.arange(2))
