"""k nearest neighbours in the row space: the class most of the nearest training rows have.

Distances are Euclidean. A test row's part outside the span of the sample is equally far from all
training rows, so coordinates in the basis rank neighbours exactly as the full space does.
"""

from dataclasses import dataclass

import torch

from probes.solvers.rowspace import Basis

N_NEIGHBOURS = 5


@dataclass(frozen=True)
class Neighbours:
    """Fitted on one sample."""

    coordinates: torch.Tensor
    """(n, r)"""
    one_hot: torch.Tensor
    """(n, K)"""
    loo_accuracy: float
    """Share of rows that the nearest other rows classify right."""

    def probabilities(self, test: torch.Tensor) -> torch.Tensor:
        """(m, K) at coordinates `test` (m, r): shares of the votes and of one more that is spread
        over the classes seen, so that a class without a vote is unlikely, not impossible."""
        return _vote(-_squared_distances(test, self.coordinates), self.one_hot)


def fit_neighbours(basis: Basis, labels: torch.Tensor, n_classes: int) -> Neighbours:
    """Keep the sample of `labels` (n,) int64 and see how well it predicts itself. Cost n²r."""
    coordinates = basis.coordinates
    one_hot = torch.nn.functional.one_hot(labels, n_classes).to(coordinates.dtype)
    nearness = -_squared_distances(coordinates, coordinates)
    nearness.fill_diagonal_(-torch.inf)
    own = _vote(nearness, one_hot, n_others=len(labels) - 1) if len(labels) > 1 else one_hot
    return Neighbours(coordinates, one_hot, float((own.argmax(dim=1) == labels).float().mean()))


def _squared_distances(rows: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """(m, n), less the rows' own squared norms, which rank nothing."""
    return others.square().sum(dim=1) - 2 * rows @ others.T


def _vote(
    nearness: torch.Tensor, one_hot: torch.Tensor, n_others: int | None = None
) -> torch.Tensor:
    k = min(N_NEIGHBOURS, len(one_hot) if n_others is None else n_others)
    votes = one_hot[nearness.topk(k, dim=1).indices].sum(dim=1)
    seen = one_hot.any(dim=0)
    return (votes + seen / seen.sum()) / (k + 1)
