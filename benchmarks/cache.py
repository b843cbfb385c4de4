"""The embedding cache: a second run encodes nothing, a million vectors are read as a memory map,
and the readers of a node share one copy of them."""

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from cluster.storage import Storage
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import TEXTS_PER_SHARD, embed_texts
from probes.embeddings.segment import text_keys
from probes.encoders.base import View
from probes.encoders.load import load_encoder

N_COLUMNS = 384
"""Columns of a vector, as those of all-MiniLM-L6-v2."""
VIEW = View(6, "mean")
ENCODER = "hf:all-MiniLM-L6-v2"
FINGERPRINT = "0123456789abcdef"
TAKEN_ROWS = 2048
"""Rows that a probe takes of the million."""


def made_up_texts(n_texts: int) -> list[str]:
    return [
        f"text number {number}, about as long as a headline or a question of a forum is"
        for number in range(n_texts)
    ]


def fill_cache(storage: Storage, texts: Sequence[str]) -> float:
    """Publish made-up vectors in segments of the default size. Returns the seconds that it took."""
    generator = np.random.default_rng(0)
    vectors = generator.standard_normal((TEXTS_PER_SHARD, N_COLUMNS), dtype=np.float32)
    cache = EmbeddingCache(storage, FINGERPRINT)
    started = time.perf_counter()
    for start in range(0, len(texts), TEXTS_PER_SHARD):
        cache.publish(texts[start : start + TEXTS_PER_SHARD], {VIEW: vectors[: len(texts) - start]})
    return time.perf_counter() - started


def read_seconds(storage: Storage, keys: np.ndarray) -> dict[str, float]:
    """Seconds of three steps: from a storage to the mapped vectors of `keys`, from there to the
    rows of a probe, and to a float32 matrix of all rows. The first step verifies every checksum, so
    it reads every byte. `map_cpu` is the processor's share of it: on a busy machine the rest is
    waiting."""
    started, cpu_started = time.perf_counter(), time.process_time()
    mapped = EmbeddingCache(storage, FINGERPRINT).mapped(keys, VIEW)
    mapped_at, cpu_mapped_at = time.perf_counter(), time.process_time()
    mapped[np.random.default_rng(0).permutation(len(keys))[:TAKEN_ROWS]]
    taken_at = time.perf_counter()
    everything = mapped[:]
    ended = time.perf_counter()
    assert everything.shape == (len(keys), N_COLUMNS)
    seconds = {
        "map": mapped_at - started,
        "take": taken_at - mapped_at,
        "all_as_float32": ended - taken_at,
    }
    return {**seconds, "map_cpu": cpu_mapped_at - cpu_started}


def run_reader(uri: str, keys_path: str, pipe: Connection) -> None:
    """The process of one reader. It maps every vector and reads all of them. Then it reports its
    memory each time it is asked, until the pipe closes."""
    before = private_bytes()
    mapped = EmbeddingCache(Storage(uri), FINGERPRINT).mapped(np.load(keys_path), VIEW)
    arrays = list(mapped.stored())
    # the first column touches every page of memory
    total = sum(float(array[:, 0].sum(dtype=np.float64)) for array in arrays)
    pipe.send(total)
    while pipe.recv():
        pipe.send({"shared": pss_bytes(".safetensors"), "private": private_bytes() - before})


def pss_bytes(suffix: str) -> int:
    """This process's proportional share of the memory of mapped files whose names end with
    `suffix`."""
    total, counts = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split(None, 1)[0]
        if not first.endswith(":"):
            counts = line.endswith(suffix)
        elif counts and first == "Pss:":
            total += 1024 * int(line.split()[1])
    return total


def private_bytes() -> int:
    """Memory of this process that no other process shares."""
    lines = [line.split() for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]]
    return 1024 * sum(int(parts[1]) for parts in lines if parts[0].startswith("Private_"))


