"""Question 4: embedding spaces compared on one sample, as probabilities rather than as a podium.

Every space is measured on the same rows, so their errors go together: two layers of one encoder
fail on the same rows. Joint draws of all spaces' metrics keep that (a Gaussian copula whose
correlation is that of the leave-one-out hits), with each space's own forecast quantiles as margins.
"""

from collections.abc import Sequence

import numpy as np

from meta.answering.spaces import Space
from meta.metamodel.quantile_curves import Z_SCORES
from meta.metric import MEDIAN, Metric

MAX_FORECAST_SPACES = 12
"""Spaces that get a forecast of their own; the others are compared by their leave-one-out."""
MIN_SPACES_PER_ENCODER = 2
N_DRAWS = 4000


def choose_spaces_to_forecast(
    spaces: Sequence[Space],
    metric: Metric,
    max_views: int = MAX_FORECAST_SPACES,
    values: np.ndarray | None = None,
) -> list[int]:
    """Positions of the spaces to forecast, best first by `values` (V,) of the metric (default:
    leave-one-out): the best views of every encoder, the best view of every layer (a shallow one may
    do), then the best of the rest."""
    sign = metric.sign
    known = [space.loo_metric for space in spaces] if values is None else values
    order = sorted(
        range(len(spaces)),
        key=lambda i: (-sign * known[i], spaces[i].view.layer, spaces[i].view.pooling),
    )
    chosen: list[int] = []
    of_encoder: dict[str, int] = {}
    for i in order:  # however many encoders there are, none goes without
        ref = spaces[i].info.ref
        if of_encoder.get(ref, 0) < MIN_SPACES_PER_ENCODER:
            of_encoder[ref] = of_encoder.get(ref, 0) + 1
            chosen.append(i)
    layers = {(spaces[i].info.ref, spaces[i].view.layer) for i in chosen}
    for i in order:
        place = (spaces[i].info.ref, spaces[i].view.layer)
        if len(chosen) < max_views and place not in layers:
            layers.add(place)
            chosen.append(i)
    chosen += [i for i in order if i not in chosen][: max(max_views - len(chosen), 0)]
    return sorted(chosen, key=order.index)


def hit_correlation(hits: np.ndarray) -> np.ndarray:
    """(V, V) correlation of the spaces' hits (V, n): positive semi-definite, 1 on the diagonal; a
    space that is always right or always wrong goes with none. Shrunk by what the sample's size
    leaves uncertain."""
    n_views, n_rows = hits.shape
    centred = hits - hits.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum(axis=1))
    scaled = centred / np.where(spread > 0, spread, 1.0)[:, None]
    correlation = (1 - 1 / n_rows) * (scaled @ scaled.T)
    correlation[np.arange(n_views), np.arange(n_views)] = 1.0
    return correlation


def joint_draws(
    quantiles: np.ndarray, correlation: np.ndarray, *, seed: int, n_draws: int = N_DRAWS
) -> np.ndarray:
    """(n_draws, V) joint draws of metrics with margins `quantiles` (V, 5) and copula `correlation`
    (V, V).

    A margin is linear between its quantiles on the normal scale, and goes on so beyond the
    outermost.
    """
    z = (
        np.random.default_rng(seed).standard_normal((n_draws, len(quantiles)))
        @ _root(correlation).T
    )
    return np.stack(
        [_from_normal(z[:, column], row) for column, row in enumerate(quantiles)], axis=1
    )


def probability_best(draws: np.ndarray, metric: Metric) -> np.ndarray:
    """(V,) share of draws (N, V) in which each is the best; ties are shared. Sums to 1."""
    winners = draws == metric.best(draws)
    return (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)


def probability_within(draws: np.ndarray, metric: Metric, tolerance: float) -> np.ndarray:
    """(V,) share of draws in which each is within `tolerance` of the best."""
    gap = metric.sign * (metric.best(draws) - draws)
    return (gap <= tolerance + 1e-12).mean(axis=0)


def _from_normal(z: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    inside = np.interp(z, Z_SCORES, quantiles)
    low_slope = (quantiles[MEDIAN] - quantiles[0]) / (Z_SCORES[MEDIAN] - Z_SCORES[0])
    high_slope = (quantiles[-1] - quantiles[MEDIAN]) / (Z_SCORES[-1] - Z_SCORES[MEDIAN])
    below, above = np.minimum(z - Z_SCORES[0], 0.0), np.maximum(z - Z_SCORES[-1], 0.0)
    return inside + below * low_slope + above * high_slope


def _root(correlation: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(correlation)
    return vectors * np.sqrt(np.maximum(values, 0.0))
