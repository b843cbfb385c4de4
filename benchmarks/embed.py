"""Encoding texts: our encoder beside sentence-transformers' `encode` at its defaults, in turn in
one run.

Both get the same texts and the same model (all-MiniLM-L6-v2), and give the same vectors: the
folder's own sentence embedding. The machine's rate of matrix products is measured between the
rounds, so that other work on the machine slows it down as much. `--scan` measures what the batching
constants of `probes.encoders.batching` come from.
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from neoberta.precision import autocast_dtype
from probes.encoders.base import View
from probes.encoders.hf import load_hf
from probes.encoders.load import load_encoder
from probes.encoders.model_folder import find_model_folder
from probes.encoders.transformer import TransformerEncoder
from probes.tasks.load import load_task

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "classification"
TASKS = ("sst2", "banking77", "ag_news_test", "pubmedqa")
"""Tasks with short, shorter, middling and long texts, in equal shares."""
MODEL = "all-MiniLM-L6-v2"
SENTENCE = View(6, "sentence")
SCANNED_TOKENS = (256, 512, 1024, 2048, 4096, 8192)


def read_texts(n_texts: int) -> tuple[list[str], str]:
    """(`n_texts` distinct texts, the names of the tasks that they are from)."""
    folders = [DATA / name for name in TASKS]
    if all(folder.is_dir() for folder in folders):
        shares = [
            _draw(load_task(str(folder)).splits["train"].text, n_texts // len(TASKS))
            for folder in folders
        ]
        return [text for share in shares for text in share], ", ".join(TASKS)
    from probes.tasks.docs.registry import DOCS_TASKS

    name = f"docs/{next(iter(DOCS_TASKS))}"
    return _draw(load_task(name).splits["train"].text, n_texts), name


def _draw(texts: Sequence[str], n_texts: int) -> list[str]:
    distinct = list(dict.fromkeys(texts))
    return [distinct[i] for i in np.random.default_rng(0).permutation(len(distinct))[:n_texts]]


def matmul_rate(dtype: torch.dtype | None) -> float:
    """FLOP/s, on all threads, of a product with the model's largest shapes: the best of several."""
    a, b = torch.randn(2048, 384, dtype=dtype), torch.randn(384, 1536, dtype=dtype)
    best = 0.0
    for _ in range(12):
        start = time.perf_counter()
        for _ in range(4):
            a @ b
        best = max(best, 4 * 2 * 2048 * 384 * 1536 / (time.perf_counter() - start))
    return best


def model_flops(lengths: Sequence[int], encoder: TransformerEncoder) -> float:
    """FLOP of the matrix products for texts of these lengths (in tokens), without any padding."""
    n_layers, width = encoder.info.n_layers, encoder.info.hidden_size
    per_token = 2 * n_layers * 12 * width * width
    return float(sum(n * per_token + 4 * n * n * width * n_layers for n in lengths))


