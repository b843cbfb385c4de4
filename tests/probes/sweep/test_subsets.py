"""Subsets: pure, nested, in the proportions they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.sweep.clusters import N_CLUSTERS, text_clusters
from probes.sweep.subsets import KINDS, noisy_labels, parse_kind, subset_labels, subset_rows


def pool(n_rows: int = 400, n_classes: int = 5, seed: int = 0) -> np.ndarray:
    skewed = np.random.default_rng(seed).geometric(0.4, size=n_rows) - 1
    return np.minimum(skewed, n_classes - 1).astype(np.int64)


def draw(labels: np.ndarray, kind: str, n: int, seed: int = 0) -> np.ndarray:
    clusters = np.arange(len(labels)) % 7
    return subset_rows(
        labels, task_fingerprint="ab" * 8, kind=kind, n=n, seed=seed, clusters=clusters
    )


@settings(max_examples=40, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    n=st.integers(1, 200),
    more=st.integers(0, 200),
    seed=st.integers(0, 5),
)
def test_nested_along_a_seed_without_repetition(kind, n, more, seed):
    labels = pool()
    large = draw(labels, kind, n + more, seed)
    assert large.dtype == np.int64
    assert len(np.unique(large)) == n + more
    np.testing.assert_array_equal(draw(labels, kind, n, seed), large[:n])


def test_differs_by_seed_task_and_kind():
    labels = pool()
    draws = [draw(labels, kind, 50, seed) for kind in KINDS if kind != "noisy" for seed in (0, 1)]
    draws.append(subset_rows(labels, task_fingerprint="cd" * 8, kind="uniform", n=50, seed=0))
    assert len({tuple(rows) for rows in draws}) == len(draws)


def test_golden_rows_do_not_change():
    """Results are joined across releases by (kind, n, seed): the draw is part of the format."""
    assert draw(pool(40), "uniform", 6).tolist() == [4, 24, 15, 32, 33, 14]
    assert draw(pool(40), "stratified", 6).tolist() == [21, 17, 23, 5, 10, 35]


@pytest.mark.parametrize("n", [5, 17, 64, 200])
def test_stratified_has_the_pools_proportions_and_every_class(n):
    labels = pool()
    drawn = np.bincount(labels[draw(labels, "stratified", n)], minlength=5)
    assert (drawn >= 1).all()
    shares = np.bincount(labels) / len(labels)
    assert np.abs(drawn - n * shares).max() <= 2


def test_balanced_is_k_per_class_until_a_class_runs_out():
    labels = pool()
    rarest = np.bincount(labels).min()
    assert (np.bincount(labels[draw(labels, "balanced", 5 * 8)]) == 8).all()
    assert np.bincount(labels[draw(labels, "balanced", 350)]).min() == rarest


def test_imbalanced_reaches_its_ratio():
    labels = np.repeat(np.arange(4), 500)
    for kind, ratio in (("imbalanced", 0.1), ("imbalanced:0.5", 0.5)):
        drawn = np.sort(np.bincount(labels[draw(labels, kind, 400)]))
        assert drawn[0] / drawn[-1] == pytest.approx(ratio, rel=0.15)


def test_shifted_prefers_clusters_by_seed():
    labels = np.zeros(4000, dtype=np.int64)
    shares = [
        np.bincount(draw(labels, "shifted", 400, seed) % 7, minlength=7) / 400 for seed in range(20)
    ]
    assert all(share.min() / share.max() == pytest.approx(0.05, abs=0.02) for share in shares)
    assert len({int(share.argmax()) for share in shares}) > 3
    with pytest.raises(ValueError, match="none are given"):
        subset_rows(labels, task_fingerprint="ab", kind="shifted", n=5, seed=0)


def test_noisy_has_the_stratified_rows_and_labels_with_errors():
    labels = pool(4000)
    for kind, rate in (("noisy", 0.1), ("noisy:0.4", 0.4)):
        assert draw(labels, kind, 50).tolist() == draw(labels, "stratified", 50).tolist()
        seen = subset_labels(labels, task_fingerprint="ab", kind=kind, n_classes=5, seed=0)
        assert np.mean(seen != labels) == pytest.approx(rate, abs=0.03)
    assert (
        subset_labels(labels, task_fingerprint="ab", kind="uniform", n_classes=5, seed=0) is labels
    )


def test_clusters_hold_like_texts_together():
    words = {
        "sea": "ship wave sail harbour tide",
        "law": "court judge verdict appeal jury",
        "tea": "leaf cup kettle brew pot",
    }
    generator = np.random.default_rng(0)
    topics = generator.choice(list(words), size=120)
    texts = [" ".join(generator.choice(words[topic].split(), size=6)) for topic in topics]
    clusters = text_clusters(texts)
    assert (
        clusters.shape == (120,)
        and clusters.dtype == np.int64
        and len(np.unique(clusters)) <= N_CLUSTERS
    )
    assert all(
        len({topics[i] for i in np.flatnonzero(clusters == c)}) == 1 for c in np.unique(clusters)
    )
    np.testing.assert_array_equal(text_clusters(texts), clusters)
    assert text_clusters(["same"] * 5).tolist() == [0] * 5


@pytest.mark.parametrize(
    "kind",
    ["odd", "uniform:3", "noisy:x", "noisy:1.5", "shifted:0", "imbalanced:-1", "imbalanced:nan"],
)
def test_kinds_that_are_none(kind):
    with pytest.raises(ValueError, match="kind of subset"):
        parse_kind(kind)


def test_rows_without_label_are_never_drawn():
    labels = pool()
    labels[::3] = -1
    for kind in KINDS:
        assert (labels[draw(labels, kind, 200)] >= 0).all()


@pytest.mark.parametrize(
    ("kind", "n", "message"),
    [("odd", 3, "unknown kind"), ("uniform", 0, "0 rows"), ("uniform", 401, "401")],
)
def test_refuses_what_it_cannot_draw(kind, n, message):
    with pytest.raises(ValueError, match=message):
        draw(pool(), kind, n)


def test_label_noise_has_its_rate_and_is_nested_in_it():
    labels = pool(4000)

    def noisy(rate: float) -> np.ndarray:
        return noisy_labels(labels, rate=rate, n_classes=5, task_fingerprint="ab", seed=3)

    some, more = noisy(0.1), noisy(0.3)
    assert np.mean(some != labels) == pytest.approx(0.1, abs=0.02)
    wrong = some != labels
    np.testing.assert_array_equal(more[wrong], some[wrong])
    assert set(np.unique(more)) <= set(range(5))
    np.testing.assert_array_equal(noisy(0.0), labels)
