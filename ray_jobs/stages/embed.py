"""The stage that encodes every text of the study's tasks with every encoder, through Ray Data. The
vectors go into the embedding cache."""

import functools
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from cluster.storage import Storage, UserError, digest
from neoberta.corpus import texts_digest
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import (
    EncodedShard,
    Shard,
    ShardEncoder,
    embedding_inputs,
    in_random_order,
    plan_shards,
)
from probes.encoders.base import EncoderInfo, View
from probes.encoders.load import describe_encoder
from probes.encoders.reference import in_full
from probes.tasks.store import load_saved_task
from ray_jobs.counters import CACHE_TEXTS, ENCODED_TEXTS, ENCODED_TOKENS
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.tasks import TaskRow
from ray_jobs.stages.tokenizer import learning_texts
from ray_jobs.study import EncoderConfig, Study

LSA_FOLDER = "encoders/fitted"
"""Folder of small files. Each one says which fitted LSA belongs to which texts."""


class EncoderRow(BaseModel):
    """An encoder of the study, ready to be probed."""

    model_config = ConfigDict(frozen=True)

    name: str
    """The name of the encoder in tables."""
    ref: str
    """The reference that `load_encoder` takes on this storage."""
    info: EncoderInfo
    views: tuple[View, ...]
    """The views that are embedded and probed."""
    trust_remote_code: bool = False
    """Whether the encoder may run the Python code that its folder brings."""


class StudyShard(Shard):
    """A shard and its encoder's name. So one pool of workers can serve all encoders of the
    study."""

    encoder_ref: str
    trust_remote_code: bool


_describe = functools.cache(describe_encoder)
"""What a reference names. Each encoder is loaded once in a run, also where it was checked
before."""


def check_encoders(study: Study) -> None:
    """Load every encoder that does not come from the study itself, so that a mistake shows before
    hours of work. Raises UserError."""
    for config in study.config.encoders:
        family, _, name = config.ref.partition(":")
        is_own = name in study.config.neobertas or (family == "lsa" and name.isdecimal())
        if not is_own:
            _wanted_views(config, _describe(config.ref, trust_remote_code=config.trust_remote_code))


def make_encoders(
    study: Study, report: ProgressCallback, checkpoints: dict[str, str]
) -> list[EncoderRow]:
    """The study's encoders with their references resolved: `neoberta:NAME` and `random:NAME` to the
    checkpoint's folder, `lsa:DIM` to one fitted on the study's pretraining text. Raises UserError
    for an encoder that does not exist or a view that it does not have."""
    rows = []
    for done, config in enumerate(study.config.encoders):
        report(done, len(study.config.encoders))
        ref = _resolve(study, config.ref, checkpoints)
        trusted = config.trust_remote_code
        info = _describe(ref, trust_remote_code=trusted)
        for note in info.notes:
            study.progress.say(f"note: {note}")
        views = _wanted_views(config, info)
        info = replace(info, ref=config.name)
        rows.append(
            EncoderRow(name=config.name, ref=ref, info=info, views=views, trust_remote_code=trusted)
        )
        same = [row.name for row in rows[:-1] if row.info.fingerprint == info.fingerprint]
        if same:
            raise UserError(
                f"encoders: {same[0]} and {config.name} are the same encoder; name it once"
            )
    return rows


