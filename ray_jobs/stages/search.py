"""The stage that searches for a NeoBERTa. Optuna proposes candidates through Ray Tune, each one is
pretrained a little, and the metamodel forecasts what it would reach."""

import functools
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from cluster.storage import Storage, digest
from meta.metamodel.model import Metamodel
from meta.metamodel.sample_features import sample_features
from meta.search import Candidate, choose, mean_prediction
from neoberta.checkpoint import save_checkpoint
from neoberta.config import ModelConfig, PretrainConfig
from neoberta.corpus import Corpus
from neoberta.evaluation import validation_loss
from probes.encoders.base import View
from probes.encoders.load import load_encoder
from probes.sweep.subsets import subset_rows
from probes.tasks.store import load_saved_task
from probes.tasks.task import Task
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.pretrain import build_corpora, pretrain_here
from ray_jobs.stages.tasks import TaskRow, left_out_families
from ray_jobs.stages.tokenizer import learning_texts, read_tokenizer
from ray_jobs.study import Study

MAX_EVAL_TEXTS = 256
SEARCH_VERSION = 1
"""Increase it when the same point would get another result."""
MAX_LENGTH = 128
"""Tokens of a row in the candidates' pretraining."""
SEARCH_POOLINGS = ("mean",)
"""Candidates are compared at their last and their middle layer with mean pooling, which is best for
small NeoBERTas."""


class SearchResult(BaseModel):
    """The results of the stage."""

    candidates: list[Candidate]
    """The candidates in the order in which they were tried. The chosen one is marked."""
    tasks: list[str]


def search(
    study: Study,
    report: ProgressCallback,
    tasks: Sequence[TaskRow],
    tokenizer_key: str,
    metamodel_key: str,
) -> SearchResult:
    """Try `search.n_trials` candidates. A candidate with a stored result is not run again: the
    searcher gets that result."""
    from cluster.resources import available_resources, worker_resources
    from cluster.tune import search as tune_search

    config, judged_on = study.config.search, search_tasks(study, tasks)
    fixed = _fixed_part(study, judged_on, tokenizer_key, metamodel_key)
    folder = f"search/{digest([fixed, config.space])}"
    known = [study.storage.read_json(key) for key in study.storage.keys(folder)]
    known.sort(key=lambda entry: entry["finished_at"])
    study.made(max(config.n_trials - len(known), 0), "candidates tried")
    if len(known) < config.n_trials:
        study.need_ray()
        n_done = len(known)

        def count(_: Any) -> None:
            nonlocal n_done
            n_done += 1
            report(n_done, config.n_trials)

        outcomes = tune_search(
            functools.partial(
                try_candidate, fixed=fixed, folder=folder, storage_uri=study.storage.uri
            ),
            config.space.describe(),
            metric="predicted",
            mode="max",
            n_trials=config.n_trials - len(known),
            seed=study.config.seed,
            name="search",
            # one at a time: so an interrupted search proposes what an undisturbed one would
            max_concurrent=1,
            cpus=worker_resources("search", available_resources()).cpus,
            known=[
                (entry["point"], {"predicted": entry["candidate"]["predicted"]}) for entry in known
            ],
            on_done=count,
        )
        failed = [outcome for outcome in outcomes if outcome.error]
        if failed:
            raise RuntimeError(
                f"meta-search: {len(failed)} candidates failed; the first, {failed[0].config}:"
                f" {failed[0].error}"
            )
        known = [study.storage.read_json(key) for key in study.storage.keys(folder)]
        known.sort(key=lambda entry: entry["finished_at"])
    candidates = [Candidate.model_validate(entry["candidate"]) for entry in known]
    chosen = choose(candidates)
    marked = [
        candidate.model_copy(update={"chosen": i == chosen})
        for i, candidate in enumerate(candidates)
    ]
    return SearchResult(candidates=marked, tasks=[task.name for task in judged_on])


def search_tasks(study: Study, tasks: Sequence[TaskRow]) -> list[TaskRow]:
    """The first single-text tasks of the study outside the demonstration task's family."""
    left_out = left_out_families(study, tasks)
    return [task for task in tasks if not task.is_pair and task.family not in left_out][
        : study.config.search.n_tasks
    ]


def _fixed_part(
    study: Study, tasks: Sequence[TaskRow], tokenizer_key: str, metamodel_key: str
) -> dict[str, Any]:
    """Everything that a result depends on besides the searched point. All candidates share it."""
    config = study.config.search
    tokenizer = read_tokenizer(study.storage, tokenizer_key)
    corpus, held_out = build_corpora(learning_texts(study), tokenizer, MAX_LENGTH, study.storage)
    return {
        "version": SEARCH_VERSION,
        "tokenizer": tokenizer_key,
        "corpus": corpus,
        "held_out": held_out,
        "metamodel": metamodel_key,
        "tasks": [task.fingerprint for task in tasks],
        "n_tokens": config.n_tokens,
        "n_labelled": config.n_labelled,
        "horizon": config.horizon,
        "seed": study.config.seed,
    }


