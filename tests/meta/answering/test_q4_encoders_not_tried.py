"""Which encoders that were not tried the shipped prior proposes, given what the tried ones
reached."""

from collections.abc import Sequence

import numpy as np
import pytest

from meta.answering.q4_encoders_not_tried import (
    MAX_PARAMETERS,
    MAX_UNTRIED,
    accuracy_quantiles,
    tried_accuracies,
    untried_encoders,
)
from meta.answering.spaces import Space
from meta.given.prepare import PreparedSamples
from meta.given.sample import EvalSample, LabelledSample
from meta.priors.encoders import load_prior
from probes.encoders.base import EncoderInfo, View
from probes.features.crossfit import fit_ridge

ENGLISH = ("what is the price of this and when will it be there for us",) * 20
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
KNOWN = {name: weights for weights, name in load_prior().weights.items()}[MINILM]
SENTIMENT = ("negative", "positive")
TOPIC = ("business", "entertainment", "politics", "sport", "technology")


def sample(
    labels: Sequence[str] = SENTIMENT, texts: Sequence[str] = ENGLISH, pair: bool = False
) -> PreparedSamples:
    train = LabelledSample(
        tuple(texts),
        np.arange(len(texts)) % len(labels),
        tuple(labels),
        tuple(texts) if pair else None,
    )
    return PreparedSamples(train, EvalSample((), () if pair else None), (), (), len(texts))


def space(
    ref: str,
    accuracy: float,
    *,
    weights: str = "",
    hub_id: str = "",
    layer: int = 6,
    n_rows: int = 200,
    seed: int = 0,
) -> Space:
    """A space in which leave-one-out is right for the share `accuracy` of the rows."""
    info = EncoderInfo(
        *(ref, f"{abs(hash(ref)):016x}"[:16], "hf", 6, 384, 22_000_000, 256),
        (View(layer, "mean"),),
        weights=weights,
        hub_id=hub_id,
    )
    hits = np.random.default_rng(seed).random(n_rows) < accuracy
    fit = fit_ridge(np.random.default_rng(1).standard_normal((20, 4)), np.arange(20) % 2, 2)
    return Space(info, View(layer, "mean"), fit, hits, float(hits.mean()))


def minilm(accuracy: float = 0.8, **more) -> Space:
    return space("hf:all-MiniLM-L6-v2", accuracy, weights=KNOWN, **more)


def test_a_small_encoder_is_told_which_ones_are_likely_better():
    found, basis = untried_encoders([minilm()], sample())
    assert 1 <= len(found) <= MAX_UNTRIED
    chances = [each.p_beats_best_tried for each in found]
    assert chances == sorted(chances, reverse=True) and chances[-1] >= 0.5
    assert all(
        each.encoder.startswith("hf:") and "all-MiniLM-L6-v2" not in each.encoder for each in found
    )
    assert all(each.q05 <= each.q50 <= each.q95 and each.n_tasks >= 5 for each in found)
    assert all(each.parameters is not None and each.parameters <= MAX_PARAMETERS for each in found)
    assert basis is not None and basis.known == {"hf:all-MiniLM-L6-v2": MINILM}
    assert sum(basis.kinds.values()) == pytest.approx(1.0)
    assert basis.language == "english" and basis.tasks > 50 and basis.reliability


def test_the_same_weights_have_the_same_answer_whatever_they_are_called():
    named, basis = untried_encoders([minilm()], sample())
    for ref in ("hf:/models/all-MiniLM-L6-v2", "hf:/tmp/x/e5-base", "neoberta:/runs/7"):
        found, _ = untried_encoders([space(ref, 0.8, weights=KNOWN)], sample())
        assert found == named
    prior = load_prior()
    twice = tried_accuracies([minilm(0.8), space("hf:/copy", 0.8, weights=KNOWN)], prior)
    assert list(twice) == [MINILM]
    assert basis is not None and not basis.called_alike


