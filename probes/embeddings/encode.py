"""From tasks to cached vectors, one shard of texts at a time; and from cached vectors to the
matrices that probes see.

A shard is the unit of work. Its texts lie in a file on storage beside the cache, so planner and
workers exchange only small dictionaries. Its result is one cache segment. Planning again after an
interruption returns the shards that are still missing. Jobs that need the same texts at the same
time share the work: each takes its shards in a random order, and encodes only the texts of a shard
that are not in the cache by then.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from typing import TypedDict, TypeVar

import numpy as np
import pyarrow as pa

from cluster.storage import Storage, UserError
from neoberta.precision import Precision, UsedPrecision
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.segment import segment_bytes, segment_key, text_keys
from probes.encoders.base import Encoder, EncoderInfo, View, join_pair
from probes.encoders.reference import resolve_view
from probes.tasks.task import Split, Task

TEXTS_PER_SHARD = 1000
"""Default size of a shard. After an interruption each worker repeats at most one shard."""


class Shard(TypedDict):
    """Texts to encode, as they are planned: plain JSON."""

    key: str
    """The key of the segment that the shard becomes."""
    encoder_fingerprint: str
    precision: UsedPrecision
    texts_key: str
    """The file of its texts on the storage."""
    views: list[list[int | str]]
    """[layer, pooling] of each view."""
    n_texts: int
    n_characters: int
    n_bytes: int
    """Predicted size of the segment."""


AnyShard = TypeVar("AnyShard", bound=Shard)


class Encoded(TypedDict):
    """What one call has encoded."""

    n_texts: int
    n_tokens: int
    seconds: float
    """Wall-clock seconds."""


class EncodedShard(Encoded):
    """What one call has encoded of a shard."""

    key: str


_NOTHING: Encoded = {"n_texts": 0, "n_tokens": 0, "seconds": 0.0}


def task_texts(task: Task) -> list[str]:
    """The distinct texts of all splits of a task, both texts of a pair included, in a fixed
    order."""
    texts: dict[str, None] = {}
    for name in sorted(task.splits):
        split = task.splits[name]
        texts.update(dict.fromkeys(split.text))
        if split.text_pair is not None:
            texts.update(dict.fromkeys(split.text_pair))
    return list(texts)


def task_pairs(task: Task) -> list[str]:
    """The distinct pairs of a pair task, as `join_pair` makes them, in a fixed order. Other tasks
    have none."""
    pairs: dict[str, None] = {}
    for name in sorted(task.splits):
        split = task.splits[name]
        if split.text_pair is not None:
            pairs.update(dict.fromkeys(map(join_pair, split.text, split.text_pair)))
    return list(pairs)


def embedding_inputs(
    tasks: Sequence[Task], views: Sequence[View]
) -> list[tuple[list[str], list[View]]]:
    """What an encoder has to read for `views` of `tasks`: (texts, views of single texts) and
    (pairs, views of pairs). An entry without texts is left out."""
    single_views = [view for view in views if not view.is_cross]
    pair_views = [view for view in views if view.is_cross]
    inputs = []
    if single_views:
        texts = dict.fromkeys(text for task in tasks for text in task_texts(task))
        inputs.append((list(texts), single_views))
    if pair_views:
        pairs = dict.fromkeys(pair for task in tasks for pair in task_pairs(task))
        inputs.append((list(pairs), pair_views))
    return [(distinct, wanted) for distinct, wanted in inputs if distinct]


def split_shards(texts: Sequence[str], texts_per_shard: int) -> list[list[str]]:
    """`texts` in shards of at most `texts_per_shard`. The texts are dealt out by length, so that
    shards have similar costs. The result depends only on the set of texts, not on their order."""
    if texts_per_shard < 1:
        raise ValueError(f"texts_per_shard must be 1 or more, got {texts_per_shard}")
    ordered = sorted(set(texts), key=lambda text: (-len(text), text))
    n_shards = math.ceil(len(ordered) / texts_per_shard)
    return [ordered[number::n_shards] for number in range(n_shards)]


def missing_shards(
    texts: Sequence[str], missing: Sequence[str], texts_per_shard: int
) -> list[list[str]]:
    """The `missing` ones of `texts` in shards. A shard of all `texts` that is missing as a whole
    stays as it is. So after an interruption the same texts go through the encoder together, and
    give the same bits. The missing texts of other shards are dealt out anew."""
    lacking = set(missing)
    whole, rest = [], []
    for shard in split_shards(texts, texts_per_shard):
        left = [text for text in shard if text in lacking]
        if len(left) == len(shard):
            whole.append(shard)
        else:
            rest += left
    return whole + split_shards(rest, texts_per_shard)


def plan_shards(
    cache: EmbeddingCache,
    info: EncoderInfo,
    texts: Sequence[str],
    views: Sequence[View],
    texts_per_shard: int = TEXTS_PER_SHARD,
) -> list[Shard]:
    """The shards for `ShardEncoder` that are still missing for `views` of all `texts`, the most
    expensive first. None where all vectors are in `cache`. Writes the texts of each shard beside
    the cache; they are removed when the shard is done.

    Raises UserError for a view that the encoder does not offer.
    """
    views = sorted({resolve_view(info, view) for view in views})
    shards: list[Shard] = []
    cache.describe(info)
    for shard_texts in missing_shards(texts, cache.missing(texts, views), texts_per_shard):
        key = segment_key(info.fingerprint, text_keys(shard_texts), views)
        texts_key = f"{cache.prefix}/texts/{key}.parquet"
        if not cache.storage.exists(texts_key):
            column = pa.array(
                [text.encode("utf-8", "surrogatepass") for text in shard_texts], type=pa.binary()
            )
            cache.storage.write_table(texts_key, pa.table({"text": column}))
        shards.append(
            {
                "key": key,
                "encoder_fingerprint": info.fingerprint,
                "precision": info.precision,
                "texts_key": texts_key,
                "views": [[view.layer, view.pooling] for view in views],
                "n_texts": len(shard_texts),
                "n_characters": sum(map(len, shard_texts)),
                "n_bytes": segment_bytes(len(shard_texts), info.hidden_size, len(views)),
            }
        )
    return sorted(shards, key=lambda shard: -shard["n_characters"])


def in_random_order(shards: Sequence[AnyShard]) -> list[AnyShard]:
    """The shards in an order that differs between jobs. So two jobs that plan the same work at the
    same time seldom encode the same shard at once."""
    return random.SystemRandom().sample(shards, len(shards))


class ShardEncoder:
    """A worker. It loads its encoder once, then encodes the shards that it is given, and publishes
    each as a cache segment. `precision` must be the planned one, since this machine might choose
    another."""

    def __init__(
        self,
        encoder_ref: str,
        storage_uri: str,
        n_threads: int | None = None,
        *,
        precision: Precision = "auto",
        trust_remote_code: bool = False,
    ):
        from probes.encoders.load import load_encoder

        self._encoder = load_encoder(
            encoder_ref,
            n_threads=n_threads,
            precision=precision,
            trust_remote_code=trust_remote_code,
        )
        self._storage = Storage(storage_uri)
        self._cache = EmbeddingCache(self._storage, self._encoder.info.fingerprint)

    def __call__(self, shard: Shard) -> EncodedShard:
        """Encode the texts of a shard of `plan_shards` that are not in the cache yet. Raises
        UserError when this worker's encoder is not the one that the work was planned for."""
        info = self._encoder.info
        if shard["encoder_fingerprint"] != info.fingerprint:
            raise UserError(
                f"encoder {info.ref}: its files changed since the work was planned"
                f" ({shard['encoder_fingerprint']} then, {info.fingerprint} here); start the job"
                " again"
            )
        try:
            table = self._storage.read_table(shard["texts_key"])
        except FileNotFoundError:  # the job that removed it has published the shard
            return {"key": shard["key"], **_NOTHING}
        texts = [value.as_py().decode("utf-8", "surrogatepass") for value in table["text"]]
        views = [View(int(layer), str(pooling)) for layer, pooling in shard["views"]]
        encoded = _encode_missing(self._encoder, self._cache, texts, views)
        self._storage.delete(shard["texts_key"])
        return {"key": shard["key"], **encoded}


