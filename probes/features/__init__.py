"""Features: what is known of an embedding space from a labelled sample and an unlabelled evaluation
sample."""

from probes.features.battery import embedding_features

__all__ = ["embedding_features"]
