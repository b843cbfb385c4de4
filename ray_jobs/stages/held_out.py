"""The stage that answers the six questions for a task that the study's metamodel has never seen."""

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
from pydantic import BaseModel

from cluster.storage import digest
from meta.answering.answer import answer_questions
from meta.answers import ANSWERS_FILE, Answers
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.encoding_time import time_encoder
from meta.given.prepare import PreparedSamples, prepare
from meta.given.sample import EvalSample, LabelledSample
from meta.given.vectors import CachedViews, as_task
from meta.metamodel.model import Metamodel
from probes.embeddings.cache import EmbeddingCache
from probes.encoders.load import load_encoder
from probes.encoders.reference import applicable_views
from probes.sweep.subsets import subset_rows
from probes.tasks.store import load_saved_task
from probes.tasks.task import Task
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.embed import EncoderRow
from ray_jobs.stages.tasks import TaskRow
from ray_jobs.study import Study

ANSWERS_VERSION = 4
"""Increase it when the same sample would get other answers."""


class HeldOutResult(BaseModel):
    """The results of the stage."""

    task: str
    answers_key: str
    """`answers.json` on the study's storage."""
    six_answers: list[str]
    """The six answers, one line each."""


def characterize_held_out(
    study: Study,
    report: ProgressCallback,
    tasks: Sequence[TaskRow],
    encoders: Sequence[EncoderRow],
    metamodel_key: str,
) -> HeldOutResult:
    """Answer the six questions for a sample of the demonstration task. The same inputs are answered
    once."""
    config = study.config.characterize
    row = next(task for task in tasks if task.name == config.task)
    identity = [
        ANSWERS_VERSION,
        config,
        study.config.seed,
        row.fingerprint,
        metamodel_key,
        [encoder.info.fingerprint for encoder in encoders],
    ]
    folder = f"characterizations/{digest(identity)}"
    key = f"{folder}/{ANSWERS_FILE}"
    study.made(0 if study.storage.exists(key) else 6, "answers")
    if study.storage.exists(key):
        answers = Answers.model_validate(study.storage.read_json(key))
    else:
        task = load_saved_task(study.storage, row.fingerprint)
        prepared = draw_samples(task, config.n_train, config.n_eval, study.config.seed)
        answers = answer_questions(
            prepared,
            _embedded(study, encoders, as_task(prepared)),
            Metamodel.load(study.storage.local_path(metamodel_key)),
            target=config.target,
            metamodel_name=metamodel_key,
            seed=study.config.seed,
            progress=report,
        )
        study.storage.write_json(key, answers.to_json())
    return HeldOutResult(task=config.task, answers_key=key, six_answers=str(answers).splitlines())


def draw_samples(task: Task, n_train: int, n_eval: int, seed: int) -> PreparedSamples:
    """Two samples: a stratified labelled one of the training split, and a random unlabelled one of
    the test split."""
    train, test = task.splits["train"], task.splits["test"]
    n_train = min(n_train, len(train))
    rows = subset_rows(
        train.labels, task_fingerprint=task.fingerprint, kind="stratified", n=n_train, seed=seed
    )
    seen = LabelledSample(train.text, train.labels, task.label_names, train.text_pair).take(rows)
    present, labels = np.unique(
        seen.labels, return_inverse=True
    )  # the task keeps only classes that the sample has
    sample = dataclasses.replace(
        seen,
        labels=labels.astype(np.int64),
        label_names=tuple(task.label_names[i] for i in present),
    )
    chosen = np.random.default_rng(seed).permutation(len(test))[:n_eval]
    return prepare(sample, EvalSample(test.text, test.text_pair).take(np.sort(chosen)), seed=seed)


def _embedded(study: Study, encoders: Sequence[EncoderRow], sample: Task) -> list[EmbeddedEncoder]:
    embedded = []
    for encoder in encoders:
        identity = [encoder.info.fingerprint, sample.fingerprint]
        timing = study.once("timings", identity, partial(_timing, encoder, sample))
        wanted = applicable_views(encoder.views, is_pair=sample.is_pair)
        views = CachedViews(sample, EmbeddingCache(study.storage, encoder.info.fingerprint), wanted)
        info = dataclasses.replace(encoder.info, ref=encoder.name)
        embedded.append(
            EmbeddedEncoder(info, views, milliseconds_per_text=timing["milliseconds_per_text"])
        )
    return embedded


def _timing(row: EncoderRow, sample: Task) -> dict[str, float]:
    encoder = load_encoder(row.ref, trust_remote_code=row.trust_remote_code)
    return {"milliseconds_per_text": time_encoder(encoder, sample.splits["test"].text)}
