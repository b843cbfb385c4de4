"""What is learnt of held-out forecasts near a horizon, a size and a shift: how far the learnt
stages are believed, and how far their intervals are stretched. Between knots linear, beyond the
outermost as there."""

import numpy as np

from meta.metamodel.conformal import calibration_factors
from meta.metamodel.linear_stage import OCTAVE_KNOTS, interpolation_weights

TRUST_LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
SIZE_KNOTS = (6.0, 9.0)
"""log2 n at which, with each of OCTAVE_KNOTS, intervals are calibrated; linear between."""
SHIFT_KNOTS = (0.5, 0.75)
"""Area under the curve of the classifier that tells labelled from evaluation rows, of which the
same holds: where it can, the truth is further from any forecast than where it cannot, and one width
for both is too wide here and too narrow there."""
KNOTS_SHAPE = (len(OCTAVE_KNOTS), len(SIZE_KNOTS), len(SHIFT_KNOTS))
MIN_GROUPS_NEAR = 12
"""A knot with rows of fewer families is calibrated on all rows."""


def local_factors(
    quantiles: np.ndarray,
    truth: np.ndarray,
    names: np.ndarray,
    octaves: np.ndarray,
    log2_n: np.ndarray,
    shift: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """(stretch at every knot, one-sided levels (5,) that are guaranteed at all of them): errors of
    small samples, of far horizons and of shifted rows are not those of others in other units."""
    overall, guaranteed = calibration_factors(quantiles, truth, names)
    factors = np.tile(overall, (*KNOTS_SHAPE, 1))
    of_size, of_shift = (
        interpolation_weights(log2_n, SIZE_KNOTS),
        interpolation_weights(shift, SHIFT_KNOTS),
    )
    for i, j, k in np.ndindex(*KNOTS_SHAPE):
        near = nearness(octaves, OCTAVE_KNOTS[i]) * of_size[:, j] * of_shift[:, k]
        if len(np.unique(names[near > 0])) >= MIN_GROUPS_NEAR:
            factors[i, j, k], here = calibration_factors(quantiles, truth, names, near)
            guaranteed = np.minimum(guaranteed, here)
    return factors, guaranteed


def interpolate_factors(
    factors: np.ndarray, octaves: np.ndarray, log2_n: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    """(R, 5) stretch of each row."""
    places = (
        interpolation_weights(octaves, OCTAVE_KNOTS),
        interpolation_weights(log2_n, SIZE_KNOTS),
        interpolation_weights(shift, SHIFT_KNOTS),
    )
    return np.einsum("ro,rs,rh,oshq->rq", *places, factors)


def nearness(octaves: np.ndarray, knot: float) -> np.ndarray:
    """(R,) 1 at the knot, falling to 0 at 1.5 octaves from it."""
    return np.maximum(1 - np.abs(octaves - knot) / 1.5, 0.0)


def interpolate_octaves(at_knots: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """(R, 5) values given at OCTAVE_KNOTS, (len(OCTAVE_KNOTS), 5), interpolated; constant beyond
    the last."""
    return interpolation_weights(octaves, OCTAVE_KNOTS) @ at_knots


def choose_trust(
    error_trees: np.ndarray, error_spread: np.ndarray, octaves: np.ndarray, names: np.ndarray
) -> np.ndarray:
    """(len(OCTAVE_KNOTS),) trust near each knot: the most for which the held-out median errs less
    than without the trees by more than half a standard error over tasks, 0 where none does.

    `error_trees`, `error_spread` (R,): signed errors of the two medians, family left out; a blend's
    is their blend.
    """
    _, index = np.unique(names, return_inverse=True)
    trust = []
    for knot in OCTAVE_KNOTS:
        near = nearness(octaves, knot)
        mass = np.bincount(index, near)
        known = mass > 0
        best_share, best_gain = 0.0, 0.0
        for share in TRUST_LEVELS:
            gain = np.abs(error_spread) - np.abs(share * error_trees + (1 - share) * error_spread)
            of_task = np.bincount(index, near * gain)[known] / mass[known]
            careful = (
                of_task.mean() - 0.5 * of_task.std(ddof=1) / np.sqrt(len(of_task))
                if len(of_task) > 1
                else 0.0
            )
            if careful > best_gain:
                best_share, best_gain = share, careful
        trust.append(best_share)
    return np.array(trust)
