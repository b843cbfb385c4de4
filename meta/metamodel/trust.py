"""How far the learnt stages are believed, and how far intervals are stretched.

Both are learnt from forecasts of tasks that were left out. The trust depends on the horizon. The
stretch depends on the horizon, on the size, and on the shift between labelled and evaluation rows.
Both are learnt at knots, interpolated between them, and constant beyond the outermost ones.
"""

import numpy as np

from meta.metamodel.conformal import calibration_factors
from meta.metamodel.linear_stage import OCTAVE_KNOTS, interpolation_weights

TRUST_LEVELS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2)
"""The values of trust that are tried."""
SIZE_KNOTS = (6.0, 9.0)
"""Values of log2 n at which intervals are calibrated."""
SHIFT_KNOTS = (0.5, 0.75)
"""Values of the shift at which intervals are calibrated. The shift is the area under the curve of a
classifier that tells labelled from evaluation rows. Where that is possible, the truth is further
from any forecast than where it is not, so one width does not fit both cases."""
KNOTS_SHAPE = (len(OCTAVE_KNOTS), len(SIZE_KNOTS), len(SHIFT_KNOTS))
"""Numbers of knots of the horizon, the size and the shift."""
MIN_GROUPS_NEAR = 12
"""A knot that has rows of fewer groups near it is calibrated on all rows."""


def local_factors(
    quantiles: np.ndarray,
    truth: np.ndarray,
    names: np.ndarray,
    octaves: np.ndarray,
    log2_n: np.ndarray,
    shift: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The factors (*KNOTS_SHAPE, 5) by which `quantiles` (R, 5) must be stretched near each knot,
    and the one-sided levels (5,) that are guaranteed at all knots.

    `truth`, the groups `names`, `octaves`, `log2_n` and `shift` are (R,). There is not one factor
    for all rows, because small samples, far horizons and shifted rows have errors of another
    distribution.
    """
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
    """(R, 5) the factors for R rows, interpolated between the knots of `factors` (*KNOTS_SHAPE,
    5)."""
    places = (
        interpolation_weights(octaves, OCTAVE_KNOTS),
        interpolation_weights(log2_n, SIZE_KNOTS),
        interpolation_weights(shift, SHIFT_KNOTS),
    )
    return np.einsum("ro,rs,rh,oshq->rq", *places, factors)


def nearness(octaves: np.ndarray, knot: float) -> np.ndarray:
    """(R,) weights of rows for a knot: 1 at the knot, falling linearly to 0 at 1.5 octaves from
    it."""
    return np.maximum(1 - np.abs(octaves - knot) / 1.5, 0.0)


def interpolate_octaves(at_knots: np.ndarray, octaves: np.ndarray) -> np.ndarray:
    """(R, 5) the values `at_knots` (len(OCTAVE_KNOTS), 5), interpolated at `octaves` (R,). They are
    constant beyond the last knot."""
    return interpolation_weights(octaves, OCTAVE_KNOTS) @ at_knots


def choose_trust(
    error_trees: np.ndarray, error_spread: np.ndarray, octaves: np.ndarray, names: np.ndarray
) -> np.ndarray:
    """(len(OCTAVE_KNOTS),) the trust near each knot.

    It is the value of TRUST_LEVELS that lowers the absolute error of the held-out median most,
    compared with trust 0. The gain is the mean over groups less half its standard error. Where no
    gain is positive, the trust is 0. `error_trees` and `error_spread` (R,) are the signed errors of
    the medians by the learnt stages and by the spread; the error of a blend is the blend of the
    errors. `octaves` and the groups `names` are (R,).
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
            by_group = np.bincount(index, near * gain)[known] / mass[known]
            cautious_gain = (
                by_group.mean() - 0.5 * by_group.std(ddof=1) / np.sqrt(len(by_group))
                if len(by_group) > 1
                else 0.0
            )
            if cautious_gain > best_gain:
                best_share, best_gain = share, cautious_gain
        trust.append(best_share)
    return np.array(trust)