def compare(n_texts: int, rounds: int) -> dict[str, float]:
    """Run both in turn, `rounds` times. Returns the figures of the last line."""
    from sentence_transformers import SentenceTransformer

    texts, source = read_texts(n_texts)
    peer = SentenceTransformer(str(find_model_folder(MODEL, MODEL)), device="cpu")
    encoder = load_encoder(f"hf:{MODEL}")
    assert isinstance(encoder, TransformerEncoder)
    dtype = autocast_dtype("auto", "cpu")
    peer.encode(texts[:64])
    encoder.encode(texts[:64], [SENTENCE])
    rows, ours, theirs = [], None, None
    lengths = [len(ids) for ids in encoder._tokenizer.texts(texts).ids]
    flops = model_flops(lengths, encoder)
    for _ in range(rounds):
        before = (encoder.stats.n_tokens, encoder.stats.n_padding)
        start = time.perf_counter()
        ours = encoder.encode(texts, [SENTENCE])[SENTENCE]
        seconds = time.perf_counter() - start
        padding = (encoder.stats.n_padding - before[1]) / (encoder.stats.n_tokens - before[0])
        rate = matmul_rate(dtype)
        start = time.perf_counter()
        theirs = peer.encode(texts)
        peer_seconds = time.perf_counter() - start
        rows.append((seconds, peer_seconds, rate, padding))
    cosine = (ours * theirs).sum(1) / (
        np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    )
    table = Table(
        title=(
            f"{len(texts)} texts ({source}), {sum(lengths):,} tokens, {MODEL},"
            f" {torch.get_num_threads()} threads"
        )
    )
    for name in (
        "round",
        "ours, s",
        "sentence-transformers, s",
        "ratio",
        "our tokens/s",
        "GFLOP/s of a product",
        "our share",
        "theirs",
    ):
        table.add_column(name, justify="right")
    for number, (seconds, peer_seconds, rate, _) in enumerate(rows, 1):
        shares = (flops / seconds / rate, flops / peer_seconds / rate)
        cells = (seconds, peer_seconds, peer_seconds / seconds, sum(lengths) / seconds, rate / 1e9)
        table.add_row(
            str(number), *(f"{cell:,.2f}" for cell in cells), *(f"{share:.2f}" for share in shares)
        )
    console = Console(width=140)
    console.print(table)
    seconds, peer_seconds, rate = (statistics.median(row[i] for row in rows) for i in range(3))
    peer_fraction = statistics.median(flops / row[1] / row[2] for row in rows)
    return {
        "speedup": round(statistics.median(row[1] / row[0] for row in rows), 3),
        "min_cosine": round(float(cosine.min()), 6),
        "mean_cosine": round(float(cosine.mean()), 6),
        "matmul_fraction": round(statistics.median(flops / row[0] / row[2] for row in rows), 3),
        "peer_matmul_fraction": round(peer_fraction, 3),
        "speedup_ceiling": round(1 / peer_fraction, 3),
        "texts_per_second": round(len(texts) / seconds, 1),
        "tokens_per_second": round(sum(lengths) / seconds, 1),
        "peer_texts_per_second": round(len(texts) / peer_seconds, 1),
        "padding_share": round(rows[-1][3], 4),
        "matmul_gflops": round(rate / 1e9, 1),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "precision": str(dtype or torch.float32).removeprefix("torch."),
    }


def scan() -> dict[str, float]:
    """Tokens/s of one thread by tokens in a batch, and what a call costs besides its tokens."""
    torch.set_num_threads(1)
    encoder = load_hf(MODEL, MODEL, family="hf", precision="auto", max_length=512)
    table = Table(title="One thread: tokens/s by tokens a batch")
    for name in ("tokens a text", *(str(n) for n in SCANNED_TOKENS)):
        table.add_column(name, justify="right")
    for n_tokens in (16, 64, 256):
        rates = [
            max(n // n_tokens, 1) * n_tokens / _seconds(encoder, max(n // n_tokens, 1), n_tokens)
            for n in SCANNED_TOKENS
        ]
        table.add_row(str(n_tokens), *(f"{rate:,.0f}" for rate in rates))
    Console(width=140).print(table)
    least, many = _seconds(encoder, 1, 8), _seconds(encoder, 32, 16)
    per_token = (many - least) / (32 * 16 - 8)
    call_tokens = least / per_token - 8
    rate = matmul_rate(None)
    return {
        "call_tokens": round(call_tokens, 1),
        "call_tokens_assumed": round(encoder.call_tokens, 1),
        "call_flops_per_layer": (least - 8 * per_token) * rate / encoder.info.n_layers,
    }


def _seconds(encoder: TransformerEncoder, n_texts: int, n_tokens: int) -> float:
    ids = torch.randint(1000, 20_000, (n_texts, n_tokens))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        encoder._run(inputs)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scan", action="store_true")
    options = parser.parse_args()
    print(json.dumps(scan() if options.scan else compare(options.texts, options.rounds)))
