"""The metamodel's own hyperparameters, chosen inside whatever is left out.

A candidate is judged by the pinball loss of its quantiles for families that its fits have not seen,
before calibration. One candidate within one fold of the evaluation is one piece of work
(`run_tuning`) for `cluster.tune.fan_out`; the fold's families are never looked at, so that an
evaluation with the chosen settings stays honest.
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
"""Raised when the same candidate would be judged otherwise."""
CANDIDATES = (
    FitSettings(),
    FitSettings(max_depth=2),
    FitSettings(max_depth=2, n_rounds=120),
    FitSettings(n_rounds=30),
    FitSettings(max_depth=4),
    FitSettings(stack_penalty_tasks=1.5),
    FitSettings(stack_penalty_tasks=10.0),
)


class JudgedCandidate(TypedDict):
    """One candidate within one fold: what its loss depends on."""

    frame: str
    """Key of a table of observations with their truth."""
    metric: str
    fold: list[str]
    """The families that are left out, sorted."""
    settings: dict[str, Any]
    """The FitSettings as JSON."""


class TuningPiece(JudgedCandidate):
    """One piece of work for `run_tuning`."""

    storage: str
    key: str
    """Of the loss on the storage."""


class TuningResult(TypedDict):
    """What a candidate came to."""

    key: str
    loss: float
    """In points."""


def plan_tuning(
    storage: Storage, frame_key: str, folds: Sequence[Collection[str]], *, metric: Metric
) -> list[TuningPiece]:
    """Pieces of work for `run_tuning`: every candidate within every one of `folds`, the families
    that are left out. `frame_key` is a table of observations with their truth
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
    """Judge one candidate and publish its loss; does nothing where it lies on storage."""
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
    """Mean pinball loss (Koenker and Bassett 1978) of quantiles (R, 5) at QUANTILES of `truth`
    (R,), in hundredths of the metric; all of `groups` (R,) count alike."""
    error = truth[:, None] - quantiles
    levels = np.array(QUANTILES)
    loss = np.maximum(levels * error, (levels - 1) * error).mean(axis=1)
    return float(100 * np.sum(group_weights(groups) * loss))


def chosen_settings(
    pieces: Sequence[JudgedCandidate], losses: Sequence[float]
) -> dict[tuple[str, ...], FitSettings]:
    """The best candidate of every fold (its families, sorted); the earlier one of two that are
    equal."""
    best: dict[tuple[str, ...], tuple[float, FitSettings]] = {}
    for piece, loss in zip(pieces, losses, strict=True):
        fold = tuple(piece["fold"])
        if fold not in best or loss < best[fold][0]:
            best[fold] = loss, FitSettings(**piece["settings"])
    return {fold: settings for fold, (_, settings) in best.items()}
