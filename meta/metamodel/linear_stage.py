"""The linear stage of the metamodel: a ridge regression on what several plain forecasts say beyond
the anchor.

A carried-forward accuracy, power laws, confidences on the evaluation rows and agreements of
half-trained probes are estimates of one number, each wrong in its own way; their linear combination
(stacking; Wolpert 1992, Breiman 1996) is worth more than trees on the same inputs while tasks are
few. Its coefficients change with the horizon and with n: one ridge per knot of (octaves ahead, log2
n), rows counting by their nearness, linear between knots.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from meta.groups import group_weights

OCTAVE_KNOTS = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Octaves ahead at which the metamodel's parts are learnt; linear between them, constant beyond."""
SIZE_KNOTS = (5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
"""log2 n"""
SIZE_WIDTH, OCTAVE_WIDTH = 1.0, 0.5
"""Standard deviations, in octaves, of how far a row counts for a knot."""
MAX_DEVIATIONS = 4.0
"""Inputs further from their mean than so many standard deviations count as so many."""


@dataclass(frozen=True)
class LinearStage:
    """A fitted linear stage: `predict` is what to add to the anchor."""

    names: tuple[str, ...]
    centre: np.ndarray
    """(F,) what a missing input counts as."""
    scale: np.ndarray
    coefficients: np.ndarray
    """(len(OCTAVE_KNOTS), len(SIZE_KNOTS), F + 1), the intercept last."""

    @classmethod
    def fit(
        cls,
        inputs: pd.DataFrame,
        octaves: np.ndarray,
        log2_n: np.ndarray,
        error: np.ndarray,
        groups: np.ndarray,
        *,
        penalty_tasks: float = 4.0,
    ) -> "LinearStage":
        """Learn what the anchor misses, `error` (R,), from `inputs` (R, F); rows of one of `groups`
        (R,) count together as much as those of any other, "no correction" as much as
        `penalty_tasks` of them."""
        weights = group_weights(groups)
        values = inputs.to_numpy(dtype=np.float64)
        known = np.where(np.isfinite(values), weights[:, None], 0.0)
        filled = np.where(np.isfinite(values), values, 0.0)
        centre = (known * filled).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        spread = np.sqrt(
            (known * (filled - centre) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        )
        scale = np.where(spread > 1e-9, spread, np.inf)  # what never varies says nothing
        design = _design(values, centre, scale)
        penalty = np.full(design.shape[1], penalty_tasks / len(np.unique(groups)))
        coefficients = np.zeros((len(OCTAVE_KNOTS), len(SIZE_KNOTS), design.shape[1]))
        for i, octave in enumerate(OCTAVE_KNOTS):
            ahead = np.exp(-0.5 * ((octaves - octave) / OCTAVE_WIDTH) ** 2)
            for j, size in enumerate(SIZE_KNOTS):
                near = weights * (ahead * np.exp(-0.5 * ((log2_n - size) / SIZE_WIDTH) ** 2) + 1e-6)
                near = near / near.sum()
                gram = (design * near[:, None]).T @ design
                coefficients[i, j] = np.linalg.solve(
                    gram + np.diag(penalty), design.T @ (near * error)
                )
        return cls(tuple(inputs.columns), centre, scale, coefficients)

    def predict(self, inputs: pd.DataFrame, octaves: np.ndarray, log2_n: np.ndarray) -> np.ndarray:
        """(R,) corrections; between knots linear, beyond the outermost as there; 0 without
        inputs."""
        if not self.names:
            return np.zeros(len(inputs))
        design = _design(
            inputs[list(self.names)].to_numpy(dtype=np.float64), self.centre, self.scale
        )
        found = np.zeros(len(design))
        for i, by_octave in enumerate(interpolation_weights(octaves, OCTAVE_KNOTS).T):
            for j, by_size in enumerate(interpolation_weights(log2_n, SIZE_KNOTS).T):
                found += by_octave * by_size * (design @ self.coefficients[i, j])
        return found

    def to_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "centre": self.centre.tolist(),
            "scale": [float(value) if np.isfinite(value) else None for value in self.scale],
            "coefficients": self.coefficients.tolist(),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "LinearStage":
        """Raises ValueError, KeyError or TypeError for what `to_json` would not have written."""
        names = tuple(stored["names"])
        centre = np.array(stored["centre"], dtype=np.float64)
        scale = np.array(
            [np.inf if value is None else value for value in stored["scale"]], dtype=np.float64
        )
        coefficients = np.array(stored["coefficients"], dtype=np.float64)
        shape = (len(OCTAVE_KNOTS), len(SIZE_KNOTS), len(names) + 1)
        if (
            centre.shape != (len(names),)
            or scale.shape != (len(names),)
            or coefficients.shape != shape
        ):
            raise ValueError(
                f"stack: coefficients of shape {coefficients.shape}, {shape} are needed"
            )
        if not (
            np.isfinite(centre).all() and np.isfinite(coefficients).all() and (scale > 0).all()
        ):
            raise ValueError("stack: must be finite numbers")
        return cls(names, centre, scale, coefficients)


def _design(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(R, F + 1) standardised inputs, 0 where missing, and the intercept."""
    standardised = np.where(np.isfinite(values), (values - centre) / scale, 0.0)
    return np.column_stack(
        [np.clip(standardised, -MAX_DEVIATIONS, MAX_DEVIATIONS), np.ones(len(values))]
    )


def interpolation_weights(at: np.ndarray, knots: Sequence[float]) -> np.ndarray:
    """(R, knots) weights of linear interpolation between `knots` at each of `at` (R,), rows sum to
    1."""
    return np.stack(
        [np.interp(at, knots, np.eye(len(knots))[i]) for i in range(len(knots))], axis=1
    )
