"""The embedding spaces of a run: a leave-one-out probe in each, and the features of those to
forecast.

The work is spread over all cores, one space on each (`meta.answering.on_cores`).
"""

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
from probes.features.row_groups import design_effect
from probes.metrics import score


@dataclass(frozen=True)
class Space:
    """One embedding space with its leave-one-out probe on the labelled sample."""

    info: EncoderInfo
    view: View
    fit: RidgeFit
    hits: np.ndarray
    """(n,) bool: whether the leave-one-out prediction of a row is its label."""
    loo_metric: float
    """The metric that is forecast, computed from the leave-one-out probabilities."""

    @property
    def name(self) -> str:
        """The encoder's reference and the view."""
        return f"{self.info.ref}#{self.view}"


def held_out_accuracy(hits: np.ndarray, groups: np.ndarray | None = None) -> HeldOut:
    """Leave-one-out accuracy with Wilson's 90 % interval, from `hits` (n,) bool. Where the rows of
    a group are right or wrong together, the rows count as fewer (`row_groups.design_effect`)."""
    n_rows = len(hits) / design_effect(hits, groups)
    rate, z = float(hits.mean()), float(norm.ppf(0.95))
    centre = (rate + z**2 / (2 * n_rows)) / (1 + z**2 / n_rows)
    half = z * np.sqrt(rate * (1 - rate) / n_rows + z**2 / (4 * n_rows**2)) / (1 + z**2 / n_rows)
    # min and max against rounding errors
    return HeldOut(
        accuracy=rate,
        q05=min(max(centre - half, 0.0), rate),
        q95=max(min(centre + half, 1.0), rate),
    )


def fit_spaces(
    encoders: Sequence[EmbeddedEncoder],
    labels: np.ndarray,
    n_classes: int,
    metric: Metric,
    report: Callable[[int], None],
    groups: np.ndarray | None = None,
) -> tuple[list[Space], list[EmbeddedEncoder]]:
    """A probe fitted on the labelled rows in every view of every encoder, and the encoder of each.
    `labels` (n,) int64; rows of one of the `groups` (n,) are left out together; `report` is called
    with the number of spaces done."""
    places = [(encoder, view) for encoder in encoders for view in encoder.views]

    def fit(place: tuple[EmbeddedEncoder, View, np.ndarray]) -> Space:
        encoder, view, X = place
        found = fit_ridge(X, labels, n_classes, groups)
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
    spaces: Sequence[tuple[EmbeddedEncoder, Space]],
    labels: np.ndarray,
    n_classes: int,
    seed: int,
    groups: np.ndarray | None = None,
) -> Iterator[dict[str, float]]:
    """The features (`meta.metamodel.sample_features`) of each space, in order."""

    def describe(place: tuple[Space, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
        return _features(*place, labels, n_classes, seed, groups)

    return on_cores(describe, ((space, encoder.views[space.view]) for encoder, space in spaces))


def _features(
    space: Space,
    vectors: tuple[np.ndarray, np.ndarray],
    labels: np.ndarray,
    n_classes: int,
    seed: int,
    groups: np.ndarray | None,
) -> dict[str, float]:
    """The features of `space`, whose `vectors` are X (n, d) and X_eval (m, d)."""
    X, X_eval = vectors
    is_enough = len(X_eval) >= MIN_EVAL_ROWS
    features = sample_features(
        X,
        labels,
        X_eval if is_enough else X,
        n_classes,
        space.info,
        space.view,
        seed=seed,
        fit=space.fit,
        groups=groups,
    )
    if is_enough:
        return features
    # The evaluation sample is missing or too small, so the labelled rows take its place. Then every
    # feature that compares both samples must say "no shift".
    accuracy = float(space.hits.mean())
    for name in features:
        if name.startswith(("shift_", "eval_")) or name == "log2_n_eval":
            features[name] = float("nan")
    estimates = ("eval_regressed_accuracy", "eval_atc_accuracy", "eval_doc_accuracy")
    features.update({"shift_domain_auc": 0.5, **dict.fromkeys(estimates, accuracy)})
    return features
