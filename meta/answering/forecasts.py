"""The embedding spaces of one run with their forecasts. All six questions are answered from
them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from meta.answering.best_choice import BestChoice, best_choice
from meta.answering.over_time import after_the_past, time_gap, time_notes
from meta.answering.q2_eval_labels import Correction, correct_forecast
from meta.answering.q4_posterior import in_company, space_posterior
from meta.answering.q4_probabilities import SpaceProbabilities, space_probabilities
from meta.answering.q4_ranking import MAX_FORECAST_SPACES, choose_spaces_to_forecast
from meta.answering.rare_classes import rare_class_warnings, widen_for_rare_classes
from meta.answering.spaces import Space, describe_spaces, fit_spaces
from meta.answering.wider_intervals import add_noise, group_noise, interval_factor, widen
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.given.sample import EvalSample
from meta.metric import MEDIAN, Metric
from meta.priors.spaces import ViewPrior
from probes.features.row_groups import design_effect

CURVE_FACTORS = (1.0, 2**0.5, 2.0, 2**1.5, 4.0, 2**2.5, 8.0, 2**3.5, 16.0)
"""A curve has a point at each of these multiples of the present n: half octaves up to 16x."""


LEAST_WIDTH = 0.01
"""A forecast at the end of its range has hardly a width: how much wider it was made is told as if
it had this one, on the scale of forecasts."""


class Forecaster(Protocol):
    """The part of a metamodel (`meta.metamodel.model.Metamodel`) that the answers use."""

    @property
    def metric(self) -> Metric:
        """The metric that it forecasts."""

    @property
    def card(self) -> dict[str, Any]:
        """What it has learnt from, and how it did on tasks left out."""

    @property
    def view_prior(self) -> ViewPrior | None:
        """How spaces compare on other tasks; None where it does not know."""

    def curve(
        self, features: Mapping[str, float], horizons: Sequence[int] | np.ndarray
    ) -> np.ndarray:
        """(len(horizons), 5) quantiles (QUANTILES) of the metric at `horizons` (rows)."""

    def outside(self, features: Mapping[str, float]) -> list[str]:
        """One phrase for each feature that lies outside the range it has learnt from."""

    def outside_factor(self, features: Mapping[str, float]) -> float:
        """The factor by which the intervals of `curve` are wider because of these features."""


@dataclass(frozen=True)
class SpaceForecast:
    """An embedding space with its forecast."""

    space: Space
    encoder: EmbeddedEncoder
    curve: np.ndarray
    """(H, 5) quantiles of the metric at `Forecasts.sizes`."""
    correction: Correction | None = None
    """How labelled evaluation rows corrected the curve. None where there are none, or too few."""

    @property
    def median_now(self) -> float:
        """The median forecast at the present n."""
        return float(self.curve[0, MEDIAN])


@dataclass(frozen=True)
class Forecasts:
    """Every space that was compared, and the forecasts of the most promising ones."""

    metric: Metric
    sizes: np.ndarray
    """(H,) int64: the numbers of labelled rows at which curves have points, the present n first."""
    spaces: tuple[Space, ...]
    by_space: Mapping[int, SpaceForecast]
    """Position in `spaces` -> forecast. A space that is not here was screened: it has no
    forecast."""
    ranked: tuple[int, ...]
    """The positions in `by_space`, the best median at the present n first."""
    best_choice: BestChoice
    """The best of the spaces with a forecast at each size."""
    probabilities: SpaceProbabilities
    interval_factor: float
    """The intervals of the best space are stretched about their medians by this factor, 1 or more:
    for all that `outside` and `notes` speak of."""
    outside: tuple[str, ...]
    """One phrase for each feature of the sample outside the range that the metamodel has learnt
    from."""
    notes: tuple[str, ...]
    """Warnings that say why the intervals are wider."""

    @property
    def in_order(self) -> list[SpaceForecast]:
        """The forecasts, the best median at the present n first."""
        return [self.by_space[i] for i in self.ranked]

    def best_choice_of(self, encoder: str) -> BestChoice:
        """The best choice among the forecasts of the encoder with this reference."""
        own = [i for i in self.ranked if self.spaces[i].info.ref == encoder]
        return best_choice({i: self.by_space[i].curve for i in own}, own, self.metric)

    @property
    def best(self) -> SpaceForecast:
        """The forecast with the best median at the present n."""
        return self.by_space[self.ranked[0]]


def horizons(n_train: int) -> np.ndarray:
    """(9,) int64: the numbers of rows at which a curve from `n_train` has points."""
    return np.round(np.asarray(CURVE_FACTORS) * n_train).astype(np.int64)


def forecast_spaces(
    prepared: PreparedSamples,
    encoders: Sequence[EmbeddedEncoder],
    metamodel: Forecaster,
    metric: Metric,
    *,
    max_forecast_spaces: int = MAX_FORECAST_SPACES,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Forecasts:
    """Fit a leave-one-out probe in every space, and forecast the most promising spaces.

    `encoders` hold the vectors of `prepared`'s rows. At most `max_forecast_spaces` spaces get a
    forecast, or two for each encoder where that is more. `progress` is called with (steps done,
    steps to do): a step is one probe or one forecast.
    """
    train, evaluation = prepared.train, prepared.evaluation
    labels, n_classes = train.labels, len(train.label_names)
    n_spaces = sum(len(encoder.views) for encoder in encoders)
    n_steps = n_spaces + min(max_forecast_spaces, n_spaces)
    report = progress or (lambda done, total: None)

    spaces, owners = fit_spaces(
        encoders, labels, n_classes, metric, lambda done: report(done, n_steps), train.groups
    )
    posterior = space_posterior(
        spaces, metamodel.view_prior, metric, is_pair=train.text_pair is not None
    )
    chosen = choose_spaces_to_forecast(
        spaces,
        metric,
        max_forecast_spaces,
        posterior.accuracy if posterior is not None else None,
    )
    factor, notes = interval_factor(
        labels, train.label_names, (*train.texts, *evaluation.texts), metric
    )
    counts = np.bincount(labels, minlength=n_classes)
    notes = [*notes, *rare_class_warnings(counts, train.label_names, metric)]
    sizes = horizons(len(labels))
    plain: dict[int, np.ndarray] = {}
    curves: dict[int, np.ndarray] = {}
    outside: list[str] = []
    outside_factors: dict[int, float] = {}
    features_of_chosen = describe_spaces(
        [(owners[i], spaces[i]) for i in chosen], labels, n_classes, seed, train.groups
    )
    for done, (i, features) in enumerate(zip(chosen, features_of_chosen, strict=True)):
        outside += [phrase for phrase in metamodel.outside(features) if phrase not in outside]
        outside_factors[i] = metamodel.outside_factor(features)
        plain[i] = metamodel.curve(features, sizes)
        curve = widen(plain[i], factor, metric)
        curves[i] = widen_for_rare_classes(curve, counts, metric)
        report(min(n_spaces + done + 1, n_steps), n_steps)
    if posterior is not None:
        curves = in_company(curves, posterior, {i: spaces[i].info.ref for i in curves})
    if train.groups is not None:
        effects = [design_effect(spaces[i].hits, train.groups) for i in chosen]
        noise, more_notes = group_noise(effects, len(labels), metric)
        curves = {i: add_noise(curve, noise, metric) for i, curve in curves.items()}
        notes += more_notes
    if train.times is not None:
        best = max(chosen, key=lambda i: metric.sign * spaces[i].loo_metric)
        X_best = owners[best].train(spaces[best].view)
        gap = time_gap(
            X_best, labels, n_classes, train.times, metric, groups=train.groups, seed=seed
        )
        notes += time_notes(gap, metric)
        if gap is not None:
            curves = {i: after_the_past(curve, gap, metric) for i, curve in curves.items()}
    by_space = {
        i: SpaceForecast(
            spaces[i], owners[i], *_corrected(curve, spaces[i], owners[i], evaluation, metric)
        )
        for i, curve in curves.items()
    }
    corrected = {i: forecast.curve for i, forecast in by_space.items()}
    ranked = tuple(sorted(chosen, key=lambda i: -metric.sign * by_space[i].median_now))
    return Forecasts(
        metric=metric,
        sizes=sizes,
        spaces=tuple(spaces),
        by_space=by_space,
        ranked=ranked,
        best_choice=best_choice(corrected, ranked, metric),
        probabilities=space_probabilities(
            spaces, corrected, posterior, metric, interval_factor=factor, seed=seed
        ),
        interval_factor=outside_factors[ranked[0]]
        * max(factor, _width(curves[ranked[0]], metric) / _width(plain[ranked[0]], metric)),
        outside=tuple(outside),
        notes=tuple(notes),
    )


def _width(curve: np.ndarray, metric: Metric) -> float:
    """The width of the 90 % interval of `curve` (H, 5) at the present n, on the scale of
    forecasts."""
    ends = metric.to_scale(curve[0, [0, -1]])
    return max(abs(float(ends[1] - ends[0])), LEAST_WIDTH)


def _corrected(
    curve: np.ndarray,
    space: Space,
    encoder: EmbeddedEncoder,
    evaluation: EvalSample,
    metric: Metric,
) -> tuple[np.ndarray, Correction | None]:
    """`curve` (H, 5) of `space` after the labels of evaluation rows have corrected it, and how."""

    def probabilities() -> np.ndarray:
        _, X_eval = encoder.views[space.view]
        return space.fit.probabilities(space.fit.scores(X_eval))

    return correct_forecast(curve, evaluation.labels, probabilities, metric)
