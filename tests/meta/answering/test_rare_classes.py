"""AUROC intervals of samples in which a class has few rows, with the metamodel that ships."""

from importlib.resources import files

import numpy as np
import pytest

from meta.answering.answer import answer_questions
from meta.answering.rare_classes import (
    ENOUGH_ROWS,
    rare_class_warnings,
    widen_for_rare_classes,
)
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.given.sample import EvalSample, LabelledSample
from meta.metamodel.model import Metamodel
from meta.metamodel.sample_features import sample_features
from meta.metric import Metric
from probes.encoders.base import EncoderInfo, View

CURVE = np.array([[0.62, 0.68, 0.7, 0.73, 0.79], [0.66, 0.72, 0.75, 0.78, 0.84]])
VIEW = View(0, "mean")
INFO = EncoderInfo(
    ref="lsa:24",
    fingerprint="made-up",
    family="lsa",
    n_layers=0,
    hidden_size=24,
    n_parameters=24_000,
    max_length=512,
    views=(VIEW,),
)


@pytest.fixture(scope="module")
def shipped() -> Metamodel:
    return Metamodel.load(str(files("meta") / "shipped" / "auroc"))


def test_an_interval_follows_the_rows_of_the_rare_class_not_n():
    narrow = np.array([[0.49, 0.495, 0.5, 0.505, 0.51]])
    for n_rare in (2, 4, 10):
        for n_others in (38, 390):
            counts = np.array([n_others, n_rare])
            (wide,) = widen_for_rare_classes(narrow, counts, Metric.AUROC)
            assert (wide[4] - wide[0]) / 2 == pytest.approx(0.5 / np.sqrt(n_rare), rel=0.2)


def test_classes_with_many_rows_and_other_metrics_change_nothing():
    many = np.full(3, ENOUGH_ROWS)
    assert np.array_equal(widen_for_rare_classes(CURVE, many, Metric.AUROC), CURVE)
    for metric in set(Metric) - {Metric.AUROC}:
        assert widen_for_rare_classes(CURVE, np.array([300, 2]), metric) is CURVE
        assert rare_class_warnings(np.array([300, 2]), ("a", "b"), metric) == []


def test_wider_intervals_stay_in_order_and_keep_their_median():
    steep = np.array([[0.6, 0.7, 0.74, 0.8, 0.9], [0.75, 0.9, 0.96, 0.99, 1.0]])
    for curve in (CURVE, steep, np.repeat(steep[:, 2:3], 5, axis=1)):
        wide = widen_for_rare_classes(curve, np.array([200, 3]), Metric.AUROC)
        assert (np.diff(wide, axis=1) >= 0).all() and (np.diff(wide, axis=0) >= -1e-12).all()
        assert wide[:, 2] == pytest.approx(curve[:, 2])
        assert (wide[:, :2] <= curve[:, :2]).all() and (wide[:, 3:] >= curve[:, 3:]).all()
        assert wide.min() >= 0 and wide.max() <= 1


def test_no_median_is_below_that_of_the_constant_answer():
    below = np.array([[0.24, 0.3, 0.34, 0.4, 0.45]])
    (raised,) = widen_for_rare_classes(below, np.array([300, 300]), Metric.AUROC)
    assert raised == pytest.approx([0.24, 0.3, 0.5, 0.5, 0.5])


def test_one_rare_class_among_many_widens_little():
    def width(counts: list[int]) -> float:
        wide = widen_for_rare_classes(CURVE, np.array(counts), Metric.AUROC)
        return float(wide[0, 4] - wide[0, 0])

    among_two, among_ten = width([100, 2]), width([100] * 9 + [2])
    assert among_two > 2.0 * width([100, 100]) and among_ten < 1.2 * width([100, 100])


def test_random_labels_are_covered_nine_times_in_ten(shipped: Metamodel):
    n_rows, n_draws = 60, 10
    before, after = [], []
    for n_rare in (2, 4):
        for seed in range(n_draws):
            rng = np.random.default_rng([n_rare, seed])
            X = rng.standard_normal((n_rows + 60, 24)) / np.sqrt(np.arange(1, 25))
            labels = (np.arange(n_rows) < n_rare).astype(np.int64)
            features = sample_features(X[:n_rows], labels, X[n_rows:], 2, INFO, VIEW, seed=seed)
            curve = shipped.curve(features, [n_rows])
            wide = widen_for_rare_classes(curve, np.bincount(labels), Metric.AUROC)
            before.append(curve[0, 0] <= 0.5 <= curve[0, 4])
            after.append(wide[0, 0] <= 0.5 <= wide[0, 4])
    assert np.mean(after) >= 0.85
    assert np.mean(before) < 0.75


def answered(n_rare: int, metamodel: Metamodel) -> tuple[list[str], float]:
    """The warnings of the answers for a sample of two classes, and the width of the interval at the
    present n."""
    rng = np.random.default_rng(3)
    labels = (np.arange(100) < n_rare).astype(np.int64)
    X = rng.standard_normal((160, 24)) + 0.5 * np.r_[labels, np.zeros(60)][:, None]
    texts = tuple(f"the price of this is what we have to ask about, text {i}" for i in range(160))
    prepared = PreparedSamples(
        LabelledSample(texts[:100], labels, ("common", "rare")),
        EvalSample(texts[100:]),
        (),
        (),
        100,
    )
    encoder = EmbeddedEncoder(INFO, {VIEW: (X[:100], X[100:])})
    answers = answer_questions(prepared, [encoder], metamodel, metric=Metric.AUROC)
    point = answers.encoders[0].curve[0]
    return list(answers.warnings), point.q95 - point.q05


def test_the_answers_name_a_class_that_is_too_small_for_an_auroc(shipped: Metamodel):
    few, wide = answered(3, shipped)
    many, narrow = answered(50, shipped)
    assert any(
        "too few labelled rows for an AUROC in class 'rare' (3 rows)" in line for line in few
    )
    assert not any("too few labelled rows" in line for line in many)
    assert wide > 1.5 * narrow


def test_a_warning_names_the_rarest_classes_first_and_few_of_them():
    counts = np.array([100, 9, 1, 3, 4, 5, 6])
    (warning,) = rare_class_warnings(counts, tuple("abcdefg"), Metric.AUROC)
    assert (
        "'c' (1 row), 'd' (3 rows), 'e' (4 rows), 'f' (5 rows), 'g' (6 rows) and 1 more" in warning
    )
    assert rare_class_warnings(np.array([100] * 30 + [2]), ["x"] * 31, Metric.AUROC) == []
