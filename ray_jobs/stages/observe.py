"""The stage that describes samples of every task and view. The metamodel learns from these
observations."""

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
    """At most `n_views` of an encoder's views: every k-th one in the order of the layers, so that
    they are spread over depth and poolings."""
    ordered = sorted(views)
    if len(ordered) <= n_views:
        return tuple(ordered)
    step = (len(ordered) - 1) / max(n_views - 1, 1)
    return tuple(ordered[round(i * step)] for i in range(n_views))


def observe(
    study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]
) -> list[str]:
    """Describe the samples of every (task, observed view). Returns the keys of the tables of
    observations."""
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
    """Describe the samples that `spec` asks for, of every (task, view). Returns the keys of the
    tables."""
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
    """Observations with their truth, without the demonstration task's family. The files have keys
    of their content, and may have been written when tasks had other names and families. The table
    has those of today."""
    frame = observation_table(
        study.storage, load_results(study.storage, probe_keys), keys=list(dict.fromkeys(keys))
    )
    frame["task"] = frame["task_fingerprint"].map({task.fingerprint: task.name for task in tasks})
    frame["task_family"] = frame["task_fingerprint"].map(
        {task.fingerprint: task.family for task in tasks}
    )
    return frame[~frame["task_family"].isin(left_out_families(study, tasks))].reset_index(drop=True)