def try_candidate(
    point: dict[str, Any], *, fixed: dict[str, Any], folder: str, storage_uri: str
) -> dict[str, Any]:
    """Pretrain the candidate at `point`, evaluate it, and publish it under `folder`. Does nothing
    where it is published already."""
    storage = Storage(storage_uri)
    key = f"{folder}/{digest(point)}.json"
    if not storage.exists(key):
        candidate = _judge(point, fixed, storage)
        entry = {"point": point, "candidate": candidate.model_dump(), "finished_at": time.time()}
        storage.write_json(key, entry)
    return json.loads(storage.read_bytes(key))["candidate"]


def _judge(point: dict[str, Any], fixed: dict[str, Any], storage: Storage) -> Candidate:
    start = time.perf_counter()
    tokenizer = read_tokenizer(storage, fixed["tokenizer"])
    corpus = Corpus(storage.local_path(fixed["corpus"]))
    config = PretrainConfig(
        model=ModelConfig(
            n_layers=point["n_layers"],
            hidden_size=point["hidden_size"],
            max_length=corpus.max_length,
        ),
        n_tokens=fixed["n_tokens"],
        lr=point["lr"],
        mask_rate=point["mask_rate"],
        seed=fixed["seed"],
    )
    model = pretrain_here(config, corpus)
    loss = validation_loss(model, Corpus(storage.local_path(fixed["held_out"])))["loss"]
    with tempfile.TemporaryDirectory(prefix="neoberta-candidate-") as checkpoint:
        save_checkpoint(model, tokenizer, Path(checkpoint), {"n_tokens": fixed["n_tokens"]})
        forecasts, measured = _forecast_tasks(checkpoint, fixed, storage)
    return Candidate(
        **point,
        n_parameters=sum(parameter.numel() for parameter in model.parameters()),
        n_tokens=fixed["n_tokens"],
        validation_loss=loss,
        predicted=forecasts["q50"],
        predicted_low=forecasts["q05"],
        predicted_high=forecasts["q95"],
        predicted_n_train=fixed["n_labelled"] * fixed["horizon"],
        measured=measured,
        seconds=time.perf_counter() - start,
    )


def _forecast_tasks(
    checkpoint: str, fixed: dict[str, Any], storage: Storage
) -> tuple[dict[str, float], float]:
    """Two means over the search's tasks: the forecast of the best view, and its leave-one-out
    accuracy on the labelled sample."""
    encoder = load_encoder(f"neoberta:{checkpoint}")
    depth = encoder.info.n_layers
    views = [
        View(layer, pooling)
        for layer in sorted({depth, (depth + 1) // 2})
        for pooling in SEARCH_POOLINGS
    ]
    metamodel = Metamodel.load(storage.local_path(fixed["metamodel"]))
    forecasts, measured = [], []
    for fingerprint in fixed["tasks"]:
        task = load_saved_task(storage, fingerprint)
        rows, eval_texts = _draw(task, fixed["n_labelled"], fixed["seed"])
        texts = [task.splits["train"].text[row] for row in rows]
        vectors = encoder.encode([*texts, *eval_texts], views)
        labels = task.splits["train"].labels[rows]
        curves = []
        for view in views:
            X, X_eval = vectors[view][: len(rows)], vectors[view][len(rows) :]
            features = sample_features(
                X, labels, X_eval, task.n_classes, encoder.info, view, seed=fixed["seed"]
            )
            quantiles = metamodel.curve(features, [len(rows) * fixed["horizon"]])[0]
            curves.append(
                (
                    dict(zip(("q05", "q25", "q50", "q75", "q95"), quantiles.tolist(), strict=True)),
                    features,
                )
            )
        best, features = max(curves, key=lambda curve: curve[0]["q50"])
        forecasts.append(best)
        measured.append(features["ridge_loo_accuracy"])
    return mean_prediction(forecasts), float(np.mean(measured))


def _draw(task: Task, n_labelled: int, seed: int) -> tuple[np.ndarray, list[str]]:
    train, test = task.splits["train"], task.splits["test"]
    n = min(n_labelled, len(train))
    rows = subset_rows(
        train.labels, task_fingerprint=task.fingerprint, kind="stratified", n=n, seed=seed
    )
    chosen = np.random.default_rng(seed).permutation(len(test))[:MAX_EVAL_TEXTS]
    return rows, [test.text[row] for row in np.sort(chosen)]
