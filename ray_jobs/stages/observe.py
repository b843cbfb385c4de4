"""Describe the samples of every task and view: what the metamodel learns from."""

from collections.abc import Sequence

import pandas as pd

from meta.metamodel.observation_blocks import ObservationSpec, plan_observations, run_observations
from meta.metamodel.observations import observation_table
from probes.encoders.base import View
from probes.sweep.sweep import is_done, load_results, plan_blocks
from ray_jobs.fan_out import fan_out_blocks
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.embed import EncoderRow
from ray_jobs.stages.tasks import TaskRow, left_out_families
from ray_jobs.study import Study


def observed_views(views: Sequence[View], n_views: int) -> tuple[View, ...]:
    """At most `n_views` of an encoder's views, spread evenly over depth and poolings: sorted by
    layer, every k-th."""
    ordered = sorted(views)
    if len(ordered) <= n_views:
        return tuple(ordered)
    step = (len(ordered) - 1) / max(n_views - 1, 1)
    return tuple(ordered[round(i * step)] for i in range(n_views))


def observe(
    study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]
) -> list[str]:
    """Describe the samples of every (task, observed view); returns the keys of the observation
    tables."""
    config = study.config.metamodel
    thinned = [
        encoder.model_copy(
            update={"views": observed_views(encoder.views, config.views_per_encoder)}
        )
        for encoder in encoders
    ]
    return observe_blocks(study, report, tasks, thinned, config.observations)


def observe_blocks(
    study: Study,
    report: ProgressCallback,
    tasks: Sequence[TaskRow],
    encoders: Sequence[EncoderRow],
    spec: ObservationSpec,
) -> list[str]:
    """Describe the samples that `spec` asks for of every (task, view of the encoders); returns the
    keys of the tables."""
    spaces = plan_blocks(study.config.sweep, tasks, encoders, storage_uri=study.storage.uri)
    blocks = plan_observations(spec, spaces, set())
    missing = [
        block
        for block in blocks
        if not is_done(study.storage, f"observations/{block['key']}.parquet")
    ]
    fan_out_blocks(study, report, run_observations, missing, name="observe")
    study.made(len(missing), "tables of observations")
    return [block["key"] for block in blocks]


def training_frame(
    study: Study, tasks: Sequence[TaskRow], keys: Sequence[str], probe_keys: Sequence[str]
) -> pd.DataFrame:
    """Observations with their truth, without the demonstration task's family. Names and families
    are the study's of today: the files, keyed by content, may have been written under others."""
    frame = observation_table(
        study.storage, load_results(study.storage, probe_keys), keys=list(dict.fromkeys(keys))
    )
    frame["task"] = frame["task_fingerprint"].map({task.fingerprint: task.name for task in tasks})
    frame["task_family"] = frame["task_fingerprint"].map(
        {task.fingerprint: task.family for task in tasks}
    )
    return frame[~frame["task_family"].isin(left_out_families(study, tasks))].reset_index(drop=True)
