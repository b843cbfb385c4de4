"""Blocks of a made-up sweep and their result tables, for tests of what looks at results. No probes
are fitted."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from probes.sweep.results import PROBE_RESULTS_SCHEMA

SIZES, N_SEEDS, CS = (16, 64), 3, (0.1, 1.0)


def block(
    task: str = "a/b",
    encoder: str = "hf:enc",
    layer: int = 1,
    probes: tuple[str, ...] = ("ridge", "logistic"),
) -> dict:
    """A planned block as far as those who look at results need it."""
    spec = {
        "sizes": SIZES,
        "n_seeds": N_SEEDS,
        "probes": probes,
        "ridge_Cs": CS,
        "logistic_Cs": CS,
        "logistic_sizes": SIZES,
    }
    spec |= {"logistic_n_seeds": N_SEEDS, "subsets": ("stratified",)}
    key = f"probes/{abs(hash((task, encoder, layer, probes))):016x}"[:23] + ".parquet"
    place = {"task": task, "encoder_name": encoder, "layer": layer, "pooling": "mean"}
    return {"key": key, "n_train": 1000, "spec": spec, **place}


def table(block: dict[str, Any], seed: int = 0) -> pa.Table:
    """Its results: random metrics, the second C chosen; auroc undefined."""
    generator = np.random.default_rng(seed)
    rows = [
        {
            "task": block["task"],
            "encoder": block["encoder_name"],
            "layer": block["layer"],
            "pooling": block["pooling"],
            "n_train": size,
            "subset": "stratified",
            "seed": draw,
            "probe": probe,
            "C": C,
            "C_selected": CS[1] == C,
            "created_at": datetime(2026, 1, 1, tzinfo=UTC),
            **{
                metric: generator.uniform()
                for metric in ("accuracy", "macro_f1", "log_loss", "ece")
            },
        }
        for probe in block["spec"]["probes"]
        for size in SIZES
        for draw in range(N_SEEDS)
        for C in CS
    ]
    return pa.Table.from_pylist(rows, schema=PROBE_RESULTS_SCHEMA)
