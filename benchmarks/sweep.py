"""A large sweep of probes through Ray Tune, end to end: overhead, memory, resumption, growth.

    python -m benchmarks.sweep [--tasks 20] [--seeds 10] [--growth] [--out FOLDER]

Tasks are samples (700 rows to train on, 300 to test) of public sets. Their spaces are seven layers
of all-MiniLM-L6-v2 and LSA. Where the data is absent, there are synthetic sets and LSA of several
widths. Embedding comes before the clock starts, and is kept between runs. Timed are the sweep
itself, from its plan to its last file, in an embedded Ray that is already there, with one worker a
core; and then the same sweep again. `ray_overhead` is 1 - solver seconds / (wall x cores). Memory
is that of this process and of all processes of its Ray, sampled every two seconds; what they share
is counted once. `--growth` adds 10k, 30k and 100k probes on one and on two workers.
"""

import argparse
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.embeddings import CACHE, DATA
from cluster.resources import local_cpus
from cluster.session import session
from probes.sweep.sweep import plan_blocks
from ray_jobs.config import validate
from ray_jobs.stages.embed import embed, make_encoders
from ray_jobs.stages.sweep import sweep
from ray_jobs.stages.tasks import make_tasks
from ray_jobs.study import Study, StudyConfig

N_TRAIN, N_TEST = 700, 300
MAX_CLASSES = 30
GROWTH = (10_000, 30_000, 100_000)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--out", type=Path, default=CACHE / "sweep")
    options = parser.parse_args()
    tasks, encoders = task_files(options.tasks)
    config = study_config(tasks, encoders, options.seeds)
    table: list[dict[str, Any]] = []
    with session(log_path=options.out / "ray.log"):
        result = run_once(config, options.out, local_cpus())
    if options.growth:
        for n_workers in sorted({1, local_cpus()}):
            for n_wanted in GROWTH:
                share = min(1.0, n_wanted / result["probes"])
                with session(n_cpus=n_workers, log_path=options.out / "ray.log"):
                    table.append(run_once(config, options.out, n_workers, share))
                line = (
                    "{workers} workers, {probes:>7,} probes: {seconds:6.1f} s, "
                    "{microseconds:6.0f} µs a probe and worker, overhead {ray_overhead:.3f}"
                )
                print(line.format(**table[-1]), flush=True)
    print(json.dumps(result | ({"growth": table} if table else {})))


def run_once(config: StudyConfig, out: Path, n_workers: int, share: float = 1.0) -> dict[str, Any]:
    """The sweep of `config` over the first `share` of its tasks, from nothing, and then again. A
    session with `n_workers` must be open."""
    for folder in ("probes", "parts", "costs", "status", "tensorboard"):
        shutil.rmtree(out / folder, ignore_errors=True)
    n_tasks = max(1, round(share * len(config.tasks)))
    with Study(config, str(out), n_stages=4) as study:
        rows = study.run("tasks", make_tasks)[:n_tasks]
        encoders = study.run("encoders", lambda study, report: make_encoders(study, report, {}))
        study.run("embeddings", lambda study, report: embed(study, report, rows, encoders))
        with memory_sampled() as peak:
            started = time.perf_counter()
            study.run("probes", lambda study, report: sweep(study, report, rows, encoders))
            seconds = time.perf_counter() - started
        started = time.perf_counter()
        study.run("again", lambda study, report: sweep(study, report, rows, encoders))
        seconds_again = time.perf_counter() - started
        (cost,) = [study.storage.read_json(key) for key in study.storage.keys("costs")]
        n_blocks = len(plan_blocks(config.sweep, rows, encoders, storage_uri=study.storage.uri))
    return {
        "workers": n_workers,
        "tasks": n_tasks,
        "spaces": n_blocks // n_tasks,
        "probes": cost["n_probes"],
        "seconds": seconds,
        "probes_per_second": cost["n_probes"] / seconds,
        "microseconds": 1e6 * seconds * n_workers / cost["n_probes"],
        "solver_seconds": cost["seconds"],
        "worker_seconds": cost["worker_seconds"],
        "ray_overhead": 1 - cost["seconds"] / (seconds * n_workers),
        "predicted_seconds": cost["predicted_seconds"],
        "bytes_written": cost["bytes"],
        "predicted_bytes": cost["predicted_bytes"],
        "seconds_again": seconds_again,
        "peak_rss_mb": peak["total"],
        "peak_rss_mb_largest_process": peak["largest"],
    }


