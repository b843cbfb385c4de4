import numpy as np
import pytest

from meta.label_errors import suspect_labels, suspects, unlearnt_classes
from meta.sample import Conflict, LabelledSample
from probes.features.crossfit import fit_ridge


def noisy_problem(n_rows: int = 300, n_wrong: int = 24, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(leave-one-out probabilities, labels with `n_wrong` flipped, the flipped rows) of three overlapping Gaussian classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n_rows) % 3
    X = rng.standard_normal((3, 20))[truth] * 1.2 + rng.standard_normal((n_rows, 20))
    wrong = rng.choice(n_rows, n_wrong, replace=False)
    labels = truth.copy()
    labels[wrong] = (truth[wrong] + 1 + rng.integers(0, 2, n_wrong)) % 3
    fit = fit_ridge(X, labels, 3)
    return fit.probabilities(fit.loo_scores), labels, wrong


def test_planted_errors_are_found():
    probabilities, labels, wrong = noisy_problem()
    rows, likely = suspects(probabilities, labels)
    assert len(np.intersect1d(rows, wrong)) >= 0.8 * len(wrong)
    assert len(np.intersect1d(rows, wrong)) >= 0.75 * len(rows)
    assert (likely != labels[rows]).all()
    own = probabilities[rows, labels[rows]]
    assert (np.diff(own) >= 0).all()


@pytest.mark.slow
def test_agrees_with_cleanlab():
    cleanlab_filter = pytest.importorskip("cleanlab.filter", reason="cleanlab is not a dependency")
    probabilities, labels, _ = noisy_problem(seed=1)
    theirs = cleanlab_filter.find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    assert set(suspects(probabilities, labels)[0].tolist()) == set(np.flatnonzero(theirs).tolist())


def test_clean_separable_labels_raise_no_suspicion():
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.3, 0.7]])
    assert len(suspects(probabilities, np.array([0, 0, 1, 1]))[0]) == 0


def test_contradictions_come_first_and_rows_are_those_of_the_users_file():
    texts = ("a", "b", "c", "d", "e", "f")
    labels = np.array([0, 0, 0, 1, 1, 0])
    sample = LabelledSample(texts, labels, ("ham", "spam"), rows=np.array([2, 5, 7, 11, 13, 17]))
    probabilities = np.array([[0.9, 0.1], [0.8, 0.2], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9], [0.05, 0.95]])
    found = suspect_labels(probabilities, sample, [Conflict(5, "b", "ham", "spam", 0.5)])
    assert [(each.row, each.reason) for each in found] == [(5, "same text, other label"), (17, "predicted otherwise")]
    assert (found[1].given, found[1].likely, found[1].score) == ("ham", "spam", pytest.approx(0.95))


def test_a_close_call_is_not_an_error():
    sample = LabelledSample(("a", "b", "c", "d"), np.array([0, 0, 1, 1]), ("x", "y"))
    probabilities = np.array([[0.6, 0.4], [0.45, 0.55], [0.5, 0.5], [0.4, 0.6]])
    assert suspect_labels(probabilities, sample) == []


def test_a_class_that_is_mostly_doubted_is_called_unlearnt():
    sample = LabelledSample(tuple(map(str, range(20))), np.array([0] * 14 + [1] * 6), ("common", "rare"))
    probabilities = np.tile([0.9, 0.1], (20, 1))
    probabilities[-1] = [0.3, 0.7]
    found = suspect_labels(probabilities, sample)
    assert unlearnt_classes(found[:3], sample) == []  # three may well be wrong
    warnings = unlearnt_classes(found, sample)
    assert len(warnings) == 1 and "disagrees with 5 of the 6 rows labelled 'rare'" in warnings[0]
