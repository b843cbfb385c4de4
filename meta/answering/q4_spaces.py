"""Questions 2 and 4: the list of spaces in the answers, each with its forecast and the probability
that it is the best."""

from meta.answering.forecasts import Forecasts
from meta.answering.spaces import Space, held_out_accuracy
from meta.schema import CurvePoint, RankedView, ScreenedView, ViewName


def ranked_views(forecasts: Forecasts) -> list[RankedView]:
    """The spaces with a forecast, the best median at the present n first."""
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
                held_out=held_out_accuracy(space.hits),
                measured=space.loo_metric,
                curve=[
                    CurvePoint(
                        n_train=int(n), q05=row[0], q25=row[1], q50=row[2], q75=row[3], q95=row[4]
                    )
                    for n, row in zip(forecasts.sizes, curve.tolist(), strict=True)
                ],
            )
        )
    return views


def screened_views(forecasts: Forecasts) -> list[ScreenedView]:
    """The spaces without a forecast, the most probable to be the best first."""
    best = forecasts.probabilities.best
    screened = (i for i in range(len(forecasts.spaces)) if i not in forecasts.by_space)
    return [
        ScreenedView(
            encoder=forecasts.spaces[i].info.ref,
            view=_view_name(forecasts.spaces[i]),
            p_best=float(best[i]),
            held_out=held_out_accuracy(forecasts.spaces[i].hits),
            measured=forecasts.spaces[i].loo_metric,
        )
        for i in sorted(screened, key=lambda i: -best[i])
    ]


def _view_name(space: Space) -> ViewName:
    return ViewName(layer=space.view.layer, pooling=space.view.pooling)
