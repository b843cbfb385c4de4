"""The stage that fits and evaluates the metamodel, on the observations and what the probes
measured."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from cluster.storage import digest
from meta.metamodel.evaluation import evaluation_tables
from meta.metamodel.fitting import FitSettings
from meta.metamodel.held_out import evaluation_folds, held_out_predictions
from meta.metamodel.model import SCHEMA, Metamodel
from meta.metamodel.shipped_observations import (
    digest_of_shipped,
    join_with_shipped,
    shipped_observations,
)
from meta.metamodel.stored import shipped_folder
from meta.metamodel.tuning import TUNING_VERSION, chosen_settings, plan_tuning, run_tuning
from meta.metric import Metric
from meta.priors.fit_spaces import fit_view_prior, space_truths
from meta.priors.spaces import ViewPrior
from probes.sweep.sweep import load_results
from ray_jobs.fan_out import fan_out_blocks
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.observe import training_frame
from ray_jobs.stages.tasks import TaskRow, left_out_families
from ray_jobs.study import Study

FIT_VERSION = 5
"""Increase it when the same observations would give another metamodel or another evaluation."""
MIN_FAMILIES_FOR_PRIOR = 4
METRIC = Metric.ACCURACY
"""The metric that the study's metamodel forecasts."""


class FitResult(BaseModel):
    """Where the results of the stage lie."""

    metamodel_key: str
    """Folder on the study's storage."""
    evaluation_key: str
    """JSON on the study's storage: the tables of `meta.metamodel.evaluation.evaluation_tables`."""
    held_out_key: str
    """Parquet on the study's storage: every forecast with its task family left out, beside the
    truth."""
    n_observations: int


def fit(
    study: Study,
    report: ProgressCallback,
    tasks: Sequence[TaskRow],
    probe_keys: Sequence[str],
    observation_keys: Sequence[str],
) -> FitResult:
    """Fit the metamodel on every task but those of the demonstration task's family. Evaluate it
    with task families left out."""
    config = study.config.metamodel
    frame = training_frame(study, tasks, observation_keys, probe_keys)
    extra = None
    if config.with_shipped:
        frame, extra = join_with_shipped(frame, shipped_but_left_out(study, tasks))
    learnt = frame if extra is None else pd.concat([frame, extra], ignore_index=True)
    identity = {
        "versions": [SCHEMA, FIT_VERSION],
        "with_shipped": digest_of_shipped() if config.with_shipped else None,
        "tune": config.tune and TUNING_VERSION,
        "metric": METRIC,
        "observations": sorted(observation_keys),
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
    settings = {}
    if config.tune and not (
        study.storage.exists(result.held_out_key) and study.storage.exists(result.metamodel_key)
    ):
        settings = tuned_settings(study, report, learnt, evaluation_folds(frame), key)
    if not study.storage.exists(result.held_out_key):
        held_out = held_out_predictions(
            frame,
            metric=METRIC,
            settings=settings or None,
            extra_observations=extra,
            progress=report,
        )
        study.storage.write_table(
            result.held_out_key, pa.Table.from_pandas(held_out, preserve_index=False)
        )
    if not study.storage.exists(result.evaluation_key):
        held_out = study.storage.read_table(result.held_out_key).to_pandas()
        study.storage.write_json(result.evaluation_key, evaluation_tables(held_out, metric=METRIC))
    study.made(
        0 if study.storage.exists(result.metamodel_key) else len(learnt), "observations learnt from"
    )
    if not study.storage.exists(result.metamodel_key):
        tables = study.storage.read_json(result.evaluation_key)
        model = Metamodel.fit(learnt, metric=METRIC, settings=settings.get(()))
        prior = shipped_prior() if config.with_shipped else prior_of_views(study, tasks, probe_keys)
        model = model.with_view_prior(prior)
        model.with_evaluation(tables).save(study.storage, key)
    return result


def shipped_but_left_out(study: Study, tasks: Sequence[TaskRow]) -> pd.DataFrame:
    """The shipped observations without the family of the demonstration task, under whatever name it
    ships."""
    shipped, left_out = shipped_observations(METRIC), left_out_families(study, tasks)
    unseen = [task.fingerprint for task in tasks if task.family in left_out]
    hidden = {*left_out, *shipped.loc[shipped["task_fingerprint"].isin(unseen), "task_family"]}
    return shipped[~shipped["task_family"].isin(hidden)]


def tuned_settings(
    study: Study,
    report: ProgressCallback,
    learnt: pd.DataFrame,
    folds: Sequence[tuple[str, ...]],
    key: str,
) -> dict[tuple[str, ...], FitSettings]:
    """The best settings for each of `folds`, chosen through Ray Tune. The settings for the fit on
    all of `learnt` are under the key `()`."""
    frame_key = f"tuning/{key}.parquet"
    if not study.storage.exists(frame_key):
        study.storage.write_table(frame_key, pa.Table.from_pandas(learnt, preserve_index=False))
    pieces = plan_tuning(study.storage, frame_key, [*folds, ()], metric=METRIC)
    results = fan_out_blocks(study, report, run_tuning, pieces, name="tune")
    return chosen_settings(pieces, [each["loss"] for each in results])


def prior_of_views(
    study: Study, tasks: Sequence[TaskRow], probe_keys: Sequence[str]
) -> ViewPrior | None:
    """The prior of the sweep's spaces, without the demonstration task's family. None where there is
    one space only, or where too few tasks have all spaces."""
    left_out = left_out_families(study, tasks)
    known = {
        task.fingerprint: (task.name, task.family) for task in tasks if task.family not in left_out
    }
    truths = space_truths(load_results(study.storage, probe_keys).to_pandas(), known)
    n_spaces = len(truths[["encoder_fingerprint", "layer", "pooling"]].drop_duplicates())
    if truths["task_family"].nunique() < MIN_FAMILIES_FOR_PRIOR or n_spaces < 2:
        return None
    return fit_view_prior(truths)


def shipped_prior() -> ViewPrior | None:
    """The prior of the shipped study. Its tasks say more about how spaces compare than a few tasks
    of one's own."""
    return Metamodel.load(shipped_folder() / METRIC).view_prior
