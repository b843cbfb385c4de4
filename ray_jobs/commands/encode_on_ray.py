"""The vectors of a user's samples (`meta.given.vectors`): in this process, or by Ray where it is
installed and quicker."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from cluster.resources import local_cpus
from cluster.storage import Storage
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.vectors import TEXTS_PER_PART, MissingVectors, embed_sample, encode_here
from neoberta.extras import missing as extra_is_missing
from neoberta.precision import UsedPrecision
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import Shard, ShardEncoder, in_random_order, plan_shards
from probes.encoders.base import Encoder
from probes.encoders.reference import in_full
from probes.tasks.task import Task
from ray_jobs.commands.where_to_encode import Encoding, choose_place
from ray_jobs.progress import ProgressCallback


def embed_where_quicker(
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
    """As `meta.given.vectors.embed_sample`. Ray (embedded, or at `address`) is started only where
    the missing texts are encoded earlier by it, start included. Both places publish the same parts
    in the same cache: what one has done, the other does not do again. `say` gets the reason. Raises
    UserError."""

    def encode(encoder: Encoder, cache: EmbeddingCache, missing: MissingVectors) -> None:
        # both are cheap, and an lsa fitted here exists nowhere else
        has_no_choice = encoder.info.family in ("lsa", "static") or extra_is_missing("study")
        if has_no_choice:
            encode_here(encoder, cache, missing, progress=report)
            return
        place = choose_place(_encoding(missing, is_at_address=address is not None))
        say(f"{ref}: {place.why}")
        if not place.is_ray:
            encode_here(encoder, cache, missing, progress=report)
            return
        shards = [
            shard
            for texts, wanted in missing.inputs
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


def _encoding(missing: MissingVectors, *, is_at_address: bool) -> Encoding:
    """The work and this machine, for the decision."""
    import torch

    n_gpus = torch.cuda.device_count()
    return Encoding(
        missing.seconds,
        math.ceil(missing.n_texts / TEXTS_PER_PART),
        n_units_here=1 if n_gpus else torch.get_num_threads(),
        n_units_ray=n_gpus or local_cpus(),
        is_at_address=is_at_address,
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
