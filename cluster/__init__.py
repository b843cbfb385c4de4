"""Where work runs and where its results lie. No other package imports ray. This file does not
either."""
