"""The metamodel: its observations, how it is fitted, calibrated, evaluated and stored."""
