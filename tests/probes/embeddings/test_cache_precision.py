"""What storing vectors as float16 costs a probe."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache
from probes.encoders.base import View
from probes.solvers.logistic import fit_logistic_path
from probes.solvers.ridge import fit_ridge_path
from probes.solvers.rowspace import feature_scale, row_space

VIEW = View(1, "mean")
N_TRAIN, N_TEST, N_COLUMNS, N_CLASSES = 400, 4000, 96, 5
MAX_POINTS = 0.1


def classes(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows like those of a sentence encoder: an offset larger than what differs, a decaying
    spectrum, overlapping classes."""
    generator = np.random.default_rng(seed)
    spectrum = np.arange(1, N_COLUMNS + 1) ** -0.7
    y = generator.integers(0, N_CLASSES, N_TRAIN + N_TEST)
    centres = np.random.default_rng(99).standard_normal((N_CLASSES, N_COLUMNS)) * spectrum * 0.45
    X = 3.0 + centres[y] + generator.standard_normal((len(y), N_COLUMNS)) * spectrum
    return X.astype(np.float32), y


def accuracies(X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    train, test = torch.from_numpy(X[:N_TRAIN]), torch.from_numpy(X[N_TRAIN:])
    labels, scale = torch.from_numpy(y[:N_TRAIN]), feature_scale(X[:N_TRAIN])
    space = row_space(train * scale)
    ridge = fit_ridge_path(space, labels, N_CLASSES, (0.1,))
    logistic = fit_logistic_path(space.coordinates[None], labels[None], N_CLASSES, (10.0,))
    scores = {
        "ridge": space.scores(test * scale, ridge.reduced) + ridge.intercept,
        "logistic": space.scores(test * scale, logistic.weights[:, 0, 0])
        + logistic.intercepts[:, 0, 0][:, None],
    }
    return {
        name: float((values[0].argmax(-1).numpy() == y[N_TRAIN:]).mean())
        for name, values in scores.items()
    }


@pytest.mark.parametrize("magnitude", [1e-6, 1.0, 1e6])
def test_float16_costs_a_probe_less_than_a_tenth_of_a_point(
    tmp_path: Path, magnitude: float
) -> None:
    """Mean difference of the accuracy over five samples of 4,000 test rows each."""
    differences: dict[str, list[float]] = {}
    for seed in range(5):
        X, y = classes(seed)
        X = X * np.float32(magnitude)
        texts = [f"{seed} {row}" for row in range(len(X))]
        cache = EmbeddingCache(Storage(tmp_path), "f" * 16)
        cache.publish(texts, {VIEW: X})
        stored = cache.vectors(texts, VIEW)
        assert 0 < np.abs(stored - X).max() <= 2.0**-11 * np.abs(X).max()
        exact = accuracies(X, y)
        assert all(0.4 < value < 0.97 for value in exact.values()), (
            "a task on which a probe can be worse"
        )
        for name, value in accuracies(stored, y).items():
            differences.setdefault(name, []).append(100 * abs(value - exact[name]))
    assert {name for name, values in differences.items() if np.mean(values) <= MAX_POINTS} == {
        "ridge",
        "logistic",
    }
