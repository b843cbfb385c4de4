"""Probes for sequence labelling, on made-up sentences whose tags are known."""

import numpy as np
import pytest

from cluster.storage import UserError
from neoberta import extras
from probes.sweep.tokens import (
    Words,
    check_seqeval,
    entity_scores,
    subset_sentences,
    token_probes,
)

pytest.importorskip("seqeval", reason="the extra `tokens` is not installed")

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")


def sentences(n_sentences: int, noise: float, seed: int) -> Words:
    """Sentences of 8 words with a person or a place of two words; a word's vector is its tag's,
    plus noise."""
    generator, centres = (
        np.random.default_rng(seed),
        np.random.default_rng(0).standard_normal((len(TAGS), 24)),
    )
    tags = np.zeros((n_sentences, 8), dtype=np.int64)
    for row in tags:
        start, kind = generator.integers(0, 7), 1 + 2 * generator.integers(0, 2)
        row[start : start + 2] = (kind, kind + 1)
    X = centres[tags.ravel()] + noise * generator.standard_normal((tags.size, 24))
    return Words(X.astype(np.float32), tags.ravel(), np.repeat(np.arange(n_sentences), 8))


def test_entities_count_only_whole():
    tags = np.array([1, 2, 0, 3, 0, 1, 0])
    predicted = np.array([1, 2, 0, 0, 0, 1, 2])  # one right, one missed, one too long
    found = entity_scores(tags, predicted, np.array([0, 0, 0, 0, 1, 1, 1]), TAGS)
    assert found == {
        "entity_f1": pytest.approx(0.4),
        "entity_precision": pytest.approx(0.5),
        "entity_recall": pytest.approx(1 / 3),
    }
    joined = entity_scores(
        np.array([1, 2]), np.array([1, 2]), np.array([0, 1]), TAGS
    )  # an entity ends with its sentence
    assert joined["entity_f1"] == 1.0


def test_entity_scores_say_which_extra_they_need(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'needs seqeval: pip install "neoberta\[tokens\]"'):
        check_seqeval(["O", "B-PER", "I-PER"])
    check_seqeval(["NOUN", "VERB"])


def test_tags_without_entities_have_no_entity_scores():
    assert set(
        entity_scores(np.array([0]), np.array([1]), np.array([0]), ("NOUN", "VERB")).values()
    ) == {None}


def test_more_sentences_make_better_probes_and_one_C_is_chosen():
    train, test = sentences(200, 0.8, seed=1), sentences(100, 0.8, seed=2)
    curve = []
    for n in (4, 150):
        rows = token_probes(train, test, TAGS, n_sentences=n, task_fingerprint="made up")
        assert all(row["converged"] for row in rows) and sum(row["C_selected"] for row in rows) == 1
        (chosen,) = (row for row in rows if row["C_selected"])
        assert chosen["n_train"] == 8 * n
        curve.append(chosen["entity_f1"])
    assert 0 <= curve[0] < curve[1] < 1 and curve[1] > 0.8


def test_separable_words_are_all_found():
    rows = token_probes(sentences(60, 0.05, 1), sentences(30, 0.05, 2), TAGS, n_sentences=50)
    assert next(row for row in rows if row["C_selected"])["entity_f1"] == 1.0


def test_subsets_are_whole_sentences_nested_and_pure():
    sentence = np.repeat(np.arange(30), 3)
    few, many = (subset_sentences(sentence, task_fingerprint="a", n=n, seed=1) for n in (5, 20))
    assert many[:5].tolist() == few.tolist() and len(set(many.tolist())) == 20
    assert subset_sentences(sentence, task_fingerprint="a", n=5, seed=2).tolist() != few.tolist()
    with pytest.raises(ValueError, match="cannot be drawn"):
        subset_sentences(sentence, task_fingerprint="a", n=31, seed=0)


def test_a_single_sentence_is_fitted():
    rows = token_probes(sentences(5, 0.5, 1), sentences(5, 0.5, 2), TAGS, n_sentences=1)
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
