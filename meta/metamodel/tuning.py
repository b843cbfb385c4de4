"""The choice of the metamodel's own hyperparameters, inside every fold of its evaluation.

A candidate is judged by the pinball loss of its quantiles, before calibration, for families that
its fits have not seen. One candidate within one fold is one piece of work (`run_tuning`) for
`cluster.tune.fan_out`. The families that the fold leaves out are never looked at, so an evaluation
with the chosen settings is still honest.
"""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any, TypedDict

import numpy as np

from cluster.storage import Storage, digest
from meta.groups import group_weights
from meta.metamodel.fitting import FitSettings, held_out_quantiles
from meta.metric import QUANTILES, Metric

TUNING_VERSION = 4
"""Part of the key. It is raised when the same candidate would get another loss."""
CANDIDATES = (
    FitSettings(),
    FitSettings(max_depth=2),
    FitSettings(max_depth=2, n_rounds=120),
    FitSettings(n_rounds=30),
    FitSettings(max_depth=4),
    FitSettings(stack_penalty_tasks=1.5),
    FitSettings(stack_penalty_tasks=10.0),
)
"""The settings to choose from."""


class JudgedCandidate(TypedDict):
    """One candidate within one fold: everything that its loss depends on."""

    frame: str
    """Key of a table of observations with their truth."""
    metric: str
    fold: list[str]
    """The families that the fold leaves out, sorted."""
    settings: dict[str, Any]
    """The FitSettings as JSON."""


class TuningPiece(JudgedCandidate):
    """One piece of work for `run_tuning`."""

    storage: str
    key: str
    """Key of the loss on the storage."""


class TuningResult(TypedDict):
    """The loss of a candidate."""

    key: str
    loss: float
    """Pinball loss in points."""


def plan_tuning(
    storage: Storage, frame_key: str, folds: Sequence[Collection[str]], *, metric: Metric
) -> list[TuningPiece]:
    """The pieces of work for `run_tuning`: every candidate within every fold. A fold is the
    families that it leaves out. `frame_key` is the key of a table of observations with their truth
    (`meta.metamodel.observations.observation_table`) on `storage`."""
    pieces: list[TuningPiece] = []
    for fold in folds:
        for settings in CANDIDATES:
            judged: JudgedCandidate = {
                "frame": frame_key,
                "metric": metric.value,
                "fold": sorted(fold),
                "settings": dataclasses.asdict(settings),
            }
            pieces.append(
                {
                    **judged,
                    "storage": storage.uri,
                    "key": f"tuning/{digest([TUNING_VERSION, judged])}.json",
                }
            )
    return pieces


def run_tuning(piece: TuningPiece) -> TuningResult:
    """Judge one candidate and publish its loss. A loss that is on the storage already is only
    read."""
    storage = Storage(piece["storage"])
    if not storage.exists(piece["key"]):
        frame = storage.read_table(piece["frame"]).to_pandas()
        rest = frame[~frame["task_family"].isin(piece["fold"])]
        quantiles = held_out_quantiles(
            rest, metric=Metric(piece["metric"]), settings=FitSettings(**piece["settings"])
        )
        loss = pinball_points(
            quantiles,
            rest["truth"].to_numpy(dtype=np.float64),
            rest["task_family"].to_numpy(dtype=str),
        )
        storage.write_json(piece["key"], {"loss": loss})
    return {"key": piece["key"], "loss": storage.read_json(piece["key"])["loss"]}


def pinball_points(quantiles: np.ndarray, truth: np.ndarray, groups: np.ndarray) -> float:
    """Mean pinball loss (Koenker and Bassett 1978) of `quantiles` (R, 5) at QUANTILES for `truth`
    (R,), in hundredths of the metric. All `groups` (R,) have the same weight."""
    error = truth[:, None] - quantiles
    levels = np.array(QUANTILES)
    loss = np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    return float(100 * np.sum(group_weights(groups) * loss))


def chosen_settings(
    pieces: Sequence[JudgedCandidate], losses: Sequence[float]
) -> dict[tuple[str, ...], FitSettings]:
    """Fold (its families, sorted) -> its best candidate. Of two candidates with the same loss it is
    the earlier one."""
    best: dict[tuple[str, ...], tuple[float, FitSettings]] = {}
    for piece, loss in zip(pieces, losses, strict=True):
        fold = tuple(piece["fold"])
        if fold not in best or loss < best[fold][0]:
            best[fold] = loss, FitSettings(**piece["settings"])
    return {fold: settings for fold, (_, settings) in best.items()}
