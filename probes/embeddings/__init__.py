"""The embedding cache, and how it is filled."""
