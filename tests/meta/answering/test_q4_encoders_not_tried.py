"""Which encoders that were not tried the shipped prior proposes, given what the tried ones
reached."""

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
from meta.priors.encoders import load_prior
from probes.encoders.base import EncoderInfo, View
from probes.features.crossfit import fit_ridge

ENGLISH = ["what is the price of this and when will it be there for us"] * 20


def space(ref: str, accuracy: float, *, layer: int = 6, n_rows: int = 200, seed: int = 0) -> Space:
    """A space in which leave-one-out is right for the share `accuracy` of the rows."""
    info = EncoderInfo(
        ref, f"{abs(hash(ref)):016x}"[:16], "hf", 6, 384, 22_000_000, 256, (View(layer, "mean"),)
    )
    hits = np.random.default_rng(seed).random(n_rows) < accuracy
    fit = fit_ridge(np.random.default_rng(1).standard_normal((20, 4)), np.arange(20) % 2, 2)
    return Space(info, View(layer, "mean"), fit, hits, float(hits.mean()))


def test_a_small_encoder_is_told_which_ones_are_likely_better():
    found = untried_encoders([space("hf:all-MiniLM-L6-v2", 0.8)], ENGLISH)
    assert 1 <= len(found) <= MAX_UNTRIED
    chances = [each.p_beats_best_tried for each in found]
    assert chances == sorted(chances, reverse=True) and chances[-1] >= 0.5
    assert all(
        each.encoder.startswith("hf:") and "all-MiniLM-L6-v2" not in each.encoder for each in found
    )
    assert all(each.q05 <= each.q50 <= each.q95 and each.n_tasks >= 5 for each in found)
    assert all(each.parameters is not None and each.parameters <= MAX_PARAMETERS for each in found)


def test_the_best_space_of_an_encoder_counts_and_strangers_only_when_they_are_the_best():
    prior = load_prior()
    tried = [
        space("hf:all-MiniLM-L6-v2", 0.7, layer=3),
        space("hf:all-MiniLM-L6-v2", 0.85),
        space("lsa:256", 0.6, seed=2),
    ]
    known = tried_accuracies(tried, prior)
    assert (
        list(known) == ["hf:all-MiniLM-L6-v2"]
        and known["hf:all-MiniLM-L6-v2"].accuracy == tried[1].loo_metric
    )
    stranger = space("neoberta:mine", 0.95, seed=3)
    assert set(tried_accuracies([*tried, stranger], prior)) == {
        "hf:all-MiniLM-L6-v2",
        "neoberta:mine",
    }


def test_errors_on_the_same_rows_count_less_than_their_own():
    prior = load_prior()
    alone = tried_accuracies([space("hf:all-MiniLM-L6-v2", 0.8)], prior)["hf:all-MiniLM-L6-v2"].sd
    twin = space("neoberta:mine", 0.8)  # the same hits
    twin.hits[np.flatnonzero(~twin.hits)[:3]] = True
    together = tried_accuracies([space("hf:all-MiniLM-L6-v2", 0.8), twin], prior)[
        "hf:all-MiniLM-L6-v2"
    ].sd
    assert together < 0.5 * alone
    assert alone == pytest.approx(np.sqrt(0.8 * 0.2 / 200), rel=0.2)


def test_another_language_has_another_prior():
    russian = ["сколько это стоит и когда будет доставлено нам домой"] * 30
    tried = [space("hf:all-MiniLM-L6-v2", 0.6)]
    assert untried_encoders(tried, russian) != untried_encoders(tried, ENGLISH)
    assert untried_encoders(tried, russian) == untried_encoders(tried, ENGLISH, load_prior("other"))


def test_an_accuracy_that_cannot_pass_100_percent_has_no_such_median():
    low, middle, high = accuracy_quantiles(1.0, 0.1)
    assert 0.75 < low < middle < high < 1.0 and middle == pytest.approx(
        1 - 0.1 * 0.6745, abs=1e-3
    )  # half a normal
    assert accuracy_quantiles(0.5, 0.05) == pytest.approx(
        [0.5 - 1.645 * 0.05, 0.5, 0.5 + 1.645 * 0.05], abs=1e-4
    )
    assert accuracy_quantiles(0.8, 0.0) == pytest.approx([0.8] * 3, abs=1e-4)
