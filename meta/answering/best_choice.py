"""The best choice of a space at every size: the one curve from which questions 1 and 2 are
answered.

The space with the best median may change as labels are added. The answers speak of the best choice
at each size, so that they never contradict each other: what question 1 needs to reach a target is
what question 2 forecasts there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from meta.metric import HALF_A_POINT, MEDIAN, Metric

SWITCH_GAIN = HALF_A_POINT / 2
"""The choice goes over to another space where its median is better by more than this: where two
spaces are as good, the answers keep speaking of one."""


@dataclass(frozen=True)
class BestChoice:
    """The best choice of a space at each of H sizes, and its forecast there."""

    positions: tuple[int, ...]
    """(H,) the position of the space that is chosen at each size."""
    curve: np.ndarray
    """(H, 5) quantiles of the metric of the chosen space. No quantile gets worse with the size."""

    def at(self, sizes: np.ndarray, n_train: float) -> int:
        """The position of the space that is chosen at the first of `sizes` (H,) that is not below
        `n_train`, or at the last one."""
        return self.positions[min(int(np.searchsorted(sizes, n_train)), len(self.positions) - 1)]


def best_choice(
    curves: Mapping[int, np.ndarray], among: Iterable[int], metric: Metric
) -> BestChoice:
    """The best choice among the spaces at the positions `among`, whose `curves` are (H, 5): first
    the space with the best median. It is kept until another one is better by more than
    `SWITCH_GAIN`. Raises ValueError for no space."""
    order = list(among)
    if not order:
        raise ValueError("no space with a forecast to choose from")
    chosen: list[int] = []
    rows = []
    for at in range(len(curves[order[0]])):
        medians = {i: metric.sign * float(curves[i][at, MEDIAN]) for i in order}
        best = max(order, key=lambda i: medians[i])
        if chosen and medians[best] <= medians[chosen[-1]] + SWITCH_GAIN:
            best = chosen[-1]
        chosen.append(best)
        rows.append(curves[best][at])
    never_worse = np.maximum.accumulate if metric.is_rate else np.minimum.accumulate
    return BestChoice(tuple(chosen), never_worse(np.stack(rows), axis=0))
