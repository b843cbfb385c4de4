"""Stage 5: describe samples of every task and view, join them with what the probes measured, fit and evaluate the metamodel."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from cluster.storage import digest
from meta.evaluation import evaluation_tables, held_out_predictions
from meta.metamodel import SCHEMA, Metamodel
from meta.observations import ObservationSpec, observation_table, plan_observations, run_observations
from meta.view_prior import ViewPrior, space_truths
from probes.encoders.base import View
from probes.sweep import is_done, load_results, plan_blocks
from ray_jobs.embed import EncoderRow
from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study
from ray_jobs.sweep import fan_out_blocks
from ray_jobs.tasks import TaskRow

FIT_VERSION = 2
"""Raised when the same observations would give another metamodel or another evaluation."""
MIN_FAMILIES_FOR_PRIOR = 4
METRIC = "accuracy"
"""What the study's metamodel forecasts."""


class FitResult(BaseModel):
    """What the stage leaves behind."""

    metamodel_key: str
    """Folder on the study's storage."""
    evaluation_key: str
    """JSON on the study's storage: the tables of `meta.evaluation.evaluation_tables`."""
    held_out_key: str
    """Parquet on the study's storage: every forecast with its task family left out, beside the truth."""
    n_observations: int


def observed_views(views: Sequence[View], n_views: int) -> tuple[View, ...]:
    """At most `n_views` of an encoder's views, spread evenly over depth and poolings: sorted by layer, every k-th."""
    ordered = sorted(views)
    if len(ordered) <= n_views:
        return tuple(ordered)
    step = (len(ordered) - 1) / max(n_views - 1, 1)
    return tuple(ordered[round(i * step)] for i in range(n_views))


def observe(study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]) -> list[str]:
    """Describe the samples of every (task, observed view); returns the keys of the observation tables."""
    config = study.config.metamodel
    thinned = [
        encoder.model_copy(update={"views": observed_views(encoder.views, config.views_per_encoder)}) for encoder in encoders
    ]
    return observe_blocks(study, report, tasks, thinned, config.observations)


def observe_blocks(
    study: Study,
    report: ProgressCallback,
    tasks: Sequence[TaskRow],
    encoders: Sequence[EncoderRow],
    spec: ObservationSpec,
) -> list[str]:
    """Describe the samples that `spec` asks for of every (task, view of the encoders); returns the keys of the tables."""
    spaces = plan_blocks(study.config.sweep, tasks, encoders, storage_uri=study.storage.uri)
    blocks = plan_observations(spec, spaces, set())
    missing = [block for block in blocks if not is_done(study.storage, f"observations/{block['key']}.parquet")]
    fan_out_blocks(study, report, run_observations, missing, name="observe")
    study.made(len(missing), "tables of observations")
    return [block["key"] for block in blocks]


def fit(
    study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow], probe_keys: Sequence[str]
) -> FitResult:
    """Fit the metamodel on every task but those of the demonstration task's family; evaluate it leaving tasks out."""
    keys = observe(study, report, tasks, encoders)
    frame = training_frame(study, tasks, keys, probe_keys)
    identity = {
        "versions": [SCHEMA, FIT_VERSION],
        "metric": METRIC,
        "observations": sorted(keys),
        "probes": sorted(probe_keys),
        "families": sorted((task.fingerprint, task.family) for task in tasks),
        "left_out": left_out_families(study, tasks),
    }
    key = digest(identity)
    result = FitResult(
        metamodel_key=f"metamodels/{key}",
        evaluation_key=f"evaluations/{key}.json",
        held_out_key=f"evaluations/{key}.parquet",
        n_observations=len(frame),
    )
    if not study.storage.exists(result.held_out_key):
        held_out = held_out_predictions(frame, metric=METRIC, progress=report)
        study.storage.write_table(result.held_out_key, pa.Table.from_pandas(held_out, preserve_index=False))
    if not study.storage.exists(result.evaluation_key):
        held_out = study.storage.read_table(result.held_out_key).to_pandas()
        study.storage.write_json(result.evaluation_key, evaluation_tables(held_out, metric=METRIC))
    study.made(0 if study.storage.exists(result.metamodel_key) else len(frame), "observations learnt from")
    if not study.storage.exists(result.metamodel_key):
        tables = study.storage.read_json(result.evaluation_key)
        model = Metamodel.fit(frame, metric=METRIC).with_view_prior(prior_of_views(study, tasks, probe_keys))
        model.with_evaluation(tables).save(study.storage, key)
    return result


def prior_of_views(study: Study, tasks: Sequence[TaskRow], probe_keys: Sequence[str]) -> ViewPrior | None:
    """The prior of the sweep's spaces, without the demonstration task's family; None where too few tasks have them all."""
    left_out = left_out_families(study, tasks)
    known = {task.fingerprint: (task.name, task.family) for task in tasks if task.family not in left_out}
    truths = space_truths(load_results(study.storage, probe_keys).to_pandas(), known)
    if truths["task_family"].nunique() < MIN_FAMILIES_FOR_PRIOR:
        return None
    return ViewPrior.fit(truths)


def training_frame(study: Study, tasks: Sequence[TaskRow], keys: Sequence[str], probe_keys: Sequence[str]) -> pd.DataFrame:
    """Observations with their truth, without the demonstration task's family. Names and families are the study's of today: the
    files, keyed by content, may have been written under others."""
    frame = observation_table(study.storage, load_results(study.storage, probe_keys), keys=list(dict.fromkeys(keys)))
    frame["task"] = frame["task_fingerprint"].map({task.fingerprint: task.name for task in tasks})
    frame["task_family"] = frame["task_fingerprint"].map({task.fingerprint: task.family for task in tasks})
    return frame[~frame["task_family"].isin(left_out_families(study, tasks))].reset_index(drop=True)


def left_out_families(study: Study, tasks: Sequence[TaskRow]) -> list[str]:
    """Families that the metamodel must not see: the demonstration task's."""
    return sorted({task.family for task in tasks if task.name == study.config.characterize.task})