def memory_of_readers(storage: Storage, keys: np.ndarray, n_readers: int) -> dict[str, float]:
    """Bytes of the mapped vectors (sum of PSS) that one reader costs the node, and that `n_readers`
    at once cost it; and the bytes that each reader has for itself."""
    context = multiprocessing.get_context("spawn")
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        np.save(file, keys)
        file.flush()
        readers, found = [], []
        for number in range(n_readers):
            pipe, other_end = context.Pipe()
            process = context.Process(target=run_reader, args=(storage.uri, file.name, other_end))
            process.start()
            readers.append((process, pipe))
            pipe.recv()
            if number in (0, n_readers - 1):
                reports = []
                for _, each in readers:
                    each.send(True)
                    reports.append(each.recv())
                found.append(reports)
        for process, pipe in readers:
            pipe.send(False)
            process.join()
    one, many = found
    return {
        "one_reader": one[0]["shared"],
        "all_readers": sum(report["shared"] for report in many),
        "private_each": max(report["private"] for report in many),
    }


def second_run(storage: Storage, n_texts: int) -> tuple[int, int]:
    """The numbers of texts that a first run and a second run of the same job send through the
    encoder."""
    encoder = load_encoder(ENCODER)
    texts = made_up_texts(n_texts)
    for _ in range(2):
        embed_texts(encoder, EmbeddingCache(storage, encoder.info.fingerprint), texts, [VIEW])
        n_encoded = encoder.stats.n_texts
    return n_texts, n_encoded - n_texts


def main(n_vectors: int, n_readers: int, rounds: int) -> dict[str, float]:
    texts = made_up_texts(n_vectors)
    started = time.perf_counter()
    keys = text_keys(texts)
    key_seconds = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        first, second = second_run(storage, 200)
        fill_seconds = fill_cache(storage, texts)
        size_bytes = sum(file.size_bytes for file in storage.files(f"embeddings/{FINGERPRINT}"))
        best = {
            name: min(times)
            for name, times in _columns(
                [read_seconds(storage, keys) for _ in range(rounds)]
            ).items()
        }
        shared = memory_of_readers(storage, keys, n_readers)
    ratio = shared["all_readers"] / shared["one_reader"]
    table = Table(
        title=(
            f"{n_vectors:,} vectors of {N_COLUMNS}, {size_bytes / 1e6:,.0f} MB in segments of"
            f" {TEXTS_PER_SHARD:,}"
        )
    )
    for name in ("what", "how much"):
        table.add_column(name, justify="right" if name == "how much" else "left")
    rows = [
        ("texts encoded by a first run, and by a second", f"{first}, {second}"),
        ("writing, s", f"{fill_seconds:.1f}"),
        ("SHA-256 of the texts (their keys), s", f"{key_seconds:.2f}"),
        ("opening, finding and verifying all as a memory map, s", f"{best['map']:.2f}"),
        ("  of which the processor worked, s", f"{best['map_cpu']:.2f}"),
        (f"taking {TAKEN_ROWS:,} of them as float32, s", f"{best['take']:.3f}"),
        ("copying all into a float32 matrix, s", f"{best['all_as_float32']:.2f}"),
        ("vectors in memory with one reader, MB", f"{shared['one_reader'] / 1e6:,.0f}"),
        (f"vectors in memory with {n_readers} readers, MB", f"{shared['all_readers'] / 1e6:,.0f}"),
        ("what each reader has besides (index, rows), MB", f"{shared['private_each'] / 1e6:,.0f}"),
    ]
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    return {
        "second_run_texts_encoded": second,
        "map_seconds": round(best["map"], 3),
        "map_cpu_seconds": round(best["map_cpu"], 3),
        "key_seconds": round(key_seconds, 3),
        "take_seconds": round(best["take"], 4),
        "n_readers": n_readers,
        "readers_memory_ratio": round(ratio, 3),
        "private_mb_each": round(shared["private_each"] / 1e6, 1),
        "n_cores": os.cpu_count() or 1,
    }


def _columns(rows: Sequence[dict[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--readers", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(json.dumps(main(options.vectors, options.readers, options.rounds)))
