"""A mixture of Gaussians with diagonal covariances: it finds clusters of a space without labels."""

import numpy as np

N_EM_STEPS = 10
VARIANCE_FLOOR = 1e-2
"""Added to every variance. With five rows for a component many variances would be estimated as
0."""


def seeded_clusters(X: np.ndarray, n_clusters: int, *, seed: int) -> np.ndarray:
    """(n,) which of `n_clusters` centres is nearest to each row of X (n, q). The centres are rows.
    Each is drawn with a probability proportional to its squared distance from those drawn before
    (k-means++). There are fewer clusters where X has fewer distinct rows. Cost nq·clusters. Source:
    Arthur and Vassilvitskii, 2007."""
    rng = np.random.default_rng(seed)
    norms = np.einsum("ij,ij->i", X, X)
    cluster, nearest = np.zeros(len(X), dtype=np.int64), np.full(len(X), np.inf)
    chosen = int(rng.integers(len(X)))
    for number in range(n_clusters):
        squared = norms + norms[chosen] - 2 * (X @ X[chosen])
        squared[squared <= 1e-12 * (norms + norms[chosen])] = 0.0
        closer = squared < nearest
        cluster[closer], nearest[closer] = number, squared[closer]
        reach = np.cumsum(nearest)
        if reach[-1] <= 0:
            break
        chosen = min(
            int(np.searchsorted(reach, rng.random() * reach[-1], side="right")), len(X) - 1
        )
    return cluster


def mixture_posteriors(
    X: np.ndarray, cluster: np.ndarray, *, n_steps: int = N_EM_STEPS
) -> np.ndarray:
    """(n, M) probabilities of the components given each row of X (n, q), after `n_steps` of
    expectation maximisation. At the start there is one component for each value of `cluster` (n,).
    X should have variances near 1. Cost nqM a step. Source: Dempster et al., 1977."""
    posteriors = np.equal.outer(cluster, np.unique(cluster)).astype(np.float64)
    squares = X**2
    for _ in range(n_steps + 1):
        # (M,), above 0 also for a component that has lost all its rows
        mass = posteriors.sum(axis=0) + 10 * np.finfo(np.float64).eps
        means = posteriors.T @ X / mass[:, None]
        precisions = 1 / (
            np.maximum(posteriors.T @ squares / mass[:, None] - means**2, 0.0) + VARIANCE_FLOOR
        )  # (M, q)
        constants = np.log(mass) + (np.log(precisions) - means**2 * precisions).sum(axis=1) / 2
        logs = X @ (means * precisions).T - squares @ precisions.T / 2 + constants
        posteriors = np.exp(logs - logs.max(axis=1, keepdims=True))
        posteriors /= posteriors.sum(axis=1, keepdims=True)
    return posteriors
