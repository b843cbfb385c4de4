from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from meta.answering.q4_posterior import SpacePosterior, in_company
from meta.answering.q4_ranking import hit_correlation
from meta.metamodel.stored import shipped_folder
from meta.metric import stabilised
from meta.priors.fit_spaces import fit_view_prior, space_truths
from meta.priors.spaces import LEVEL_VARIANCE, SpaceKey, ViewPrior, smoothed

SPACES = [
    SpaceKey("A", layer, 6, pooling) for layer in range(7) for pooling in ("cls", "mean", "max")
]


def tasks(n_tasks, seed=0, spaces=SPACES):
    """(tasks, V) true accuracies. On the scale of the prior they are the sum of a mean for each
    space, four directions in which tasks differ, and an independent part."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99)
    directions, mean = (
        common.standard_normal((len(spaces), 4)) * 0.06,
        common.standard_normal(len(spaces)) * 0.05,
    )
    angles = 0.9 + 0.15 * rng.standard_normal((n_tasks, 1)) + mean
    angles += rng.standard_normal((n_tasks, 4)) @ directions.T + 0.01 * rng.standard_normal(
        (n_tasks, len(spaces))
    )
    return np.sin(np.clip(angles, 0.2, 1.5)) ** 2


def as_table(accuracies, spaces=SPACES, n_train=256):
    return pd.DataFrame(
        [
            {
                "task": f"t{t}",
                "task_family": f"f{t}",
                "encoder": key.encoder,
                "layer": key.layer,
                "n_layers": key.n_layers,
            }
            | {"pooling": key.pooling, "n_train": n_train, "truth": value}
            for t, row in enumerate(accuracies)
            for key, value in zip(spaces, row, strict=True)
        ]
    )


def sample_hits(accuracies, n_rows, rng):
    """(V, n) hits of all spaces on the same rows. A hard row is hard in every space."""
    hardness = 0.8 * rng.standard_normal((1, n_rows)) + 0.6 * rng.standard_normal(
        (len(accuracies), n_rows)
    )
    return (hardness < norm.ppf(accuracies)[:, None]) * 1.0


@pytest.fixture(scope="module")
def prior():
    return fit_view_prior(as_table(tasks(60)))


def test_the_posterior_chooses_better_than_leave_one_out_and_than_the_prior(prior):
    rng = np.random.default_rng(5)
    regrets = {"loo": [], "posterior": [], "static": []}
    for truth in tasks(15, seed=1):
        for _ in range(10):
            hits = sample_hits(truth, 256, rng)
            mean, _ = prior.posterior(SPACES, hits.mean(axis=1), hit_correlation(hits), 256)
            for name, score in (
                ("loo", hits.mean(axis=1)),
                ("posterior", mean),
                ("static", prior.means[0]),
            ):
                regrets[name].append(truth.max() - truth[score.argmax()])
    assert (
        np.mean(regrets["posterior"])
        < 0.8 * np.mean(regrets["loo"])
        < 0.8 * np.mean(regrets["static"])
    )


def test_correlations_of_few_rows_are_believed_less(monkeypatch):
    spaces = [
        SpaceKey(encoder, *key)
        for encoder in "ABC"
        for key in ((s.layer, s.n_layers, s.pooling) for s in SPACES)
    ]
    prior = fit_view_prior(as_table(tasks(60, spaces=spaces), spaces))

    def regret() -> float:
        rng = np.random.default_rng(7)
        found = []
        for truth in tasks(20, seed=5, spaces=spaces):
            for _ in range(5):
                hits = sample_hits(truth, 40, rng)
                mean, _ = prior.posterior(spaces, hits.mean(axis=1), hit_correlation(hits), 40)
                found.append(truth.max() - truth[mean.argmax()])
        return float(np.mean(found))

    believed_less = regret()
    monkeypatch.setattr("meta.priors.spaces.CORRELATION_ROWS", 0)
    assert believed_less < 0.9 * regret()


def test_differences_lie_within_the_posterior_as_often_as_it_says(prior):
    rng = np.random.default_rng(6)
    within = []
    for truth in tasks(30, seed=2):
        hits = sample_hits(truth, 256, rng)
        mean, covariance = prior.posterior(SPACES, hits.mean(axis=1), hit_correlation(hits), 256)
        gap = mean[0] - mean[1:]
        sd = np.sqrt(covariance[0, 0] + np.diag(covariance)[1:] - 2 * covariance[0, 1:])
        angle = stabilised(truth)
        within.append(np.mean(np.abs(gap - (angle[0] - angle[1:])) <= norm.ppf(0.95) * sd))
    assert 0.8 <= np.mean(within) <= 0.99


def test_with_one_factor_it_is_the_formula_of_the_conditional_normal(prior, monkeypatch):
    monkeypatch.setattr("meta.priors.spaces.SCALES", (1.0,))
    monkeypatch.setattr("meta.priors.spaces.CORRELATION_ROWS", 0)
    rng = np.random.default_rng(0)
    correlation = hit_correlation(sample_hits(tasks(1)[0], 100, rng))
    accuracies = tasks(1, seed=4)[0]
    mean, covariance = prior.posterior(SPACES, accuracies, correlation, 100)
    prior_mean, signal = prior._prior(SPACES, 100)
    signal = signal + LEVEL_VARIANCE
    gain = signal @ np.linalg.inv(signal + correlation / 400 + 1e-9 * np.eye(len(SPACES)))
    np.testing.assert_allclose(
        mean, prior_mean + gain @ (stabilised(smoothed(accuracies, 100)) - prior_mean), atol=1e-6
    )
    np.testing.assert_allclose(covariance, signal - gain @ signal, atol=1e-6)


def test_many_rows_overrule_the_prior(prior):
    accuracies = tasks(1, seed=3)[0]
    mean, _ = prior.posterior(SPACES, accuracies, np.eye(len(SPACES)), 10_000_000)
    np.testing.assert_allclose(np.sin(mean) ** 2, accuracies, atol=1e-3)


def test_spaces_that_were_not_measured_have_a_prior_of_components(prior):
    others = [
        SpaceKey("hub/new", layer, 12, pooling)
        for layer in (0, 6, 12)
        for pooling in ("cls", "mean", "max", "last")
    ]
    mean, covariance = prior._prior([*SPACES, *others], 256)
    assert np.isfinite(mean).all() and np.linalg.eigvalsh(covariance).min() > -1e-9
    accuracies = np.linspace(0.6, 0.8, len(others))
    posterior, _ = prior.posterior(others, accuracies, np.eye(len(others)), 64)
    # lucky spaces are drawn towards the mean
    assert np.ptp(np.sin(posterior) ** 2) < np.ptp(accuracies)
    assert np.isfinite(posterior).all()


POOLINGS = ("cls", "mean", "max", "last", "sentence", "mean_last4", "cross_cls", "cross_mean")
ENCODERS = (
    ("hf:all-MiniLM-L6-v2", 6),
    ("hf:/a/folder/all-MiniLM-L6-v2", 6),
    ("hf:somebody/else", 12),
    ("neoberta-2x128", 2),
    ("lsa:256", 0),
    ("static:vectors.txt", 0),
)
ANY_SPACE = st.sampled_from(ENCODERS).flatmap(
    lambda encoder: st.builds(
        SpaceKey,
        st.just(encoder[0]),
        st.integers(0, encoder[1]),
        st.just(encoder[1]),
        st.sampled_from(POOLINGS),
    )
)


@given(
    spaces=st.lists(ANY_SPACE, min_size=2, max_size=40),
    n_train=st.integers(4, 5000),
    is_pair=st.booleans(),
)
def test_the_prior_of_any_spaces_is_a_covariance(spaces, n_train, is_pair):
    shipped = ViewPrior.load(shipped_folder() / "accuracy" / "view_prior.json")
    _, covariance = shipped._prior(spaces, n_train, is_pair=is_pair)
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
    assert np.linalg.eigvalsh(covariance).min() > -1e-7
    assert (np.diag(covariance) > 0).all()


def test_between_measured_spaces_the_prior_is_the_measured_covariance(prior, monkeypatch):
    monkeypatch.setattr("meta.priors.spaces.MEASURED_SHARE", 1.0)
    some = [SPACES[i] for i in (17, 3, 8)]
    _, covariance = prior._prior(some, 256)
    at = [prior.names.index(key.name) for key in some]
    np.testing.assert_allclose(covariance, prior.covariance[np.ix_(at, at)], atol=1e-9)


def test_a_space_of_a_measured_encoder_is_correlated_with_its_neighbours(prior):
    shared = replace(prior, components=(0.01, 0.01, 0.001, 0.001, 0.001))
    new = SpaceKey("A", 5, 6, "last")
    _, covariance = shared._prior(
        [new, SpaceKey("A", 5, 6, "mean"), SpaceKey("B", 5, 6, "mean")], 256
    )
    sd = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(sd, sd)
    assert correlation[0, 1] > 0.2
    assert correlation[0, 2] == pytest.approx(0.0, abs=1e-9)


def test_the_mean_of_a_space_that_was_not_measured_is_predicted_from_its_encoders_others(prior):
    shared = replace(prior, components=(0.01, 0.01, 0.001, 0.001, 0.001), means=prior.means + 0.1)
    mean, _ = shared._prior(
        [*SPACES, SpaceKey("A", 5, 6, "last"), SpaceKey("B", 5, 6, "last")], 256
    )
    at = [shared.names.index(key.name) for key in SPACES]
    np.testing.assert_allclose(mean[:-2], shared.means[0, at], atol=1e-9)
    neighbours = [i for i, key in enumerate(SPACES) if key.layer == 5]
    everywhere = shared.means[0].mean()
    assert mean[-1] == pytest.approx(everywhere), "nothing is known of the encoder B"
    assert 0 < (mean[-2] - everywhere) / (mean[neighbours].mean() - everywhere) < 1.5


def test_saved_and_read_again_it_says_the_same(prior, tmp_path):
    prior.save(tmp_path / "view_prior.json")
    again = ViewPrior.load(tmp_path / "view_prior.json")
    accuracies = tasks(1, seed=3)[0]
    one, other = (
        p.posterior(SPACES, accuracies, np.eye(len(SPACES)), 128)[0] for p in (prior, again)
    )
    np.testing.assert_allclose(one, other, atol=1e-4)
    (tmp_path / "view_prior.json").write_text(
        '{"names": ["a"], "sizes": [1], "means": [[1, 2]], "covariance": [[1]]}'
    )
    with pytest.raises(ValueError, match="1 spaces"):
        ViewPrior.load(tmp_path / "view_prior.json")


def test_spaces_that_few_tasks_have_do_not_cost_the_other_tasks():
    pairs = as_table(tasks(4)[:, :2], [SpaceKey("A", layer, 6, "cross_mean") for layer in (0, 6)])
    table = as_table(tasks(20))
    prior, alone = fit_view_prior(pd.concat([table, pairs])), fit_view_prior(table)
    assert prior.names == alone.names and len(prior.names) == len(SPACES)
    np.testing.assert_allclose(prior.covariance, alone.covariance)


def test_truths_are_means_over_seeds_of_the_chosen_ridge_probe():
    row = {
        "task_fingerprint": "t",
        "encoder": "static:/somewhere/glove.txt",
        "encoder_fingerprint": "e",
        "layer": 0,
    }
    row |= {
        "pooling": "mean",
        "n_train": 64,
        "probe": "ridge",
        "C_selected": True,
        "subset": "stratified",
        "accuracy": 0.5,
    }
    others = [
        {"accuracy": 0.7},
        {"C_selected": False},
        {"probe": "knn"},
        {"subset": "noisy:0.2"},
        {"task_fingerprint": "left out"},
    ]
    found = space_truths(
        pd.DataFrame([row, *(row | other for other in others)]), {"t": ("name", "family")}
    )
    assert found[["task", "task_family", "n_train", "n_layers"]].to_numpy().tolist() == [
        ["name", "family", 64, 0]
    ]
    assert found["truth"].item() == pytest.approx(0.6)
    assert SpaceKey(row["encoder"], 0, 0, "mean").name == "static:glove.txt#0/mean"


def test_too_few_families_or_spaces_are_refused():
    with pytest.raises(ValueError, match="2 task families"):
        fit_view_prior(as_table(tasks(2)))
    with pytest.raises(ValueError, match="1 spaces"):
        fit_view_prior(as_table(tasks(5)[:, :1], SPACES[:1]))


def test_forecasts_in_company_move_towards_the_posterior_and_keep_their_level_and_ends():
    means = np.arcsin(np.sqrt(np.array([0.85, 0.75])))
    curves = {
        0: np.array([[0.80, 0.84, 0.86, 0.90, 0.95], [0.90, 0.95, 1.0, 1.0, 1.0]]),
        1: np.array([[0.80, 0.82, 0.84, 0.86, 0.90], [0.85, 0.90, 0.92, 0.95, 0.99]]),
    }

    def gap(n_train: int) -> float:
        moved = in_company(
            curves, SpacePosterior(means, 1e-4 * np.eye(2), n_train), {0: "a", 1: "b"}
        )
        angles = stabilised(np.array([moved[i][0, 2] for i in moved]))
        assert angles.mean() == pytest.approx(stabilised(np.array([0.86, 0.84])).mean())
        for curve in moved.values():
            assert (np.diff(curve, axis=1) >= 0).all() and (np.diff(curve, axis=0) >= 0).all()
            assert curve.max() <= 1
        return float(angles[0] - angles[1])

    own, whole = np.diff(stabilised(np.array([0.84, 0.86])))[0], means[0] - means[1]
    assert gap(128) == pytest.approx((own + whole) / 2)
    assert own < gap(4096) < own + 0.05 * (whole - own), "many rows speak for themselves"
    lowered = in_company(curves, SpacePosterior(means[::-1], 1e-4 * np.eye(2), 4), {0: "a", 1: "b"})
    assert lowered[0][1, 4] > 0.99, (
        "moved down by six points as a difference, certainty would be 0.94"
    )


def test_draws_are_centred_on_the_medians_and_spread_more_ahead_and_for_unusual_samples():
    posterior = SpacePosterior(np.array([0.9, 1.0, 1.1]), np.diag([1e-4, 4e-4, 1e-4]) + 0.5, 100)
    medians = np.array([0.6, 0.7, 0.65])

    def spread(octaves: float, factor: float) -> np.ndarray:
        drawn = stabilised(
            posterior.draws(medians, octaves=octaves, interval_factor=factor, seed=0)
        )
        np.testing.assert_allclose(drawn.mean(axis=0), stabilised(medians), atol=3e-3)
        return drawn.std(axis=0)

    now = spread(0.0, 1.0)
    assert now.max() < 0.05, "the variance that all spaces share decides nothing"
    np.testing.assert_allclose(spread(4.0, 1.0), now * np.sqrt(6.5 / 1.5), rtol=1e-6)
    np.testing.assert_allclose(spread(0.0, 1.5), now * 1.5, rtol=1e-6)


def test_a_screened_space_has_the_posterior_at_the_level_of_the_forecasts():
    posterior = SpacePosterior(np.array([0.9, 1.0, 1.1]), np.eye(3), 100)
    curve = np.full((2, 5), np.sin(1.2) ** 2)
    medians = posterior.medians({1: curve}, 0)
    np.testing.assert_allclose(stabilised(medians), [1.1, 1.2, 1.3])


def test_the_spaces_of_one_encoder_grow_alike_and_other_encoders_as_they_are_forecast():
    def curve(start: float, end: float) -> np.ndarray:
        return np.sin(np.linspace(start, end, 3)[:, None] + np.linspace(-0.1, 0.1, 5)) ** 2

    curves = {0: curve(0.9, 1.2), 1: curve(0.9, 1.0), 2: curve(0.8, 1.3)}
    posterior = SpacePosterior(np.array([0.9, 0.9, 0.8]), 1e-4 * np.eye(3), 100)
    moved = in_company(curves, posterior, {0: "a", 1: "a", 2: "b"})
    medians = stabilised(np.stack([moved[i][:, 2] for i in range(3)]))
    np.testing.assert_allclose(medians, [[0.9, 1.0, 1.1], [0.9, 1.0, 1.1], [0.8, 1.05, 1.3]])
    for i, own in curves.items():
        np.testing.assert_allclose(
            np.diff(stabilised(moved[i])[0]), np.diff(stabilised(own)[0]), atol=1e-12
        )