def test_other_weights_under_a_known_name_are_not_taken_for_it():
    named, _ = untried_encoders([minilm()], sample())
    for hub_id in ("", MINILM):
        copy = space("hf:/models/all-MiniLM-L6-v2", 0.8, weights="f" * 16, hub_id=hub_id)
        found, basis = untried_encoders([copy], sample())
        assert basis is not None and basis.known == {}
        assert basis.called_alike == {"hf:/models/all-MiniLM-L6-v2": MINILM}
        assert list(tried_accuracies([copy], load_prior())) == ["f" * 16]
        assert [each.p_beats_best_tried for each in found] != [
            each.p_beats_best_tried for each in named
        ]
    renamed, _ = untried_encoders([space("hf:/models/mine", 0.8, weights="f" * 16)], sample())
    assert renamed == found, "nor does its name change anything else"


def test_a_model_of_the_hub_is_known_by_its_name_there():
    e5 = space("hf:intfloat/e5-base-v2", 0.8, weights="e" * 16, hub_id="intfloat/e5-base-v2")
    _, basis = untried_encoders([e5], sample())
    assert basis is not None and basis.known == {"hf:intfloat/e5-base-v2": "intfloat/e5-base-v2"}


def test_two_kinds_of_tasks_have_two_answers():
    sentiment, of_sentiment = untried_encoders([minilm()], sample(SENTIMENT))
    topic, of_topic = untried_encoders([minilm()], sample(TOPIC))
    assert of_sentiment is not None and of_topic is not None
    assert max(of_sentiment.kinds, key=of_sentiment.kinds.get) == "sentiment"
    assert max(of_topic.kinds, key=of_topic.kinds.get) == "topic"
    chances = [
        {each.encoder: each.p_beats_best_tried for each in found} for found in (sentiment, topic)
    ]
    both = chances[0].keys() & chances[1].keys()
    assert chances[0].keys() != chances[1].keys() or all(
        abs(chances[0][name] - chances[1][name]) > 0.01 for name in both
    )
    assert abs(max(chances[0].values()) - max(chances[1].values(), default=0.0)) > 0.02


def test_what_the_tried_encoder_reached_changes_the_answer():
    low, high = (untried_encoders([minilm(rate)], sample(TOPIC))[0] for rate in (0.5, 0.97))
    assert [each.p_beats_best_tried for each in low] != [each.p_beats_best_tried for each in high]


def test_nothing_is_said_for_pairs_of_texts():
    assert untried_encoders([minilm()], sample(pair=True)) == ([], None)


def test_the_best_space_of_an_encoder_counts_and_strangers_only_when_they_are_the_best():
    prior = load_prior()
    tried = [minilm(0.7, layer=3), minilm(0.85), space("lsa:256", 0.6, seed=2)]
    known = tried_accuracies(tried, prior)
    assert list(known) == [MINILM] and known[MINILM].accuracy == tried[1].loo_metric
    stranger = space("neoberta:mine", 0.95, seed=3, weights="b" * 16)
    assert set(tried_accuracies([*tried, stranger], prior)) == {MINILM, "b" * 16}


def test_errors_on_the_same_rows_count_less_than_their_own():
    prior = load_prior()
    alone = tried_accuracies([minilm()], prior)[MINILM].sd
    twin = space("neoberta:mine", 0.8)  # the same hits
    twin.hits[np.flatnonzero(~twin.hits)[:3]] = True
    together = tried_accuracies([minilm(), twin], prior)[MINILM].sd
    assert together < 0.5 * alone
    assert alone == pytest.approx(np.sqrt(0.8 * 0.2 / 200), rel=0.2)


def test_another_language_has_another_prior():
    russian = sample(texts=("сколько это стоит и когда будет доставлено нам домой",) * 30)
    found, basis = untried_encoders([minilm(0.6)], russian)
    assert basis is not None and basis.language == "other"
    assert found != untried_encoders([minilm(0.6)], sample())[0]
    assert found == untried_encoders([minilm(0.6)], russian, load_prior("other"))[0]


def test_an_accuracy_that_cannot_pass_100_percent_has_no_such_median():
    low, middle, high = accuracy_quantiles(1.0, 0.1)
    assert 0.75 < low < middle < high < 1.0 and middle == pytest.approx(
        1 - 0.1 * 0.6745, abs=1e-3
    )  # half a normal
    assert accuracy_quantiles(0.5, 0.05) == pytest.approx(
        [0.5 - 1.645 * 0.05, 0.5, 0.5 + 1.645 * 0.05], abs=1e-4
    )
    assert accuracy_quantiles(0.8, 0.0) == pytest.approx([0.8] * 3, abs=1e-4)
