"""The counters that a study has for Prometheus. They count in the process that drives the study.
docs/cluster.md lists their names."""

from cluster.prometheus import Counter

PROBES = Counter("neoberta_probes", "Linear probes fitted and published.")
CACHE_TEXTS = Counter(
    "neoberta_cache_texts", "Texts looked for in the embedding cache, once an encoder.", ("result",)
)
"""The label `result` is `hit` or `miss`."""
ENCODED_TEXTS = Counter("neoberta_encoded_texts", "Texts that went through an encoder.")
ENCODED_TOKENS = Counter("neoberta_encoded_tokens", "Tokens that went through an encoder.")
STAGE_SECONDS = Counter(
    "neoberta_stage_seconds", "Wall-clock seconds of the stages of a study.", ("stage",)
)
