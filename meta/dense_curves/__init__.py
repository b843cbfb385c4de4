"""Forecasts from densely measured learning curves, without an embedding space."""
