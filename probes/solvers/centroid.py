"""Nearest centroid in the row space: a row gets the class whose mean row is nearest (Euclidean
distance). It is the cheapest probe."""

from dataclasses import dataclass

import torch

from probes.solvers.rowspace import Basis
from probes.solvers.temperature import best_temperatures


@dataclass(frozen=True)
class Centroids:
    """A probe fitted on one sample. Its scores are linear in a row's coordinates."""

    reduced: torch.Tensor
    """(r, K) weights: the class means, divided by the rows' mean squared norm."""
    intercept: torch.Tensor
    """(K,) minus half the squared norms of the means, on the same scale; -inf for a class without a
    row."""
    temperature: torch.Tensor
    """() factor from scores to softmax logits. It is the best one for the rows of the sample, where
    each row is left out of its class's mean."""
    loo_accuracy: float

    def probabilities(self, scores: torch.Tensor) -> torch.Tensor:
        """(m, K) from `coordinates @ reduced` (m, K)."""
        return torch.softmax(self.temperature * (scores + self.intercept), dim=1)


def fit_centroids(basis: Basis, labels: torch.Tensor, n_classes: int) -> Centroids:
    """Class means of a sample with `labels` (n,) int64. A row that is alone in its class is, when
    it is left out, compared with the mean of the sample instead. Cost nrK."""
    coordinates = basis.coordinates
    one_hot = torch.nn.functional.one_hot(labels, n_classes).to(coordinates.dtype)
    counts = one_hot.sum(dim=0)  # (K,)
    means = one_hot.T @ coordinates / counts.clamp_min(1)[:, None]  # (K, r)
    norms = coordinates.square().sum(dim=1)
    scale = norms.mean().clamp_min(1e-30)
    intercept = torch.where(counts > 0, -0.5 * means.square().sum(dim=1) / scale, -torch.inf)
    scores = coordinates @ means.T / scale + intercept
    norms = norms / scale
    own_count = counts[labels]
    # -|x - m|²/2 + |x|²/2, where x is left out of the mean m of its own class. From that mean x is
    # n/(n - 1) times as far as from the mean with x.
    own = scores.gather(1, labels[:, None])[:, 0]
    stretched = (own - 0.5 * norms) * (
        own_count / (own_count - 1).clamp_min(1)
    ).square() + 0.5 * norms
    held_out = scores.scatter(
        1, labels[:, None], torch.where(own_count > 1, stretched, 0.0)[:, None]
    )
    accuracy = float((held_out.argmax(dim=1) == labels).float().mean())
    share = held_out.new_full((1, len(labels)), 1 / len(labels))
    temperature = best_temperatures(held_out[None, None], labels[None], counts[None] > 0, share)[
        0, 0
    ]
    return Centroids((means / scale).T.contiguous(), intercept, temperature, accuracy)
