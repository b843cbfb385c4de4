"""The metamodel: what it learns from, how it is learnt, calibrated, evaluated, stored."""
