"""The evaluation sample after cleaning: which rows and which labels are left."""

import numpy as np
import pytest

from meta.given import prepare as prepare_module
from meta.given.prepare import prepare
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample


def texts_of(n_texts: int, seed: int) -> tuple[str, ...]:
    """Texts of made-up words, so that none is a near-copy of another."""
    letters = np.random.default_rng(seed).integers(97, 123, (n_texts, 6, 5))
    return tuple(" ".join("".join(map(chr, word)) for word in text) for text in letters.tolist())


TRAIN = LabelledSample(texts_of(8, 0), np.arange(8) % 2, ("no", "yes"))


def evaluation(
    n_rows: int, labelled: list[int], texts: tuple[str, ...] | None = None
) -> EvalSample:
    labels = np.full(n_rows, NOT_LABELLED)
    labels[labelled] = 1
    return EvalSample(texts or texts_of(n_rows, 1), labels=labels)


@pytest.fixture(autouse=True)
def small_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_module, "MAX_EVAL_ROWS", 100)


def test_every_labelled_evaluation_row_is_in_the_sample_of_many_rows() -> None:
    labelled = [3, 50, 199, 511, 777]
    prepared = prepare(TRAIN, evaluation(1000, labelled))
    assert len(prepared.evaluation) == 100
    kept = prepared.evaluation.positions[prepared.evaluation.is_labelled]
    assert kept.tolist() == labelled
    assert any("all 5 with a label" in warning for warning in prepared.warnings)


def test_of_a_sample_without_labels_none_are_spoken_of() -> None:
    told = prepare(TRAIN, EvalSample(texts_of(1000, 1))).warnings
    assert [warning for warning in told if "random sample of 100" in warning]
    assert not any("label" in warning for warning in told if "random sample" in warning)


def test_of_too_many_labelled_rows_a_random_part_is_used_and_it_is_said() -> None:
    prepared = prepare(TRAIN, evaluation(1000, list(range(0, 1000, 5))))
    assert prepared.evaluation.is_labelled.all()
    assert any("100 of the 200 labelled ones are used" in each for each in prepared.warnings)
    assert prepared.evaluation.positions.max() > 800, "not only the first rows of the file"


def test_the_labelled_row_stands_for_its_repeats() -> None:
    texts = ("the same", "The  same", *texts_of(60, 2))
    prepared = prepare(TRAIN, evaluation(62, [1], texts))
    assert len(prepared.evaluation) == 61
    assert prepared.evaluation.is_labelled.sum() == 1
    assert prepared.evaluation.positions[prepared.evaluation.is_labelled].tolist() == [1]
