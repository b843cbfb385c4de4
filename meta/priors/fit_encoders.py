"""How the prior of encoders (`meta.priors.encoders`) is fitted: a model of published accuracies by
encoder and task.

The model is: accuracy = level of the task + sensitivity of the task * (level of the encoder +
interaction). The sensitivity says how far a task tells encoders apart. The interaction says that an
encoder is better on one task than its level, and worse on another. The mean sensitivity is 1, so
levels are in units of accuracy on an average task. The level of an encoder is drawn towards a line
in the logarithm of its number of parameters. The fewer tasks it was measured on, the more it is
drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

N_ROUNDS = 40
"""Rounds of expectation and maximisation."""
SENSITIVITY_SD = 0.5
"""Standard deviation of the prior of sensitivities about 1. It matters for tasks with few
encoders."""
POOLED_ROWS = 5.0
"""The interaction variance of a task is a weighted mean. Its own value has the weight of its number
of encoders, and the value pooled over tasks has this weight."""


@dataclass(frozen=True)
class TwoWayFit:
    """The fitted levels of encoders and tasks. `fit_two_way` makes it."""

    encoders: pd.DataFrame
    """Index: encoder. Columns: `mean` and `sd` of its level (0 is the average encoder),
    `n_tasks`."""
    tasks: pd.DataFrame
    """Index: task. Columns: `level`, `sensitivity`, `interaction_sd` (in units of the encoders'
    levels), `n_encoders`."""
    intercept: float
    slope: float
    """With `intercept`: the line in log10(parameters) towards which levels are drawn. An unknown
    number of parameters counts as the average one."""
    mean_log_parameters: float
    """Mean of log10(parameters), at which the line has the value `intercept`."""
    population_sd: float
    """Standard deviation of levels about the line."""
    interaction_sd: float
    """Standard deviation of interactions on an average task."""


def fit_two_way(cells: pd.DataFrame, n_parameters: pd.Series) -> TwoWayFit:
    """Fit the model by expectation and maximisation.

    `cells` has one row for each measured pair, with the columns `encoder`, `task` and `accuracy` in
    [0, 1]. `n_parameters` (index: encoder) is NaN where unknown. Raises ValueError for a pair that
    is given twice, and for fewer than 3 encoders or tasks.
    """
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
    regressors = np.stack([np.ones(len(encoders)), logs], axis=1)
    for _ in range(N_ROUNDS):
        precision = 1 / population + of_encoder(1 / interaction[task])
        standardised = (accuracy - level[task]) / sensitivity[task]
        mean = (
            regressors @ line / population + of_encoder(standardised / interaction[task])
        ) / precision
        variance = 1 / precision
        line = np.linalg.solve(
            regressors.T @ regressors + np.diag([0.0, 1e-6]), regressors.T @ mean
        )
        mean, line[0] = mean - line[0], 0.0  # the levels' origin is the average encoder
        population = float(np.mean((mean - regressors @ line) ** 2 + variance))
        # the level and the sensitivity of each task, given the uncertain levels of the encoders;
        # the prior draws the sensitivity towards 1
        weight = interaction * sensitivity**2 / SENSITIVITY_SD**2
        centre_of_task = total(mean[encoder]) / n_encoders
        deviation = mean[encoder] - centre_of_task[task]
        square = total(deviation**2 + variance[encoder])
        sensitivity = (
            total(deviation * (accuracy - (total(accuracy) / n_encoders)[task])) + weight
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
        residual = (accuracy - level[task]) / sensitivity[task] - mean[encoder]
        squares = total(residual**2 + variance[encoder])
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
