"""The features of one sample: numbers that are known before anything is measured on test rows.

A sample is a set of labelled rows and a set of unlabelled evaluation rows in one embedding space.
No feature reads a test label.
"""

import numpy as np

from meta.metric import Metric
from probes.encoders.base import EncoderFacts, EncoderInfo, View
from probes.features import embedding_features
from probes.features.battery import check_sample
from probes.features.crossfit import HeldOutPart, RidgeFit, curve_so_far, fit_ridge
from probes.metrics import score

FEATURES_VERSION = 4
"""Part of the key of every observation. It is raised when a feature changes its meaning."""
FRACTIONS = (8, 4, 2, 1)
"""The curve seen so far has points at n / fraction. The last one is leave-one-out at n."""
POOLING_FEATURES = ("cls", "mean", "max")
"""Poolings that have a feature `pooling_is_...`."""
FAMILY_FEATURES = ("neoberta", "hf", "lsa", "random", "static")
"""Families of encoders that have a feature `family_is_...`."""


def sample_features(
    X: np.ndarray,
    y: np.ndarray,
    X_eval: np.ndarray,
    n_classes: int,
    info: EncoderInfo | EncoderFacts,
    view: View,
    *,
    seed: int,
    fit: RidgeFit | None = None,
    groups: np.ndarray | None = None,
) -> dict[str, float]:
    """All features of one sample, by name.

    X (n, d) and y (n,) int64 in 0..n_classes-1 are the labelled rows, X_eval (m, d) the evaluation
    rows, in the space `view` of the encoder `info`. `fit` is `fit_ridge(X, y, n_classes, groups)`,
    where the caller has it already. Rows of one of the `groups` (n,) int64, of which there are two
    or more, are held out together (`probes.features.row_groups`). Raises ValueError for fewer than
    4 rows or one class.
    """
    check_sample(X, y)
    fit = fit or fit_ridge(X, y, n_classes, groups)
    return {
        **_size_features(y, len(X_eval), n_classes),
        **_encoder_features(info, view, X.shape[1]),
        **embedding_features(X, y, X_eval, n_classes, seed=seed, fit=fit, groups=groups),
        **_curve_features(X, y, n_classes, fit, seed=seed, groups=groups),
    }


def _size_features(y: np.ndarray, n_eval: int, n_classes: int) -> dict[str, float]:
    """Numbers of rows and classes, and how the labels `y` (n,) are distributed over the classes."""
    counts = np.bincount(y, minlength=n_classes)
    shares = counts[counts > 0] / len(y)
    return {
        "n_train": float(len(y)),
        "log2_n_train": float(np.log2(len(y))),
        "log2_n_eval": float(np.log2(max(n_eval, 1))),
        "n_classes": float(n_classes),
        "log2_n_classes": float(np.log2(n_classes)),
        "share_classes_seen": float(len(shares) / n_classes),
        "share_single_rows": float(np.sum(counts == 1) / len(y)),
        "log2_rows_per_class": float(np.log2(len(y) / n_classes)),
        "class_entropy": float(-np.sum(shares * np.log(shares)) / np.log(n_classes))
        if n_classes > 1
        else 0.0,
        "majority_share": float(shares.max()),
        "minority_share": float(shares.min()),
    }


def _encoder_features(
    info: EncoderInfo | EncoderFacts, view: View, n_columns: int
) -> dict[str, float]:
    """Depth, size and kind of the encoder and its view; `n_columns` is the width of the space."""
    known = info.facts if isinstance(info, EncoderInfo) else info
    depth = max(int(known["n_layers"]), 1)
    return {
        "layer": float(view.layer),
        "relative_depth": view.layer / depth,
        "n_layers": float(known["n_layers"]),
        "log2_hidden_size": float(np.log2(max(int(known["hidden_size"]), 1))),
        "log2_n_columns": float(np.log2(n_columns)),
        "log10_n_parameters": float(np.log10(max(int(known["n_parameters"]), 1))),
        "log2_max_length": float(np.log2(max(int(known["max_length"]), 1))),
        **{f"pooling_is_{name}": float(view.pooling == name) for name in POOLING_FEATURES},
        **{f"family_is_{name}": float(known["family"] == name) for name in FAMILY_FEATURES},
    }


def _curve_features(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    fit: RidgeFit,
    *,
    seed: int,
    groups: np.ndarray | None,
) -> dict[str, float]:
    """The curve seen so far: `curve_n_<fraction>` is the mean number of training rows at a point,
    `curve_<metric>_<fraction>` the held-out metric there. NaN where there is no such point."""
    labels = np.arange(n_classes)
    points = {1: HeldOutPart(float(len(y)), fit.probabilities(fit.loo_scores), y)}
    for point in curve_so_far(X, y, n_classes, seed=seed, fractions=FRACTIONS[:-1], groups=groups):
        nearest = min(
            FRACTIONS[:-1], key=lambda fraction: abs(np.log(len(y) / point.n_rows / fraction))
        )
        points[nearest] = point
    features = {}
    for fraction in FRACTIONS:
        found = points.get(fraction)
        features[f"curve_n_{fraction}"] = found.n_rows if found is not None else float("nan")
        values = score(found.labels, found.probabilities, labels) if found is not None else {}
        for metric in Metric:
            features[f"curve_{metric}_{fraction}"] = float(values.get(metric, float("nan")))
    return features
