"""Transferability scores: how well the labels follow from a space, measured by information instead
of by a probe.

X is (n, d), any float type. y is (n,) int64 with values in 0..n_classes-1. Classes without a row
are left out of every sum.
"""

import numpy as np

from probes.features.decomposition import Decomposition, centred_rows, decompose
from probes.features.mixture import mixture_posteriors, seeded_clusters

DISTORTION = 1e-4
"""ε of TransRate: the published value."""
ENERGY_KEPT, MAX_DIRECTIONS = 0.8, 32
"""The mixture of NLEEP is fitted in the leading directions that hold this share of the variance,
but in at most MAX_DIRECTIONS of them."""
COMPONENTS_PER_CLASS, ROWS_PER_COMPONENT, MAX_COMPONENTS = 5, 5, 128
"""Components of the mixture of NLEEP: the published number for each class, as far as there are rows
for them."""


def transrate(
    X: np.ndarray, y: np.ndarray, n_classes: int, *, decomposition: Decomposition | None = None
) -> float:
    """Coding rate of the sample minus that of its classes, R(X) − Σ (n_k/n) R(X_k), with R(Z) = ½
    log|I + ZᵀZ/(ε·rows of Z)|. X is centred and scaled to unit trace of XᵀX. It estimates the
    mutual information of vectors and labels, in nats.

    Range [0, inf), higher is better (log-determinants are concave), but it is high also where
    classes have few rows. 0 where all rows are equal. Cost n²d/classes once the sample is
    decomposed. `decomposition` is that of the *centred* X. Source: Huang et al., ICML 2022 (arXiv
    2106.09362), whose code weights classes by 1/classes, which is the same for balanced ones.
    """
    parts = decomposition or decompose(centred_rows(X))
    total = float(np.sum(parts.singular**2))
    if total <= 0:
        return 0.0
    n_rows = len(X)
    rate = np.log1p(parts.singular**2 / (total * n_rows * DISTORTION)).sum() / 2
    scores = parts.scores / np.sqrt(total)
    for label in np.unique(y[(y >= 0) & (y < n_classes)]):
        rows = scores[y == label]
        products = rows @ rows.T if len(rows) <= rows.shape[1] else rows.T @ rows
        products /= len(rows) * DISTORTION
        products.flat[:: len(products) + 1] += 1.0
        rate -= len(rows) / n_rows * np.linalg.slogdet(products)[1] / 2
    return float(rate)


def leep(posteriors: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """Mean log-likelihood of the labels given the source classes: (1/n) Σ ln Σ_z P(y_i|z) θ_z(x_i).
    P(y|z) comes from the joint frequencies of labels and `posteriors` θ (n, Z) of the same rows.

    Range (−inf, 0], higher is better. It is at least minus the entropy of the labels. Cost
    nZ·classes. Source: Nguyen et al., ICML 2020 (arXiv 2002.12462).
    """
    targets = np.zeros((len(y), n_classes))
    targets[np.arange(len(y)), y] = 1.0
    joint = targets.T @ posteriors  # (K, Z)
    mass = posteriors.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    likelihood = np.einsum("iz,iz->i", conditional[y], posteriors)
    return float(np.mean(np.log(np.clip(likelihood, np.finfo(np.float64).tiny, 1.0))))


def nleep(
    X: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    *,
    seed: int,
    decomposition: Decomposition | None = None,
) -> float:
    """LEEP with the components of a Gaussian mixture of the vectors instead of source classes. It
    is high where the clusters that the space has without labels agree with the labels. The mixture
    has diagonal covariances and at most 5 components per class, with 5 rows for each component, in
    the directions that hold 80 % of the variance.

    Range (−inf, 0], higher is better. It grows with the number of components, so it can be compared
    only between spaces on the same sample. Depends on `seed`, which places the components. Cost
    n·components·directions per step. `decomposition` is that of the *centred* X. Source: Li et al.,
    CVPR 2021 (arXiv 2011.11200).
    """
    parts = decomposition or decompose(centred_rows(X))
    energy = np.cumsum(parts.singular**2)
    n_directions = (
        min(int(np.searchsorted(energy, ENERGY_KEPT * energy[-1])) + 1, MAX_DIRECTIONS)
        if len(energy)
        else 0
    )
    scores = parts.scores[:, :n_directions]
    scores = scores / (np.sqrt(np.mean(scores**2)) if scores.size else 1.0)
    n_components = min(
        COMPONENTS_PER_CLASS * len(np.unique(y)), len(y) // ROWS_PER_COMPONENT, MAX_COMPONENTS
    )
    cluster = seeded_clusters(scores, max(n_components, 1), seed=seed)
    return leep(mixture_posteriors(scores, cluster), y, n_classes)