def study_config(tasks: list[str], encoders: list[dict[str, Any]], n_seeds: int) -> StudyConfig:
    """A study of which only the tasks, encoders and sweep are used."""
    value = {
        "name": "benchmark",
        "tasks": tasks,
        "encoders": encoders,
        "sweep": {
            "sizes": [16, 32, 64, 128, 256, 512],
            "n_seeds": n_seeds,
            "logistic_sizes": [32, 128],
            "max_test_rows": N_TEST,
        },
        "metamodel": {"observations": {"sizes": [32, 64], "n_seeds": 1}},
        "characterize": {"task": tasks[0]},
    }
    return validate(StudyConfig, value, "benchmark")


def task_files(n_tasks: int) -> tuple[list[str], list[dict[str, Any]]]:
    """(task folders, encoders of a study): samples of public sets, or synthetic ones where the sets
    are absent."""
    found = [
        _sample(folder, CACHE / "tasks" / folder.name)
        for folder in (sorted(DATA.glob("*")) if DATA.is_dir() else [])
    ]
    # long texts take long to encode, and make no difference to the probes
    shortest = sorted(filter(None, found))[:n_tasks]
    if len(shortest) == n_tasks:
        return [folder for _, folder in shortest], [
            {"ref": "hf:all-MiniLM-L6-v2", "poolings": ["mean"]},
            {"ref": "lsa:256"},
        ]
    made = [
        str(_synthetic_task(number, CACHE / "tasks" / f"synthetic-{number}"))
        for number in range(n_tasks)
    ]
    return made, [{"ref": f"lsa:{dim}"} for dim in (16, 32, 64, 96, 128, 192)]


def _sample(folder: Path, to: Path) -> tuple[float, str] | None:
    """(mean length of its texts, folder) of a task with N_TRAIN and N_TEST rows of the one in
    `folder`. None where that is a pair task, is too small, or has too many classes."""
    try:
        train, test = (pd.read_parquet(folder / f"{split}.parquet") for split in ("train", "test"))
    except FileNotFoundError:
        return None
    known = train.label.nunique()
    if "text_pair" in train or len(train) < N_TRAIN or len(test) < N_TEST or known > MAX_CLASSES:
        return None
    to.mkdir(parents=True, exist_ok=True)
    train.sample(N_TRAIN, random_state=0)[["text", "label"]].to_parquet(to / "train.parquet")
    test.sample(N_TEST, random_state=0)[["text", "label"]].to_parquet(to / "test.parquet")
    return float(train.text.str.len().mean()), str(to)


def _synthetic_task(seed: int, to: Path) -> Path:
    generator = np.random.default_rng(seed)
    n_classes = int(generator.integers(2, 20))
    words = np.array([f"w{i}" for i in range(2000)])
    to.mkdir(parents=True, exist_ok=True)
    for split, n_rows in (("train", N_TRAIN), ("test", N_TEST)):
        labels = generator.integers(0, n_classes, n_rows)
        texts = []
        for label in labels:
            own = np.arange(label, len(words), n_classes)
            texts.append(" ".join([*generator.choice(words[own], 6), *generator.choice(words, 10)]))
        pd.DataFrame({"text": texts, "label": [f"class{label}" for label in labels]}).to_parquet(
            to / f"{split}.parquet"
        )
    return to


@contextmanager
def memory_sampled() -> Iterator[dict[str, float]]:
    """Resident MB of this process and its descendants while the block runs, where memory that
    processes share is counted once: the largest sum, and the largest process."""
    import psutil

    peak = {"total": 0.0, "largest": 0.0}
    is_over = threading.Event()

    def sample() -> None:
        own = psutil.Process()
        while not is_over.wait(2.0):
            sizes = []
            for process in [own, *own.children(recursive=True)]:
                try:
                    sizes.append(process.memory_full_info().pss / 1e6)
                except (psutil.NoSuchProcess, psutil.AccessDenied):
                    continue
            peak["total"], peak["largest"] = (
                max(peak["total"], sum(sizes)),
                max(peak["largest"], *sizes, 0.0),
            )

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        is_over.set()
        thread.join()


if __name__ == "__main__":
    main()
