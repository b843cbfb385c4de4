"""k nearest neighbours in the row space: a row gets the class that most of the nearest training
rows have.

Distances are Euclidean. The part of a test row outside the span of the sample is equally far from
all training rows. So coordinates in the basis rank neighbours exactly as the full space does.
"""

from dataclasses import dataclass

import torch

from probes.solvers.rowspace import Basis

N_NEIGHBOURS = 5


@dataclass(frozen=True)
class Neighbours:
    """A probe fitted on one sample."""

    coordinates: torch.Tensor
    """(n, r)."""
    one_hot: torch.Tensor
    """(n, K)."""
    loo_accuracy: float
    """Share of rows that are classified right by the nearest other rows."""

    def probabilities(self, test: torch.Tensor) -> torch.Tensor:
        """(m, K) at the coordinates `test` (m, r): shares of the votes. One more vote is spread
        over the classes that the sample has, so that a class without a vote is unlikely, but not
        impossible."""
        return _vote(-_squared_distances(test, self.coordinates), self.one_hot)


def fit_neighbours(basis: Basis, labels: torch.Tensor, n_classes: int) -> Neighbours:
    """Keep the sample with its `labels` (n,) int64, and compute how well it predicts itself. Cost
    n²r."""
    coordinates = basis.coordinates
    one_hot = torch.nn.functional.one_hot(labels, n_classes).to(coordinates.dtype)
    nearness = -_squared_distances(coordinates, coordinates)
    nearness.fill_diagonal_(-torch.inf)
    own = _vote(nearness, one_hot, n_others=len(labels) - 1) if len(labels) > 1 else one_hot
    return Neighbours(coordinates, one_hot, float((own.argmax(dim=1) == labels).float().mean()))


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(m, n) squared distances, minus the squared norms of `rows`, which do not change the
    ranking."""
    return others.square().sum(dim=1) - 2 * rows @ others.T


def _vote(
    nearness: torch.Tensor, one_hot: torch.Tensor, n_others: int | None = None
) -> torch.Tensor:
    k = min(N_NEIGHBOURS, len(one_hot) if n_others is None else n_others)
    votes = one_hot[nearness.topk(k, dim=1).indices].sum(dim=1)
    seen = one_hot.any(dim=0)
    return (votes + seen / seen.sum()) / (k + 1)
