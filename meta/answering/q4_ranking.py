"""Question 4: which spaces get a forecast, and with which probability each space is the best.

All spaces are measured on the same rows, so their errors are correlated: two layers of one encoder
fail on the same rows. The metrics of all spaces are therefore drawn jointly, from a Gaussian
copula. Its correlation is that of the leave-one-out hits. Its marginal distributions are the
forecasts of the spaces.
"""

from collections.abc import Sequence

import numpy as np

from meta.answering.spaces import Space
from meta.metamodel.quantile_curves import Z_SCORES
from meta.metric import MEDIAN, Metric

MAX_FORECAST_SPACES = 12
"""This many spaces get a forecast of their own. The others are compared by leave-one-out."""
MIN_SPACES_PER_ENCODER = 2
"""Every encoder gets this many forecasts, if it has as many spaces."""
N_DRAWS = 4000
"""Number of joint draws."""


def choose_spaces_to_forecast(
    spaces: Sequence[Space],
    metric: Metric,
    max_spaces: int = MAX_FORECAST_SPACES,
    values: np.ndarray | None = None,
) -> list[int]:
    """Positions of the spaces to forecast, the best first.

    The spaces are ordered by `values` (V,) of the metric (default: their leave-one-out metric).
    First come the `MIN_SPACES_PER_ENCODER` best spaces of every encoder, even if they are more than
    `max_spaces`. Then comes the best space of every layer, because a cheap shallow layer may be
    good enough. Then come the best of the others.
    """
    sign = metric.sign
    known = [space.loo_metric for space in spaces] if values is None else values
    order = sorted(
        range(len(spaces)),
        key=lambda i: (-sign * known[i], spaces[i].view.layer, spaces[i].view.pooling),
    )
    chosen: list[int] = []
    of_encoder: dict[str, int] = {}
    for i in order:
        ref = spaces[i].info.ref
        if of_encoder.get(ref, 0) < MIN_SPACES_PER_ENCODER:
            of_encoder[ref] = of_encoder.get(ref, 0) + 1
            chosen.append(i)
    layers = {(spaces[i].info.ref, spaces[i].view.layer) for i in chosen}
    for i in order:
        place = (spaces[i].info.ref, spaces[i].view.layer)
        if len(chosen) < max_spaces and place not in layers:
            layers.add(place)
            chosen.append(i)
    chosen += [i for i in order if i not in chosen][: max(max_spaces - len(chosen), 0)]
    return sorted(chosen, key=order.index)


def hit_correlation(hits: np.ndarray) -> np.ndarray:
    """(V, V) correlations of the `hits` (V, n) of V spaces: positive semi-definite, 1 on the
    diagonal. A space that is always right or always wrong is correlated with no other. Correlations
    are shrunk by the factor 1 - 1/n, as a small sample leaves them uncertain."""
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
    """(n_draws, V) joint draws of the metrics of V spaces. Deterministic given `seed`.

    `quantiles` (V, 5) are the marginal distributions, `correlation` (V, V) is that of the Gaussian
    copula. A marginal distribution is linear in the normal quantile between its five quantiles.
    Outside them it goes on with the slope of its lower or upper half.
    """
    independent = np.random.default_rng(seed).standard_normal((n_draws, len(quantiles)))
    z = independent @ _square_root(correlation).T
    return np.stack(
        [_from_normal(z[:, column], row) for column, row in enumerate(quantiles)], axis=1
    )


def probability_best(draws: np.ndarray, metric: Metric) -> np.ndarray:
    """(V,) share of the `draws` (N, V) in which each space is the best. Spaces that tie share the
    draw, so the shares sum to 1."""
    winners = draws == metric.best(draws)
    return (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0)


def probability_within(draws: np.ndarray, metric: Metric, tolerance: float) -> np.ndarray:
    """(V,) share of the `draws` (N, V) in which each space is within `tolerance` of the best."""
    gap = metric.sign * (metric.best(draws) - draws)
    return (gap <= tolerance + 1e-12).mean(axis=0)


def _from_normal(z: np.ndarray, quantiles: np.ndarray) -> np.ndarray:
    """Values of a metric with `quantiles` (5,) at the standard normal values `z` (N,)."""
    inside = np.interp(z, Z_SCORES, quantiles)
    low_slope = (quantiles[MEDIAN] - quantiles[0]) / (Z_SCORES[MEDIAN] - Z_SCORES[0])
    high_slope = (quantiles[-1] - quantiles[MEDIAN]) / (Z_SCORES[-1] - Z_SCORES[MEDIAN])
    below, above = np.minimum(z - Z_SCORES[0], 0.0), np.maximum(z - Z_SCORES[-1], 0.0)
    return inside + below * low_slope + above * high_slope


def _square_root(correlation: np.ndarray) -> np.ndarray:
    """(V, V) matrix R with R @ R.T = `correlation`, which is positive semi-definite."""
    values, vectors = np.linalg.eigh(correlation)
    return vectors * np.sqrt(np.maximum(values, 0.0))
