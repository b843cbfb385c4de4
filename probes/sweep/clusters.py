"""Clusters of similar texts, from which a covariate-shifted subset is drawn.

They depend on the texts alone, not on an encoder, so that all encoders are studied under the same
shift. The method is hashed TF-IDF, a few singular directions, and k-means (Manning, Raghavan and
Schütze 2008, chapters 16 and 18).
"""

from collections.abc import Sequence

import numpy as np

N_CLUSTERS = 8
N_DIRECTIONS = 32
N_HASHES = 2**16


def text_clusters(texts: Sequence[str]) -> np.ndarray:
    """(n,) int64 in 0..N_CLUSTERS-1: the cluster of each text. There are fewer clusters where there
    are fewer distinct texts. The same texts in the same order give the same clusters."""
    from sklearn.cluster import KMeans
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.preprocessing import normalize

    counts = HashingVectorizer(
        n_features=N_HASHES, alternate_sign=False, norm=None, stop_words=None
    ).transform(texts)
    weighted = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    n_distinct = len(set(texts))
    n_directions = min(N_DIRECTIONS, n_distinct - 1)
    if n_directions < 2:
        return np.zeros(len(texts), dtype=np.int64)
    projected = normalize(TruncatedSVD(n_directions, random_state=0).fit_transform(weighted))
    n_clusters = min(N_CLUSTERS, len(np.unique(projected.round(6), axis=0)))
    return KMeans(n_clusters, n_init=3, random_state=0).fit_predict(projected).astype(np.int64)
