"""The vectors of a user's samples (`meta.given.vectors`). Many texts are encoded by Ray where it is
installed, and otherwise in this process."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cluster.storage import Storage
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.vectors import TEXTS_PER_PART, embed_sample, encode_here
from neoberta.extras import missing
from neoberta.precision import UsedPrecision
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import Shard, ShardEncoder, in_random_order, plan_shards
from probes.encoders.base import Encoder, View
from probes.encoders.reference import in_full
from probes.tasks.task import Task
from ray_jobs.progress import ProgressCallback

RAY_ABOVE_TEXTS = 5000
"""Fewer texts than this are encoded in this process, because starting Ray would take longer.
Without the extra `study` this process encodes all texts."""


def embed_by_ray_if_many(
    ref: str,
    task: Task,
    storage: Storage,
    report: ProgressCallback,
    *,
    address: str | None = None,
    log_path: Path | None = None,
    trust_remote_code: bool = False,
    say: Callable[[str], object] = print,
) -> EmbeddedEncoder:
    """The same as `meta.given.vectors.embed_sample`. Where many texts are missing, Ray encodes
    them: an embedded one, or the one at `address`. Raises UserError."""

    def encode(
        encoder: Encoder,
        cache: EmbeddingCache,
        inputs: list[tuple[list[str], list[View]]],
        n_missing: int,
    ) -> None:
        fits_here = encoder.info.family in (
            "lsa",
            "static",
        )  # cheap, and an lsa fitted here exists nowhere else
        is_ray_worth_it = n_missing > RAY_ABOVE_TEXTS and not missing("study")
        if fits_here or (address is None and not is_ray_worth_it):
            encode_here(encoder, cache, inputs, progress=report)
            return
        shards = [
            shard
            for texts, wanted in inputs
            for shard in plan_shards(cache, encoder.info, texts, wanted, TEXTS_PER_PART)
        ]
        with _session(address, log_path) as opened:
            if opened.dashboard_url:
                say(f"Ray dashboard: {opened.dashboard_url}")
            _embed_by_ray(
                in_full(ref), encoder.info.precision, shards, storage, report, trust_remote_code
            )

    return embed_sample(
        ref, task, storage, report, trust_remote_code=trust_remote_code, encode_missing=encode
    )


def _embed_by_ray(
    ref: str,
    precision: UsedPrecision,
    shards: list[Shard],
    storage: Storage,
    report: ProgressCallback,
    trust_remote_code: bool,
) -> None:
    """Encode planned shards with one actor on each core."""
    from cluster.data import map_shards
    from cluster.resources import available_resources, n_workers_that_fit, worker_resources

    n_done = 0

    def count(*_: object) -> None:
        nonlocal n_done
        n_done += 1
        report(n_done, len(shards))

    available = available_resources()
    resources = worker_resources("embed", available)
    worker = {
        "encoder_ref": ref,
        "storage_uri": storage.uri,
        "n_threads": 1,
        "precision": precision,
        "trust_remote_code": trust_remote_code,
    }
    map_shards(
        ShardEncoder,
        in_random_order(shards),
        worker_kwargs=worker,
        n_actors=n_workers_that_fit(resources, available, len(shards)),
        cpus_per_actor=resources.cpus,
        gpus_per_actor=resources.gpus,
        memory_bytes_per_actor=resources.memory_bytes,
        on_done=count,
    )


def _session(address: str | None, log_path: Path | None) -> AbstractContextManager[Any]:
    from cluster.session import session

    return session(address, log_path=log_path)
