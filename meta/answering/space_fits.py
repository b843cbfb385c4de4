"""The spaces of a run, each seen from the same labelled rows: its leave-one-out probe, and the
features of those to forecast. Spaces are looked at on all cores (`meta.answering.on_cores`)."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from meta.answering.on_cores import on_cores
from meta.answering.q4_ranking import Space
from meta.given.sample import MIN_EVAL_ROWS, EmbeddedEncoder
from meta.metamodel.observations import sample_features
from meta.metric import Metric
from probes.encoders.base import View
from probes.features.crossfit import fit_ridge
from probes.metrics import score


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
