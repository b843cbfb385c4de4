"""Power laws: learning curves that are fitted to the few points seen so far, and their forecasts
for a larger n.

All values are losses: 1 − metric for rates, the log-loss itself. A law falls with n towards an
asymptote a >= 0. Fits are least squares over a grid of exponents. The linear parameters have a
closed form and are kept non-negative, so a fit cannot diverge, and thousands of curves are fitted
at once. With four points and up to three parameters hardly any noise is averaged away. So these
forecasts are only features and baselines, and the metamodel decides how far to believe them.
"""

import numpy as np

FORECASTS = ("last", "loo", "pow2", "pow3", "pow4", "octaves")
"""`last` carries the last held-out point before n (n/2) forward. `loo` carries leave-one-out at n
forward. `pow2`, `pow3` and `pow4` are power laws on all points. `octaves` is pow3 on the last two
octaves."""
EXPONENTS = np.geomspace(0.05, 2.0, 40)
"""The grid of exponents c."""
OFFSETS = (0.0, 0.5, 2.0, 8.0)
"""The grid of the offsets d of pow4, in multiples of the smallest size."""
CHUNK_ROWS = 4096
"""This many curves are fitted at once, to save memory."""


def forecast(sizes: np.ndarray, losses: np.ndarray, horizons: np.ndarray) -> dict[str, np.ndarray]:
    """Name -> (R,): for each of `FORECASTS`, the loss of R curves at `horizons` (R,), one horizon
    for each curve.

    `sizes` and `losses` are (R, P). Sizes ascend, and are NaN where a curve lacks a point. The last
    point is n with its leave-one-out loss; raises ValueError where it is missing. Of a curve with
    one point every law forecasts the loss at this point.
    """
    sizes, losses = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    known = np.isfinite(sizes) & np.isfinite(losses)
    if not known[:, -1].all():
        raise ValueError("every curve needs its last point, the leave-one-out loss at n")
    before = np.where(known[:, :-1], losses[:, :-1], -np.inf)
    last = losses[:, -1].copy()
    for column in range(before.shape[1]):  # the rightmost known point before n wins
        last = np.where(np.isfinite(before[:, column]), before[:, column], last)
    n_train = sizes[:, -1:]
    recent = known & (np.where(known, sizes, 0.0) >= n_train / 4 * 0.999)
    return {
        "last": last,
        "loo": losses[:, -1].copy(),
        "pow2": power_law(sizes, losses, known, horizons, asymptote=False),
        "pow3": power_law(sizes, losses, known, horizons),
        "pow4": power_law(sizes, losses, known, horizons, offsets=OFFSETS),
        "octaves": power_law(sizes, losses, recent, horizons),
    }


def power_law(
    sizes: np.ndarray,
    losses: np.ndarray,
    known: np.ndarray,
    horizons: np.ndarray,
    *,
    asymptote: bool = True,
    offsets: tuple[float, ...] = (0.0,),
) -> np.ndarray:
    """Loss (R,) at `horizons` (R,) by the least-squares law a + b(n + d)^-c with a, b >= 0, c in
    `EXPONENTS` and d in `offsets` (multiples of the smallest size).

    Without `asymptote`, a is 0. `known` (R, P) bool says which points count.
    """
    predicted = np.empty(len(sizes))
    for start in range(0, len(sizes), CHUNK_ROWS):
        rows = slice(start, start + CHUNK_ROWS)
        predicted[rows] = _power_law_chunk(
            sizes[rows],
            losses[rows],
            known[rows],
            horizons[rows],
            asymptote=asymptote,
            offsets=offsets,
        )
    return predicted


def _power_law_chunk(
    sizes: np.ndarray,
    losses: np.ndarray,
    known: np.ndarray,
    horizons: np.ndarray,
    *,
    asymptote: bool,
    offsets: tuple[float, ...],
) -> np.ndarray:
    """As `power_law`, for all rows at once."""
    weight = known.astype(np.float64)[:, None, :]  # (R, 1, P)
    unit = np.min(np.where(known, sizes, np.inf), axis=1)[:, None]  # sizes in units of the smallest
    points = np.where(known, sizes / unit, 1.0)
    loss = np.where(known, losses, 0.0)[:, None, :]
    best_error, best = np.full(len(sizes), np.inf), np.zeros(len(sizes))
    for offset in offsets:
        basis = (points[:, None, :] + offset) ** -EXPONENTS[None, :, None]  # (R, C, P)
        units_ahead = np.asarray(horizons, dtype=np.float64)[:, None] / unit
        ahead = (units_ahead + offset) ** -EXPONENTS[None, :]  # (R, C)
        count = weight.sum(-1)
        sum_basis, sum_loss = (weight * basis).sum(-1), (weight * loss).sum(-1)
        square, product = (weight * basis**2).sum(-1), (weight * basis * loss).sum(-1)
        slope_only = np.maximum(product / square, 0.0)
        slope, level = slope_only, np.zeros_like(slope_only)
        if asymptote:
            determinant = count * square - sum_basis**2
            several = determinant > 1e-12 * count * square
            slope = np.where(
                several,
                (count * product - sum_basis * sum_loss) / np.where(several, determinant, 1.0),
                0.0,
            )
            level = (sum_loss - slope * sum_basis) / count
            # where a bound is violated, the least-squares solution lies on it
            is_flat, is_below_zero = slope <= 0, level < 0
            level = np.where(
                is_flat, np.maximum(sum_loss / count, 0.0), np.where(is_below_zero, 0.0, level)
            )
            slope = np.where(is_flat, 0.0, np.where(is_below_zero, slope_only, slope))
        residual = level[..., None] + slope[..., None] * basis - loss  # (R, C, P)
        error = (weight * residual**2).sum(-1)  # (R, C)
        chosen = error.argmin(axis=1)
        rows = np.arange(len(sizes))
        better = error[rows, chosen] < best_error - 1e-15
        best_error = np.where(better, error[rows, chosen], best_error)
        best = np.where(
            better, level[rows, chosen] + slope[rows, chosen] * ahead[rows, chosen], best
        )
    is_single = known.sum(axis=1) < 2
    return np.where(is_single, losses[:, -1], best)
