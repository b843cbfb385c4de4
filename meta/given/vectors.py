"""The vectors of a user's samples through one encoder: from the cache; what is missing is encoded
in this process."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from cluster.storage import Storage, UserError
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.known_encoder import KnownEncoder, read_known_encoder, write_known_encoder
from meta.given.prepare import PreparedSamples
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import embed_texts, embedding_inputs, task_matrix, task_texts
from probes.encoders.base import Encoder, EncoderInfo, View
from probes.encoders.load import load_encoder, reference_fingerprint
from probes.encoders.reference import standard_views
from probes.tasks.task import Split, Task

TIMED_TEXTS = 64
TEXTS_PER_SHARD = 500

EncodeMissing = Callable[[Encoder, EmbeddingCache, list[tuple[list[str], list[View]]], int], None]
"""(encoder, cache, (texts, views) to have there, how many texts are missing)."""


def as_task(prepared: PreparedSamples) -> Task:
    """Both samples in the shape that embedding works on: splits `train` and, if there are
    evaluation rows, `test`."""
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
    progress: Callable[[int, int], None] | None = None,
    *,
    trust_remote_code: bool = False,
    encode_missing: EncodeMissing | None = None,
) -> EmbeddedEncoder:
    """Have the standard views of `task`'s texts through the encoder `ref` (`lsa:DIM` is fitted on
    those texts) in the cache on `storage`, and time the encoder.

    `encode_missing` encodes elsewhere what is not in the cache (by default here, reporting to
    `progress` texts done and to do). The time per text is measured once per encoder, sample and
    machine, and kept; where all is there, model files are only hashed, not loaded. Raises
    UserError.
    """
    named = reference_fingerprint(ref, trust_remote_code=trust_remote_code)
    known = read_known_encoder(storage, named, task.fingerprint) if named is not None else None
    if known is not None:  # where all vectors are there, nothing is left to ask of the weights
        cache, _, inputs = _wanted(known.info, task, storage)
        if not any(cache.missing(texts, views) for texts, views in inputs):
            return _embedded(known, task, storage)
    texts = task_texts(task)
    encoder = load_encoder(ref, fit_texts=texts, trust_remote_code=trust_remote_code)
    cache, views, inputs = _wanted(encoder.info, task, storage)
    if not views:
        raise UserError(
            f"encoder {ref}: this view is of pairs of texts, and the rows have single ones; choose"
            " another"
        )
    n_missing = sum(len(cache.missing(inputs_of, wanted)) for inputs_of, wanted in inputs)
    if n_missing:
        encode = encode_missing or (lambda *work: encode_here(*work[:3], progress=progress))
        encode(encoder, cache, inputs, n_missing)
    named = named or encoder.info.fingerprint
    known = read_known_encoder(storage, named, task.fingerprint)
    if n_missing or known is None or known.info != encoder.info:
        n_truncated = sum(
            encoder.count_truncated(texts_of, are_pairs=wanted[0].is_cross)
            for texts_of, wanted in inputs
        )
        known = KnownEncoder(encoder.info, time_encoder(encoder, texts), n_truncated)
        write_known_encoder(storage, named, task.fingerprint, known)
    return _embedded(known, task, storage)


def _wanted(
    info: EncoderInfo, task: Task, storage: Storage
) -> tuple[EmbeddingCache, tuple[View, ...], list[tuple[list[str], list[View]]]]:
    """The encoder's cache, the views that are looked at, and what has to be read for them."""
    views = standard_views(info, is_pair=task.is_pair)
    return EmbeddingCache(storage, info.fingerprint), views, embedding_inputs([task], views)


def _embedded(known: KnownEncoder, task: Task, storage: Storage) -> EmbeddedEncoder:
    cache, wanted, _ = _wanted(known.info, task, storage)
    views = CachedViews(task, cache, wanted)
    return EmbeddedEncoder(
        known.info, views, known.milliseconds_per_text, known.n_truncated, read_train=views.train
    )


def encode_here(
    encoder: Encoder,
    cache: EmbeddingCache,
    inputs: Sequence[tuple[list[str], list[View]]],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Encode what is missing in this process."""
    for texts, wanted in inputs:
        embed_texts(
            encoder, cache, texts, wanted, texts_per_shard=TEXTS_PER_SHARD, progress=progress
        )


class CachedViews(Mapping[View, tuple[np.ndarray, np.ndarray]]):
    """Per view the matrices of both splits, (n, d) and (m, d) float32, d four times as wide for
    pairs: read from the cache when asked for, since all views of all encoders at once may not fit
    into memory."""

    def __init__(self, task: Task, cache: EmbeddingCache, views: Sequence[View]):
        self._task, self._cache, self._views = task, cache, tuple(views)

    def __getitem__(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        X = self.train(view)
        return X, (
            task_matrix(self._task, "test", self._cache, view)
            if "test" in self._task.splits
            else X[:0]
        )

    def train(self, view: View) -> np.ndarray:
        """The first of the two alone."""
        if view not in self._views:
            raise KeyError(view)
        return task_matrix(self._task, "train", self._cache, view)

    def __iter__(self) -> Iterator[View]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)


def time_encoder(encoder: Encoder, texts: Sequence[str]) -> float:
    """Milliseconds per text on this machine now: the best of two passes over at most 64 of `texts`,
    after a short one."""
    sample = list(texts[:: max(len(texts) // TIMED_TEXTS, 1)])[:TIMED_TEXTS]
    view = (standard_views(encoder.info) or encoder.info.views)[-1:]
    encoder.encode(sample[:4], view)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        encoder.encode(sample, view)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / len(sample)
