"""Curves, quantile metamodel, calibration, evaluation, the six answers, search, report. No Ray."""