def embed_texts(
    encoder: Encoder,
    cache: EmbeddingCache,
    texts: Sequence[str],
    views: Sequence[View],
    *,
    texts_per_shard: int = TEXTS_PER_SHARD,
    progress: Callable[[int, int], None] | None = None,
) -> Encoded:
    """Make sure that `views` of all `texts` are in `cache`: encode in this process what is missing.
    For inputs that are too small for a cluster.

    Returns the sums over all shards. `progress` gets (texts done, texts to encode). Raises
    UserError.
    """
    views = sorted({resolve_view(encoder.info, view) for view in views})
    shards = missing_shards(texts, cache.missing(texts, views), texts_per_shard)
    cache.describe(encoder.info)
    total: Encoded = {**_NOTHING}
    n_there, n_missing = 0, sum(map(len, shards))
    for shard in shards:
        done = _encode_missing(encoder, cache, shard, views)
        total = {
            "n_texts": total["n_texts"] + done["n_texts"],
            "n_tokens": total["n_tokens"] + done["n_tokens"],
            "seconds": total["seconds"] + done["seconds"],
        }
        n_there += len(shard)
        if progress is not None:
            progress(n_there, n_missing)
    return total


def task_matrix(task: Task, split: str, cache: EmbeddingCache, view: View) -> np.ndarray:
    """The inputs of a probe: row i is row i of the split. (n, d) float32 for single texts. For text
    pairs it is (n, 4d): the vectors u and v of the two texts as (u, v, |u - v|, u * v) (Conneau et
    al. 2017). For a view of pairs that are read together it is (n, d). Raises MissingVectorsError,
    UserError."""
    if split not in task.splits:
        raise UserError(
            f"task {task.name}: has no split {split}; it has {', '.join(sorted(task.splits))}"
        )
    rows: Split = task.splits[split]
    if view.is_cross:
        if rows.text_pair is None:
            raise UserError(
                f"task {task.name}: has no pairs of texts, which {view} reads; choose another view"
            )
        return cache.vectors(list(map(join_pair, rows.text, rows.text_pair)), view)
    u = cache.vectors(rows.text, view)
    if rows.text_pair is None:
        return u
    v = cache.vectors(rows.text_pair, view)
    return np.concatenate([u, v, np.abs(u - v), u * v], axis=1)


def _encode_missing(
    encoder: Encoder, cache: EmbeddingCache, texts: Sequence[str], views: Sequence[View]
) -> Encoded:
    """Encode those of `texts` that no other job has published meanwhile."""
    n_tokens, start = encoder.stats.n_tokens, time.perf_counter()
    missing = cache.missing(texts, views)
    if not missing:
        return _NOTHING
    cache.publish(missing, encoder.encode(missing, views))
    seconds = time.perf_counter() - start
    return {
        "n_texts": len(missing),
        "n_tokens": encoder.stats.n_tokens - n_tokens,
        "seconds": seconds,
    }
