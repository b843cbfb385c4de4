"""Where work runs and where its results lie. The only package that imports ray (this file does
not)."""
