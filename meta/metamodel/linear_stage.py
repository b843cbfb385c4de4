"""The linear stage of the metamodel: a ridge regression that predicts the error of the anchor from
several plain forecasts.

The metric is estimated in several ways: leave-one-out carried forward, power laws, confidences on
the evaluation rows, agreements of half-trained probes. Each estimate is wrong in its own way. As
long as there are few tasks, their linear combination (stacking; Wolpert 1992, Breiman 1996) is
better than trees on the same inputs. Its coefficients depend on the horizon and on n. There is one
ridge regression for each knot (octaves ahead, log2 n), in which near rows have more weight. Between
knots the coefficients are interpolated.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from meta.groups import group_weights

OCTAVE_KNOTS = (0.0, 1.0, 2.0, 3.0, 4.0)
"""Octaves ahead for which the parts of the metamodel are learnt. They are interpolated between
these knots, and constant beyond the last one."""
SIZE_KNOTS = (5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
"""Values of log2 n for which coefficients are learnt."""
SIZE_WIDTH, OCTAVE_WIDTH = 1.0, 0.5
"""The weight of a row for a knot is Gaussian in the distance; these are its standard deviations, in
octaves."""
MAX_DEVIATIONS = 4.0
"""Inputs are clipped to this many standard deviations from their mean."""


@dataclass(frozen=True)
class LinearStage:
    """A fitted linear stage with F inputs. `predict` returns a correction to add to the anchor."""

    names: tuple[str, ...]
    """The F names of the inputs."""
    centre: np.ndarray
    """(F,) means of the inputs; a missing input counts as its mean."""
    scale: np.ndarray
    """(F,) standard deviations of the inputs; infinite for an input that does not vary."""
    coefficients: np.ndarray
    """(len(OCTAVE_KNOTS), len(SIZE_KNOTS), F + 1), with the intercept last."""

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
        """Learn the errors of the anchor, truth less anchor, `error` (R,), from `inputs` (R, F).

        `octaves` and `log2_n` are (R,). All `groups` (R,) have the same weight. "No correction" has
        the weight of `penalty_tasks` groups.
        """
        weights = group_weights(groups)
        values = inputs.to_numpy(dtype=np.float64)
        known = np.where(np.isfinite(values), weights[:, None], 0.0)
        filled = np.where(np.isfinite(values), values, 0.0)
        centre = (known * filled).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        spread = np.sqrt(
            (known * (filled - centre) ** 2).sum(axis=0) / np.maximum(known.sum(axis=0), 1e-12)
        )
        scale = np.where(spread > 1e-9, spread, np.inf)
        design = _design_matrix(values, centre, scale)
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
        """(R,) corrections to add to the anchor. They are interpolated between knots and constant
        beyond the outermost ones. 0 where the stage has no inputs."""
        if not self.names:
            return np.zeros(len(inputs))
        design = _design_matrix(
            inputs[list(self.names)].to_numpy(dtype=np.float64), self.centre, self.scale
        )
        found = np.zeros(len(design))
        for i, by_octave in enumerate(interpolation_weights(octaves, OCTAVE_KNOTS).T):
            for j, by_size in enumerate(interpolation_weights(log2_n, SIZE_KNOTS).T):
                found += by_octave * by_size * (design @ self.coefficients[i, j])
        return found

    def to_json(self) -> dict[str, Any]:
        """The stage as JSON types."""
        return {
            "names": list(self.names),
            "centre": self.centre.tolist(),
            "scale": [float(value) if np.isfinite(value) else None for value in self.scale],
            "coefficients": self.coefficients.tolist(),
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "LinearStage":
        """The stage that `to_json` has written. Raises ValueError, KeyError or TypeError for any
        other value."""
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


def _design_matrix(values: np.ndarray, centre: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """(R, F + 1) the standardised inputs, 0 where one is missing, and a last column of ones."""
    standardised = np.where(np.isfinite(values), (values - centre) / scale, 0.0)
    return np.column_stack(
        [np.clip(standardised, -MAX_DEVIATIONS, MAX_DEVIATIONS), np.ones(len(values))]
    )


def interpolation_weights(at: np.ndarray, knots: Sequence[float]) -> np.ndarray:
    """(R, len(knots)) weights of the `knots` in the linear interpolation at each of `at` (R,). A
    row sums to 1. Values beyond the outermost knots count as these."""
    return np.stack(
        [np.interp(at, knots, np.eye(len(knots))[i]) for i in range(len(knots))], axis=1
    )
