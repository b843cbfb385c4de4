"""The vectors of a user's samples through one encoder. They are read from the cache; texts that are
not there are encoded first."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cluster.storage import Storage, UserError
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.encoding_time import predict_seconds, time_encoder
from meta.given.known_encoder import KnownEncoder, read_known_encoder, write_known_encoder
from meta.given.prepare import PreparedSamples
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import embed_texts, embedding_inputs, task_matrix, task_texts
from probes.encoders.base import Encoder, EncoderInfo, View
from probes.encoders.load import load_encoder, reference_fingerprint
from probes.encoders.reference import standard_views
from probes.tasks.task import Split, Task

TEXTS_PER_PART = 500
"""Number of texts that are encoded and published at once."""


@dataclass(frozen=True)
class MissingVectors:
    """What has to be encoded before a sample's vectors are complete."""

    inputs: list[tuple[list[str], list[View]]]
    """The texts and views that must be in the cache. Some may be there."""
    n_texts: int
    """Number of texts that are not."""
    seconds: float
    """What they should take in this process."""


EncodeMissing = Callable[[Encoder, EmbeddingCache, MissingVectors], None]
"""A function that encodes missing texts into the cache."""


def as_task(prepared: PreparedSamples) -> Task:
    """Both samples as a task, which is what the functions of `probes.embeddings` take. Its splits
    are `train` and, if there are evaluation rows, `test`."""
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
    """The vectors of `task`'s texts in the standard views of the encoder `ref`, with the time per
    text. Vectors that the cache on `storage` lacks are computed and added to it.

    An encoder `lsa:DIM` is fitted on these texts. `encode_missing` encodes the texts that are not
    in the cache; by default this process does, and calls `progress` with (texts done, texts to do).
    The time per text is measured once for each encoder, sample and machine, and stored. Where
    everything is there, the model's files are hashed but not loaded. Raises UserError where the
    encoder cannot be loaded or does not fit the rows.
    """
    named = reference_fingerprint(ref, trust_remote_code=trust_remote_code)
    known = read_known_encoder(storage, named, task.fingerprint) if named is not None else None
    if known is not None:  # no weights are needed if all vectors are there
        cache, _, inputs = _needed_vectors(known.info, task, storage)
        if not any(cache.missing(texts, views) for texts, views in inputs):
            return _embedded_encoder(known, task, storage)
    texts = task_texts(task)
    encoder = load_encoder(ref, fit_texts=texts, trust_remote_code=trust_remote_code)
    cache, views, inputs = _needed_vectors(encoder.info, task, storage)
    if not views:
        raise UserError(
            f"encoder {ref}: this view is of pairs of texts, and the rows have single ones; choose"
            " another"
        )
    named = named or encoder.info.fingerprint
    known = read_known_encoder(storage, named, task.fingerprint)
    if known is None or known.info != encoder.info:
        n_truncated = sum(
            encoder.count_truncated(texts_of, are_pairs=wanted[0].is_cross)
            for texts_of, wanted in inputs
        )
        known = KnownEncoder(encoder.info, time_encoder(encoder, texts), n_truncated)
        write_known_encoder(storage, named, task.fingerprint, known)
    missing = [text for texts_of, wanted in inputs for text in cache.missing(texts_of, wanted)]
    if missing:
        seconds = predict_seconds(
            known.milliseconds_per_text, texts, missing, encoder.info.max_length
        )
        encode = encode_missing or functools.partial(encode_here, progress=progress)
        encode(encoder, cache, MissingVectors(inputs, len(missing), seconds))
    return _embedded_encoder(known, task, storage)


def _needed_vectors(
    info: EncoderInfo, task: Task, storage: Storage
) -> tuple[EmbeddingCache, tuple[View, ...], list[tuple[list[str], list[View]]]]:
    """The encoder's cache, its views that are compared, and the texts whose vectors they need, with
    the views of each list of texts."""
    views = standard_views(info, is_pair=task.is_pair)
    return EmbeddingCache(storage, info.fingerprint), views, embedding_inputs([task], views)


def _embedded_encoder(known: KnownEncoder, task: Task, storage: Storage) -> EmbeddedEncoder:
    """The vectors in the cache, which must be complete."""
    cache, wanted, _ = _needed_vectors(known.info, task, storage)
    views = CachedViews(task, cache, wanted)
    return EmbeddedEncoder(
        known.info, views, known.milliseconds_per_text, known.n_truncated, read_train=views.train
    )


def encode_here(
    encoder: Encoder,
    cache: EmbeddingCache,
    missing: MissingVectors,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Encode in this process what is missing. `progress` is called after each part."""
    for texts, wanted in missing.inputs:
        embed_texts(
            encoder, cache, texts, wanted, texts_per_shard=TEXTS_PER_PART, progress=progress
        )


class CachedViews(Mapping[View, tuple[np.ndarray, np.ndarray]]):
    """View -> the matrices of both splits, (n, d) and (m, d) float32; d is four times as large for
    pairs of texts. A matrix is read from the cache only when it is asked for, because all views of
    all encoders may not fit into memory at once."""

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
        """The matrix (n, d) float32 of the split `train` alone. Raises KeyError for an unknown
        view."""
        if view not in self._views:
            raise KeyError(view)
        return task_matrix(self._task, "train", self._cache, view)

    def __iter__(self) -> Iterator[View]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)
