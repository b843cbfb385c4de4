"""Parametric learning curves: fits to the few points seen so far, and what each says of a larger n.

Everything is in losses (1 − metric for rates, the log-loss itself): laws that fall with n towards
an asymptote a >= 0. Fits are least squares over a grid of exponents with the linear parameters in
closed form and kept non-negative, so they cannot diverge, and thousands of curves are fitted at
once. Three points and three parameters leave nothing to average noise away: these are features and
baselines, the metamodel decides how far to believe them.
"""

import numpy as np

FORECASTS = ("last", "loo", "pow2", "pow3", "pow4", "octaves")
"""`last`: the last held-out point before n carried forward (two-fold); `loo`: leave-one-out at n
carried forward; `pow2`, `pow3`, `pow4`: power laws on all points; `octaves`: pow3 on the last two
octaves."""
EXPONENTS = np.geomspace(0.05, 2.0, 40)
OFFSETS = (0.0, 0.5, 2.0, 8.0)
"""pow4: d of (n + d)^-c in multiples of the smallest size."""
CHUNK_ROWS = 4096


def forecast(sizes: np.ndarray, losses: np.ndarray, horizons: np.ndarray) -> dict[str, np.ndarray]:
    """What each of `FORECASTS` says of the loss at `horizons` (R,), one a curve.

    `sizes`, `losses`: (R, P), ascending sizes, NaN where a curve lacks a point; the last point is n
    with its leave-one-out loss. Returns arrays (R,); a curve of one point is carried forward by
    every law.
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
    """Loss (R,) at `horizons` (R,) of the least-squares law a + b(n + d)^-c, with a = 0 where
    `asymptote` is False and d = 0 at the default `offsets`; a, b >= 0, c in `EXPONENTS`. `known`
    (R, P) says which points count."""
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
    weight = known.astype(np.float64)[:, None, :]  # (R, 1, P)
    unit = np.min(np.where(known, sizes, np.inf), axis=1)[:, None]  # sizes in units of the smallest
    points = np.where(known, sizes / unit, 1.0)
    loss = np.where(known, losses, 0.0)[:, None, :]
    best_error, best = np.full(len(sizes), np.inf), np.zeros(len(sizes))
    for offset in offsets:
        basis = (points[:, None, :] + offset) ** -EXPONENTS[None, :, None]  # (R, C, P)
        ahead = (np.asarray(horizons, dtype=np.float64)[:, None] / unit + offset) ** -EXPONENTS[
            None, :
        ]  # (R, C)
        count, sum_basis, sum_loss = (
            weight.sum(-1),
            (weight * basis).sum(-1),
            (weight * loss).sum(-1),
        )
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
            flat, rooted = slope <= 0, level < 0  # on the border of a, b >= 0
            level = np.where(flat, np.maximum(sum_loss / count, 0.0), np.where(rooted, 0.0, level))
            slope = np.where(flat, 0.0, np.where(rooted, slope_only, slope))
        error = (weight * (level[..., None] + slope[..., None] * basis - loss) ** 2).sum(
            -1
        )  # (R, C)
        chosen = error.argmin(axis=1)
        rows = np.arange(len(sizes))
        better = error[rows, chosen] < best_error - 1e-15
        best_error = np.where(better, error[rows, chosen], best_error)
        best = np.where(
            better, level[rows, chosen] + slope[rows, chosen] * ahead[rows, chosen], best
        )
    alone = known.sum(axis=1) < 2
    return np.where(alone, losses[:, -1], best)
