"""The vectors of a user's samples through one encoder: from the cache; what is missing is encoded here or, if much, by Ray."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np

from cluster.storage import Storage, UserError
from meta.sample import EmbeddedEncoder, Prepared
from probes.cache import EmbeddingCache
from probes.embed import ShardEncoder, embed_texts, embedding_inputs, plan_shards, task_matrix, task_texts
from probes.encoders.base import Encoder, View
from probes.encoders.load import load_encoder
from probes.encoders.reference import standard_views
from probes.tasks.task import Split, Task
from ray_jobs.progress import ProgressCallback

RAY_ABOVE_TEXTS = 5000
"""Fewer texts than this are encoded in this process: starting Ray would take longer."""
TIMED_TEXTS = 64
TEXTS_PER_SHARD = 500


def as_task(prepared: Prepared) -> Task:
    """Both samples in the shape that embedding works on: splits `train` and, if there are evaluation rows, `test`."""
    train, evaluation = prepared.train, prepared.evaluation
    splits = {"train": Split(train.texts, train.labels, train.text_pair)}
    if len(evaluation):
        unlabelled = np.full(len(evaluation), -1, dtype=np.int64)
        splits["test"] = Split(evaluation.texts, unlabelled, evaluation.text_pair)
    return Task("sample", train.label_names, splits)


def embed_sample(
    ref: str,
    task: Task,
    storage: Storage,
    report: ProgressCallback,
    *,
    address: str | None = None,
    log_path: Path | None = None,
    trust_remote_code: bool = False,
) -> EmbeddedEncoder:
    """Load the encoder `ref` (`lsa:DIM` is fitted on the samples' own texts), have its standard views of `task`'s texts in the
    cache on `storage`, and time it. Ray (embedded, or at `address`) is started only for many texts. Raises UserError."""
    texts = task_texts(task)
    encoder = load_encoder(ref, fit_texts=texts, trust_remote_code=trust_remote_code)
    cache = EmbeddingCache(storage, encoder.info.fingerprint)
    views = standard_views(encoder.info, is_pair=task.is_pair)
    if not views:
        raise UserError(f"encoder {ref}: this view is of pairs of texts, and the rows have single ones; choose another")
    inputs = embedding_inputs([task], views)
    n_missing = sum(len(cache.missing(inputs_of, wanted)) for inputs_of, wanted in inputs)
    fits_here = encoder.info.family in ("lsa", "static")  # cheap, and an lsa fitted here exists nowhere else
    n_truncated = 0
    if n_missing and not fits_here and (address is not None or n_missing > RAY_ABOVE_TEXTS):
        items = [
            item
            for inputs_of, wanted in inputs
            for item in plan_shards(cache, encoder.info, inputs_of, wanted, TEXTS_PER_SHARD)
        ]
        with _session(address, log_path):
            n_truncated = _embed_by_ray(ref, items, storage, report, trust_remote_code)
    elif n_missing:
        for inputs_of, wanted in inputs:
            done = embed_texts(encoder, cache, inputs_of, wanted, texts_per_shard=TEXTS_PER_SHARD, progress=report)
            n_truncated += int(done["n_truncated"])
    note = f"samples/{encoder.info.fingerprint}-{task.fingerprint}.json"  # a warm cache must not forget what was truncated
    if n_missing:
        storage.write_json(note, {"n_truncated": n_truncated})
    elif storage.exists(note):
        n_truncated = int(storage.read_json(note)["n_truncated"])
    return EmbeddedEncoder(
        info=encoder.info,
        views=CachedViews(task, cache, views),
        milliseconds_per_text=time_encoder(encoder, texts),
        n_truncated=n_truncated,
    )


class CachedViews(Mapping[View, tuple[np.ndarray, np.ndarray]]):
    """Per view the matrices of both splits, (n, d) and (m, d) float32, d four times as wide for pairs: read from the cache when
    asked for, since all views of all encoders at once may not fit into memory."""

    def __init__(self, task: Task, cache: EmbeddingCache, views: Sequence[View]):
        self._task, self._cache, self._views = task, cache, tuple(views)

    def __getitem__(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        if view not in self._views:
            raise KeyError(view)
        X = task_matrix(self._task, "train", self._cache, view)
        return X, task_matrix(self._task, "test", self._cache, view) if "test" in self._task.splits else X[:0]

    def __iter__(self) -> Iterator[View]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


def time_encoder(encoder: Encoder, texts: Sequence[str]) -> float:
    """Milliseconds per text on this machine now: the best of two passes over at most 64 of `texts`, after a short one."""
    sample = list(texts[:: max(len(texts) // TIMED_TEXTS, 1)])[:TIMED_TEXTS]
    view = (standard_views(encoder.info) or encoder.info.views)[-1:]
    encoder.encode(sample[:4], view)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        encoder.encode(sample, view)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / len(sample)


def _embed_by_ray(
    ref: str, items: list[dict[str, Any]], storage: Storage, report: ProgressCallback, trust_remote_code: bool
) -> int:
    """Encode planned shards with one actor a core; returns how many texts were truncated."""
    from cluster.data import map_shards
    from cluster.resources import available_cpus

    n_done = 0

    def count(*_: object) -> None:
        nonlocal n_done
        n_done += 1
        report(n_done, len(items))

    n_actors = min(available_cpus(), len(items))
    worker = {"encoder_ref": ref, "storage_uri": storage.uri, "n_threads": 1, "trust_remote_code": trust_remote_code}
    results = map_shards(ShardEncoder, items, worker_kwargs=worker, n_actors=n_actors, cpus_per_actor=1, on_done=count)
    return sum(int(result["n_truncated"]) for result in results)


def _session(address: str | None, log_path: Path | None) -> AbstractContextManager[Any]:
    from cluster.session import session

    return session(address, log_path=log_path)
