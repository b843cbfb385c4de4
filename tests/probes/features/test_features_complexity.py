import numpy as np
import pytest
import torch

from probes.features.complexity import online_code_length, task2vec_diagonal
from probes.features.crossfit import fit_prefixes, nested_order, softmax


def gaussian_classes(n_rows, n_columns, n_classes=3, seed=0, spread=1.0):
    rng = np.random.default_rng(seed)
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n_rows - n_classes)])
    return rng.standard_normal((n_rows, n_columns)) + spread * rng.standard_normal(
        (n_classes, n_columns)
    )[y], y


def bits_per_row(X, y, n_classes, seed=0):
    order = nested_order(y, seed=seed)
    return online_code_length(fit_prefixes(X, y, n_classes, order), X, y, n_classes, order)


def test_every_prefix_of_the_nested_order_holds_the_classes_in_their_shares():
    y = np.repeat([0, 1, 2], [60, 30, 10])
    order = nested_order(y, seed=0)
    assert sorted(order) == list(range(100))
    for size in (10, 20, 50):
        counts = np.bincount(y[order[:size]], minlength=3)
        assert np.abs(counts - size * np.array([0.6, 0.3, 0.1])).max() <= 1
    assert list(order) != list(nested_order(y, seed=1))


def test_prefixes_are_halves_of_halves_and_see_nothing_else():
    X, y = gaussian_classes(50, 8)
    order = nested_order(y, seed=0)
    prefixes = fit_prefixes(X, y, 3, order)
    assert [size for size, _ in prefixes] == [6, 12, 25]
    changed, labels = X.copy(), y.copy()
    changed[order[12:]], labels[order[12:]] = 99.0, 0
    again = fit_prefixes(changed, labels, 3, order)
    assert np.array_equal(prefixes[1][1].weights, again[1][1].weights)
    assert not np.array_equal(prefixes[2][1].weights, again[2][1].weights)


def test_the_online_code_is_its_definition_row_by_row():
    X, y = gaussian_classes(50, 8)
    order = nested_order(y, seed=0)
    prefixes = fit_prefixes(X, y, 3, order)
    bits = 0.0
    for place, row in enumerate(order):
        seen = [(size, probe) for size, probe in prefixes if size <= place]
        likelihood = 1 / 3
        if seen:
            size, probe = seen[-1]
            logits = probe.temperature * ((X[row] - probe.centre) @ probe.weights + probe.intercept)
            likelihood = (size * softmax(logits[None])[0, y[row]] + 1 / 3) / (size + 1)
        bits -= np.log2(likelihood)
    assert online_code_length(prefixes, X, y, 3, order) == pytest.approx(bits / 50, rel=1e-9)


def test_labels_that_follow_from_the_vectors_are_short_to_tell_and_noise_is_not():
    X, y = gaussian_classes(256, 16, n_classes=4, spread=3.0)
    noise = np.random.default_rng(1).permutation(np.arange(256) % 4)
    assert bits_per_row(X, y, 4) < 0.5
    assert 1.9 < bits_per_row(X, noise, 4) < 2.3
    assert bits_per_row(X, y, 4) < bits_per_row(X[:32], y[:32], 4)  # more rows tell each other


def test_without_a_probe_and_in_the_worst_case_the_code_is_bounded():
    X, y = gaussian_classes(7, 5)
    assert bits_per_row(X, y, 3) == pytest.approx(np.log2(3))  # no part of 4 rows
    X, y = gaussian_classes(64, 5, spread=100.0)
    order = nested_order(y, seed=0)
    prefixes = fit_prefixes(X, y, 3, order)
    lied_to = online_code_length(prefixes, X, (y + 1) % 3, 3, order)
    assert np.log2(3) < lied_to <= np.log2(3 * 33)


def test_task2vec_is_the_expected_squared_gradient_of_the_heads_log_likelihood():
    rng = np.random.default_rng(0)
    X, weights = (
        rng.standard_normal((12, 5)),
        torch.tensor(rng.standard_normal((5, 3)), requires_grad=True),
    )
    probabilities = torch.softmax(torch.tensor(X) @ weights, dim=1).detach().numpy()
    fisher = np.zeros((5, 3))
    for row in range(12):
        for label in range(3):
            log_likelihood = torch.log_softmax(torch.tensor(X[row]) @ weights, dim=0)[label]
            [gradient] = torch.autograd.grad(log_likelihood, weights)
            fisher += probabilities[row, label] * gradient.numpy() ** 2 / 12
    assert task2vec_diagonal(X, probabilities) == pytest.approx(fisher.sum(axis=1), rel=1e-9)


def test_a_certain_head_has_no_information_and_a_column_counts_by_its_square():
    X = np.random.default_rng(0).standard_normal((20, 4))
    assert task2vec_diagonal(X, np.eye(3)[np.arange(20) % 3]) == pytest.approx(np.zeros(4))
    unsure = np.full((20, 2), 0.5)
    assert task2vec_diagonal(X, unsure) == pytest.approx(0.5 * np.mean(X**2, axis=0))
    assert task2vec_diagonal(X * [1, 2, 1, 1], unsure)[1] == pytest.approx(
        4 * task2vec_diagonal(X, unsure)[1]
    )
