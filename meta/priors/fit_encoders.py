"""How the prior of encoders (`meta.priors.encoders`) is fitted: a model of published accuracies by
encoder and task.

The model is

    accuracy = level of the task + sensitivity of the task * (level of the encoder on tasks of this
    kind and family + interaction).

The sensitivity says how far a task tells encoders apart. The mean sensitivity is 1, so levels are
in units of accuracy on an average task. The level of an encoder is a sum of Gaussian parts: a line
in the logarithm of its number of parameters, a part for its publisher, and a part of its own. Each
of the last two has a constant share, a share for each kind of task (sentiment, intent, ...), and a
share for each family of tasks. So an encoder that was trained on data like that of one family is
not believed to be as good on others, and encoders of one publisher, which were trained on the same
data, teach something about each other. The interaction says that an encoder is better on one task
than all that, and worse on another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg.lapack import dpotrf, dpotri

from meta.priors.encoders import OTHER_KIND

N_ROUNDS = 8
"""Rounds in which the encoders' and the tasks' parts are fitted in turn. More rounds move no mean
by 0.1 points."""
SENSITIVITY_SD = 0.5
"""Standard deviation of the prior of sensitivities about 1. It matters for tasks with few
encoders."""
POOLED_ROWS = 5.0
"""The interaction variance of a task is a weighted mean. Its own value has the weight of its number
of encoders, and the value pooled over tasks has this weight."""


@dataclass(frozen=True)
class PartSds:
    """Standard deviations of the parts of an encoder's level, in units of accuracy. Of four sets
    near the highest marginal likelihood, the defaults have the best Brier score of what is said of
    untried encoders on held-out tasks (`benchmarks.mteb`)."""

    publisher: float = 0.06
    encoder: float = 0.04
    publisher_kind: float = 0.03
    encoder_kind: float = 0.03
    publisher_family: float = 0.015
    encoder_family: float = 0.0075

    @property
    def level(self) -> float:
        """Standard deviation about the line of the level of an encoder of an unknown publisher, on
        a task of an unknown kind and family."""
        return float(
            np.sqrt(
                self.publisher**2
                + self.encoder**2
                + self.publisher_kind**2
                + self.encoder_kind**2
                + self.publisher_family**2
                + self.encoder_family**2
            )
        )


@dataclass(frozen=True)
class LevelFit:
    """The fitted levels of encoders and tasks. `fit_levels` makes it."""

    mean: pd.DataFrame
    """Levels. Index: encoder. Columns: the kinds, and `OTHER_KIND` for a task that is of none of
    them. They are for a task of a new family. 0 is about the average encoder."""
    sd: pd.DataFrame
    """Their standard deviations."""
    n_tasks: pd.Series
    """Number of tasks by encoder."""
    tasks: pd.DataFrame
    """Index: task. Columns: `kind`, `family`, `level` (accuracy of the average encoder),
    `sensitivity`, `interaction_sd` (in units of the encoders' levels), `n_encoders`."""
    slope: float
    """Rise of the level with log10 of the number of parameters."""
    mean_log_parameters: float
    """Mean of log10(parameters), at which the line has the value 0. An unknown number counts as
    this mean."""
    sds: PartSds


def publisher_of(encoder: str) -> str:
    """Who published an encoder: the first part of its hub name."""
    return encoder.partition("/")[0].lower()


def fit_levels(
    cells: pd.DataFrame,
    kinds: Mapping[str, str],
    families: Mapping[str, str],
    n_parameters: pd.Series,
    sds: PartSds | None = None,
) -> LevelFit:
    """Fit the model.

    `cells` has one row for each measured pair, with the columns `encoder`, `task` and `accuracy` in
    [0, 1]. `kinds` and `families` are those of each task; a task of `OTHER_KIND` is of no kind.
    `n_parameters` (index: encoder) is NaN where unknown. Raises ValueError for a pair that is given
    twice, and for fewer than 3 encoders or tasks.
    """
    if cells.duplicated(["encoder", "task"]).any():
        raise ValueError("an encoder is measured twice on one task: average before")
    sds = sds or PartSds()
    encoder, encoders = pd.factorize(cells["encoder"], sort=True)
    task, tasks = pd.factorize(cells["task"], sort=True)
    if min(len(encoders), len(tasks)) < 3:
        raise ValueError(f"3 encoders and 3 tasks are needed, got {len(encoders)} and {len(tasks)}")
    accuracy = cells["accuracy"].to_numpy(dtype=np.float64)
    sizes = np.log10(n_parameters.reindex(encoders).to_numpy(dtype=np.float64))
    centre = float(np.nanmean(sizes)) if np.isfinite(sizes).any() else 0.0
    sizes = np.where(np.isfinite(sizes), sizes - centre, 0.0)
    kind_of_task = np.array([kinds[name] for name in tasks])
    family_of_task = np.array([families[name] for name in tasks])
    n_encoders = np.bincount(task)
    total = _sum_by(task, len(tasks))
    publishers = pd.factorize(np.array([publisher_of(name) for name in encoders]))[0]
    # levels of encoders of different publishers are independent once the line is known
    blocks = [
        _Block.of(rows, encoder[rows], kind_of_task[task[rows]], family_of_task[task[rows]], sds)
        for rows in (np.flatnonzero(publishers[encoder] == p) for p in range(publishers.max() + 1))
    ]

    task_level = total(accuracy) / n_encoders
    sensitivity = np.ones(len(tasks))
    interaction = np.full(len(tasks), 0.05**2)
    slope = 0.0
    mean, variance = np.zeros(len(accuracy)), np.zeros(len(accuracy))
    for _ in range(N_ROUNDS):
        standardised = (accuracy - task_level[task]) / sensitivity[task]
        noise = interaction[task]
        top = bottom = 0.0
        for block in blocks:
            rows, size = block.rows, sizes[encoder[block.rows]]
            own = noise[rows]
            inverse = _inverse(block.covariance + np.diag(own))
            # the posterior in terms of the noise, which spares products of matrices
            mean[rows] = standardised[rows] - own * (inverse @ (standardised[rows] - slope * size))
            variance[rows] = own - own**2 * np.diag(inverse)
            top += size @ inverse @ standardised[rows]
            bottom += size @ inverse @ size
        slope = float(top / bottom) if bottom > 0 else 0.0
        # the level and the sensitivity of each task, given the uncertain levels of the encoders;
        # the prior draws the sensitivity towards 1
        weight = interaction * sensitivity**2 / SENSITIVITY_SD**2
        deviation = mean - (total(mean) / n_encoders)[task]
        square = total(deviation**2 + variance)
        sensitivity = (
            total(deviation * (accuracy - (total(accuracy) / n_encoders)[task])) + weight
        ) / (square + weight)
        sensitivity = np.maximum(sensitivity / sensitivity.mean(), 0.05)
        task_level = total(accuracy - sensitivity[task] * mean) / n_encoders
        residual = (accuracy - task_level[task]) / sensitivity[task] - mean
        squares = total(residual**2 + variance)
        pooled = float(np.median(squares / n_encoders))
        interaction = (squares + POOLED_ROWS * pooled) / (n_encoders + POOLED_ROWS)

    level, level_sd = _levels_on_new_tasks(
        blocks,
        [*sorted(set(kind_of_task) - {OTHER_KIND}), OTHER_KIND],
        pd.Series(slope * sizes, pd.Index(encoders, name="encoder")),
        (accuracy - task_level[task]) / sensitivity[task],
        interaction[task],
        sds,
    )
    return LevelFit(
        level,
        level_sd,
        pd.Series(np.bincount(encoder), index=level.index),
        pd.DataFrame(
            {
                "kind": kind_of_task,
                "family": family_of_task,
                "level": task_level,
                "sensitivity": sensitivity,
                "interaction_sd": np.sqrt(interaction),
                "n_encoders": n_encoders,
            },
            index=pd.Index(tasks, name="task"),
        ),
        slope=slope,
        mean_log_parameters=centre,
        sds=sds,
    )


@dataclass(frozen=True)
class _Block:
    """The cells of all encoders of one publisher."""

    rows: np.ndarray
    """(n,) positions of the cells."""
    encoder: np.ndarray
    """(n,)"""
    kind: np.ndarray
    """(n,) kinds of the tasks."""
    covariance: np.ndarray
    """(n, n) covariance of the encoders' levels on the cells' tasks, without interactions."""

    @classmethod
    def of(
        cls,
        rows: np.ndarray,
        encoder: np.ndarray,
        kind: np.ndarray,
        family: np.ndarray,
        sds: PartSds,
    ) -> "_Block":
        """The block of the cells `rows`; the other arrays (n,) are of these cells."""
        same_encoder = encoder[:, None] == encoder[None, :]
        same_family = family[:, None] == family[None, :]
        # two tasks of no kind have that part in common only where they are of one family
        same_kind = (kind[:, None] == kind[None, :]) & ((kind != OTHER_KIND)[:, None] | same_family)
        covariance = (
            sds.publisher**2
            + sds.encoder**2 * same_encoder
            + same_kind * (sds.publisher_kind**2 + sds.encoder_kind**2 * same_encoder)
            + same_family * (sds.publisher_family**2 + sds.encoder_family**2 * same_encoder)
        )
        return cls(rows, encoder, kind, covariance)

    def with_new_task(self, members: np.ndarray, kind: str, sds: PartSds) -> np.ndarray:
        """(m, n) covariances of the levels of the encoders `members` (m,), on a task of `kind` and
        of a new family, with those of the block's cells."""
        same_encoder = members[:, None] == self.encoder[None, :]
        same_kind = (self.kind == kind)[None, :] & (kind != OTHER_KIND)
        return (
            sds.publisher**2
            + sds.encoder**2 * same_encoder
            + same_kind * (sds.publisher_kind**2 + sds.encoder_kind**2 * same_encoder)
        )


def _levels_on_new_tasks(
    blocks: list[_Block],
    kinds: list[str],
    line: pd.Series,
    standardised: np.ndarray,
    noise: np.ndarray,
    sds: PartSds,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(mean, standard deviation) of the level of each encoder on a task of each of `kinds` and of a
    new family. `line` is the level that follows from the size (index: encoder), `standardised` (n,)
    are the cells in units of levels, `noise` (n,) are the variances of their interactions."""
    mean = pd.DataFrame(0.0, index=line.index, columns=kinds)
    sd = mean.copy()
    for block in blocks:
        rows, members = block.rows, np.unique(block.encoder)
        inverse = _inverse(block.covariance + np.diag(noise[rows]))
        above = standardised[rows] - line.to_numpy()[block.encoder]
        for place, kind in enumerate(kinds):
            cross = block.with_new_task(members, kind, sds)
            mean.iloc[members, place] = line.to_numpy()[members] + cross @ inverse @ above
            explained = ((cross @ inverse) * cross).sum(axis=1)
            sd.iloc[members, place] = np.sqrt(sds.level**2 - explained)
    return mean, sd


def _inverse(covariance: np.ndarray) -> np.ndarray:
    """The inverse of a positive definite matrix, by Cholesky's decomposition: a fourth of the work
    of a general one."""
    factor, _ = dpotrf(covariance, lower=1)
    lower, _ = dpotri(factor, lower=1)
    lower = np.tril(lower)
    return lower + np.tril(lower, -1).T


def _sum_by(index: np.ndarray, length: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function that sums values (n,) by `index` (n,), which is below `length`; (length,)."""
    return lambda values: np.bincount(index, weights=values, minlength=length)
