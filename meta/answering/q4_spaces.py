"""Questions 2 and 4: the list of spaces in the answers, each with its forecast and the probability
that it is the best."""

from typing import Any

import numpy as np

from meta.answering.forecasts import CURVE_FACTORS, Forecasts
from meta.answering.spaces import Space, held_out_accuracy
from meta.schema import BestPoint, CurvePoint, RankedView, ScreenedView, ViewName


def ranked_views(forecasts: Forecasts, groups: np.ndarray | None = None) -> list[RankedView]:
    """The spaces with a forecast, the best median at the present n first. `groups` (n,) are those
    of the labelled rows."""
    probabilities = forecasts.probabilities
    views = []
    for i in forecasts.ranked:
        space, curve = forecasts.spaces[i], forecasts.by_space[i].curve
        views.append(
            RankedView(
                encoder=space.info.ref,
                view=_view_name(space),
                p_best=float(probabilities.best[i]),
                p_best_16x=float(probabilities.best_16x[i]),
                p_within_tolerance=float(probabilities.within_tolerance[i]),
                held_out=held_out_accuracy(space.hits, groups),
                measured=space.loo_metric,
                curve=[CurvePoint(**point) for point in _points(forecasts.sizes, curve)],
            )
        )
    return views


def screened_views(forecasts: Forecasts, groups: np.ndarray | None = None) -> list[ScreenedView]:
    """The spaces without a forecast, the most probable to be the best first. `groups` (n,) are
    those of the labelled rows."""
    best = forecasts.probabilities.best
    screened = (i for i in range(len(forecasts.spaces)) if i not in forecasts.by_space)
    return [
        ScreenedView(
            encoder=forecasts.spaces[i].info.ref,
            view=_view_name(forecasts.spaces[i]),
            p_best=float(best[i]),
            held_out=held_out_accuracy(forecasts.spaces[i].hits, groups),
            measured=forecasts.spaces[i].loo_metric,
        )
        for i in sorted(screened, key=lambda i: -best[i])
    ]


def best_curve(forecasts: Forecasts) -> list[BestPoint]:
    """The best choice at each size, with its forecast."""
    choice = forecasts.best_choice
    points = _points(forecasts.sizes, choice.curve)
    return [
        BestPoint(
            encoder=forecasts.spaces[i].info.ref, view=_view_name(forecasts.spaces[i]), **point
        )
        for i, point in zip(choice.positions, points, strict=True)
    ]


def _points(sizes: np.ndarray, curve: np.ndarray) -> list[dict[str, Any]]:
    """The fields of the points of `curve` (H, 5) at `sizes` (H,)."""
    return [
        {
            "n_train": int(n),
            "times": round(float(times), 2),
            **dict(zip(("q05", "q25", "q50", "q75", "q95"), row, strict=True)),
        }
        for n, times, row in zip(sizes, CURVE_FACTORS, curve.tolist(), strict=True)
    ]


def _view_name(space: Space) -> ViewName:
    return ViewName(layer=space.view.layer, pooling=space.view.pooling)