def embed(
    study: Study, report: ProgressCallback, tasks: Sequence[TaskRow], encoders: Sequence[EncoderRow]
) -> dict[str, int]:
    """Fill the cache. Returns how many texts each encoder has encoded now. 0 means that all vectors
    were there."""
    from cluster.data import map_shards
    from cluster.resources import available_resources, n_workers_that_fit, worker_resources

    loaded = [load_saved_task(study.storage, task.fingerprint) for task in tasks]
    shards: list[StudyShard] = []
    n_texts: dict[str, int] = {}
    for encoder in encoders:
        cache = EmbeddingCache(study.storage, encoder.info.fingerprint)
        inputs = embedding_inputs(loaded, encoder.views)
        plan: list[StudyShard] = [
            {**shard, "encoder_ref": encoder.ref, "trust_remote_code": encoder.trust_remote_code}
            for texts, views in inputs
            for shard in plan_shards(
                cache, encoder.info, texts, views, study.config.texts_per_shard
            )
        ]
        shards += plan
        n_missing = n_texts[encoder.name] = sum(shard["n_texts"] for shard in plan)
        CACHE_TEXTS.add(n_missing, result="miss")
        CACHE_TEXTS.add(sum(len(texts) for texts, _ in inputs) - n_missing, result="hit")
    n_done = 0

    def count(done: EncodedShard) -> None:
        nonlocal n_done
        n_done += 1
        ENCODED_TEXTS.add(done["n_texts"])
        ENCODED_TOKENS.add(done["n_tokens"])
        report(n_done, len(shards))

    if shards:
        n_bytes = sum(shard["n_bytes"] for shard in shards)
        check_room(study.storage, n_bytes)
        study.progress.say(
            f"embeddings: {sum(n_texts.values()):,} texts to encode, about {n_bytes / 1e6:,.1f} MB"
            " of vectors"
        )
        study.need_ray()
        available = available_resources()
        resources = worker_resources("embed", available)
        map_shards(
            StudyShardEncoder,
            in_random_order(shards),
            worker_kwargs={"storage_uri": study.storage.uri},
            n_actors=n_workers_that_fit(resources, available, len(shards)),
            cpus_per_actor=resources.cpus,
            gpus_per_actor=resources.gpus,
            memory_bytes_per_actor=resources.memory_bytes,
            on_done=count,
        )
    study.made(sum(n_texts.values()), "texts encoded")
    return n_texts


def check_room(storage: Storage, n_bytes: int) -> None:
    """Check that the disk has room for `n_bytes` more, before anything is encoded. Raises
    UserError."""
    if not storage.is_local:
        return
    root = Path(storage.uri)
    free_bytes = shutil.disk_usage(
        next(path for path in (root, *root.parents) if path.exists())
    ).free
    if free_bytes < n_bytes:
        raise UserError(
            f"{storage.uri}: the vectors need about {n_bytes / 1e6:,.1f} MB, and"
            f" {free_bytes / 1e6:,.1f} MB are free there; free some, choose another --out, or ask"
            " for fewer `layers` and `poolings`"
        )


class StudyShardEncoder:
    """A worker process that encodes shards of several encoders. It holds one encoder at a time."""

    def __init__(self, storage_uri: str):
        self._storage_uri = storage_uri
        self._ref: str | None = None
        self._worker: ShardEncoder | None = None

    def __call__(self, shard: StudyShard) -> EncodedShard:
        """Encode the texts of one shard that are not in the cache yet."""
        if self._worker is None or shard["encoder_ref"] != self._ref:
            self._worker = None  # frees the memory of the last encoder first
            self._worker = ShardEncoder(
                shard["encoder_ref"],
                self._storage_uri,
                n_threads=1,
                precision=shard["precision"],
                trust_remote_code=shard["trust_remote_code"],
            )
            self._ref = shard["encoder_ref"]
        return self._worker(shard)


def _resolve(study: Study, ref: str, checkpoints: dict[str, str]) -> str:
    family, _, name = ref.partition(":")
    if family in ("neoberta", "random") and name in checkpoints:
        return f"{family}:{study.storage.local_path(checkpoints[name])}"
    if family == "lsa" and name.isdecimal():
        from probes.encoders.lsa import fit_lsa, save_lsa  # scikit-learn takes two seconds to load

        texts = learning_texts(study)
        key = f"{LSA_FOLDER}/{digest({'texts': texts_digest(texts), 'dim': name})}.json"
        if not study.storage.exists(key):
            study.storage.write_json(
                key, {"encoder": save_lsa(fit_lsa(texts, int(name)), study.storage)}
            )
        return f"lsa:{study.storage.local_path(study.storage.read_json(key)['encoder'])}"
    return in_full(ref)


def _wanted_views(config: EncoderConfig, info: EncoderInfo) -> tuple[View, ...]:
    layers = range(info.n_layers + 1) if config.layers == "all" else config.layers
    missing = [layer for layer in layers if layer > info.n_layers]
    if missing:
        raise UserError(
            f"encoder {config.ref}: has layers 0 to {info.n_layers}, not {missing[0]}; change its"
            " `layers`"
        )
    return tuple(
        view
        for view in info.views
        if view.layer in layers and (view.pooling in config.poolings or info.n_layers == 0)
    )
