"""The spaces of a run, each seen from the same labelled rows: its leave-one-out probe, and the
features of those to forecast. Spaces are looked at on all cores (`meta.answering.on_cores`)."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from meta.answering.on_cores import on_cores
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import MIN_EVAL_ROWS
from meta.metamodel.sample_features import sample_features
from meta.metric import Metric
from meta.schema import HeldOut
from probes.encoders.base import EncoderInfo, View
from probes.features.crossfit import RidgeFit, fit_ridge
from probes.metrics import score


@dataclass(frozen=True)
class Space:
    """One embedding space with its leave-one-out probe of the labelled sample."""

    info: EncoderInfo
    view: View
    fit: RidgeFit
    hits: np.ndarray
    """(n,) bool: leave-one-out prediction is the label."""
    loo_metric: float
    """The metric on the leave-one-out probabilities."""

    @property
    def name(self) -> str:
        return f"{self.info.ref}#{self.view}"


def held_out_accuracy(hits: np.ndarray) -> HeldOut:
    """Leave-one-out accuracy with Wilson's 90 % interval."""
    n_rows, rate, z = len(hits), float(hits.mean()), float(norm.ppf(0.95))
    centre = (rate + z**2 / (2 * n_rows)) / (1 + z**2 / n_rows)
    half = z * np.sqrt(rate * (1 - rate) / n_rows + z**2 / (4 * n_rows**2)) / (1 + z**2 / n_rows)
    return HeldOut(
        accuracy=rate,
        q05=min(max(centre - half, 0.0), rate),
        q95=max(min(centre + half, 1.0), rate),
    )  # rounding


def fit_spaces(
    encoders: Sequence[EmbeddedEncoder],
    labels: np.ndarray,
    n_classes: int,
    metric: Metric,
    report: Callable[[int], None],
) -> tuple[list[Space], list[EmbeddedEncoder]]:
    """Every view of every encoder fitted on the labelled rows, and whose each is; `report` gets the
    number done."""
    places = [(encoder, view) for encoder in encoders for view in encoder.views]

    def fit(place: tuple[EmbeddedEncoder, View, np.ndarray]) -> Space:
        encoder, view, X = place
        found = fit_ridge(X, labels, n_classes)
        value = float(
            score(labels, found.probabilities(found.loo_scores), np.arange(n_classes))[metric]
        )
        return Space(encoder.info, view, found, found.loo_scores.argmax(axis=1) == labels, value)

    spaces: list[Space] = []
    for space in on_cores(fit, ((encoder, view, encoder.train(view)) for encoder, view in places)):
        spaces.append(space)
        report(len(spaces))
    return spaces, [encoder for encoder, _ in places]


def describe_spaces(
    spaces: Sequence[tuple[EmbeddedEncoder, Space]], labels: np.ndarray, n_classes: int, seed: int
) -> Iterator[dict[str, float]]:
    """The features of each space."""

    def describe(place: tuple[Space, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        return _features(*place, labels, n_classes, seed)

    return on_cores(describe, ((space, encoder.views[space.view]) for encoder, space in spaces))


def _features(
    space: Space,
    vectors: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    n_classes: int,
    seed: int,
) -> dict[str, float]:
    X, X_eval = vectors
    if len(X_eval) >= MIN_EVAL_ROWS:
        return sample_features(
            X, labels, X_eval, n_classes, space.info, space.view, seed=seed, fit=space.fit
        )
    # no evaluation sample, or too small: the labelled rows stand in, then everything that compares
    # the two says "no shift"
    features = sample_features(
        X, labels, X, n_classes, space.info, space.view, seed=seed, fit=space.fit
    )
    accuracy = float(space.hits.mean())
    for name in features:
        if name.startswith(("shift_", "eval_")) or name == "log2_n_eval":
            features[name] = float("nan")
    estimates = ("eval_regressed_accuracy", "eval_atc_accuracy", "eval_doc_accuracy")
    features.update({"shift_domain_auc": 0.5, **dict.fromkeys(estimates, accuracy)})
    return features
