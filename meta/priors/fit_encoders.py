"""How good encoders are in general: a two-way model of published accuracies, encoder by task, with
what it leaves uncertain.

accuracy = task's level + task's sensitivity * (encoder's level + interaction): tasks differ in how
far they tell encoders apart, and an encoder is better on one task than its level says and worse on
the next. Sensitivities average 1, so levels are in accuracy on an average task. An encoder's level
is drawn towards a line in the logarithm of its parameters, the more the fewer tasks it was measured
on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

N_ROUNDS = 40
SENSITIVITY_SD = 0.5
"""Spread of sensitivities around 1 that a task with few encoders is drawn to."""
POOLED_ROWS = 5.0
"""A task's own interaction variance counts for its encoders, the pooled one for so many."""


@dataclass(frozen=True)
class TwoWayFit:
    """Levels of encoders and tasks; made by `fit_two_way`."""

    encoders: pd.DataFrame
    """Index encoder: `mean`, `sd` of its level (0 is the average encoder), `n_tasks`."""
    tasks: pd.DataFrame
    """Index task: `level`, `sensitivity`, `interaction_sd` in units of the encoders' levels,
    `n_encoders`."""
    intercept: float
    slope: float
    """The line in log10(parameters) that levels are drawn to; parameters unknown: at the
    average."""
    mean_log_parameters: float
    population_sd: float
    """Spread of levels about the line."""
    interaction_sd: float
    """Of an encoder on a task about its level, on an average task."""


def fit_two_way(cells: pd.DataFrame, n_parameters: pd.Series) -> TwoWayFit:
    """Fit by expectation and maximisation. `cells` has a row for each measured pair: `encoder`,
    `task`, `accuracy` in [0, 1]; `n_parameters` (index encoder) may hold NaN. Raises ValueError for
    a pair given twice or fewer than 3 encoders or tasks."""
    if cells.duplicated(["encoder", "task"]).any():
        raise ValueError("an encoder is measured twice on one task: average before")
    encoder, encoders = pd.factorize(cells["encoder"], sort=True)
    task, tasks = pd.factorize(cells["task"], sort=True)
    if min(len(encoders), len(tasks)) < 3:
        raise ValueError(f"3 encoders and 3 tasks are needed, got {len(encoders)} and {len(tasks)}")
    accuracy = cells["accuracy"].to_numpy(dtype=np.float64)
    logs = np.log10(n_parameters.reindex(encoders).to_numpy(dtype=np.float64))
    centre = float(np.nanmean(logs)) if np.isfinite(logs).any() else 0.0
    logs = np.where(np.isfinite(logs), logs - centre, 0.0)
    n_encoders, n_tasks = np.bincount(task), np.bincount(encoder)
    total = _sum_by(task, len(tasks))
    of_encoder = _sum_by(encoder, len(encoders))

    level = total(accuracy) / n_encoders
    sensitivity = np.ones(len(tasks))
    interaction = np.full(len(tasks), 0.05**2)
    line, population = np.zeros(2), 0.1**2
    design = np.stack([np.ones(len(encoders)), logs], axis=1)
    for _ in range(N_ROUNDS):
        precision = 1 / population + of_encoder(1 / interaction[task])
        standardised = (accuracy - level[task]) / sensitivity[task]
        mean = (
            design @ line / population + of_encoder(standardised / interaction[task])
        ) / precision
        variance = 1 / precision
        line = np.linalg.solve(design.T @ design + np.diag([0.0, 1e-6]), design.T @ mean)
        mean, line[0] = mean - line[0], 0.0  # the levels' origin is the average encoder
        population = float(np.mean((mean - design @ line) ** 2 + variance))
        # a task's level and sensitivity given the encoders' uncertain levels; sensitivity drawn
        # towards 1
        weight = interaction * sensitivity**2 / SENSITIVITY_SD**2
        centre_of_task = total(mean[encoder]) / n_encoders
        apart = mean[encoder] - centre_of_task[task]
        square = total(apart**2 + variance[encoder])
        sensitivity = (
            total(apart * (accuracy - (total(accuracy) / n_encoders)[task])) + weight
        ) / (square + weight)
        scale = sensitivity.mean()
        sensitivity = np.maximum(sensitivity / scale, 0.05)
        mean, variance, population, line = (
            mean * scale,
            variance * scale**2,
            population * scale**2,
            line * scale,
        )
        level = total(accuracy - sensitivity[task] * mean[encoder]) / n_encoders
        left = (accuracy - level[task]) / sensitivity[task] - mean[encoder]
        squares = total(left**2 + variance[encoder])
        pooled = float(np.median(squares / n_encoders))
        interaction = (squares + POOLED_ROWS * pooled) / (n_encoders + POOLED_ROWS)
    return TwoWayFit(
        pd.DataFrame(
            {"mean": mean, "sd": np.sqrt(variance), "n_tasks": n_tasks},
            index=pd.Index(encoders, name="encoder"),
        ),
        pd.DataFrame(
            {
                "level": level,
                "sensitivity": sensitivity,
                "interaction_sd": np.sqrt(interaction),
                "n_encoders": n_encoders,
            },
            index=pd.Index(tasks, name="task"),
        ),
        intercept=float(line[0]),
        slope=float(line[1]),
        mean_log_parameters=centre,
        population_sd=float(np.sqrt(population)),
        interaction_sd=float(np.sqrt(pooled)),
    )


def _sum_by(index: np.ndarray, length: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that sums values (n,) by `index` (n,), which is below `length`; (length,)."""
    return lambda values: np.bincount(index, weights=values, minlength=length)
