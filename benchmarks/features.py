"""The cost of the whole feature battery of an embedding space: `embedding_features` on made-up
samples with the spectrum of a sentence encoder, the best of several runs."""

import argparse
import json
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from probes.features import embedding_features

SHAPES = ((64, 256, 384, 20), (256, 512, 384, 20), (1000, 1000, 384, 20), (1000, 1000, 768, 20))
"""(labelled rows, evaluation rows, columns, classes). The bar is set for the last one."""


def samples(
    n_rows: int, n_eval: int, n_columns: int, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """X (n, d), y (n,), X_eval (m, d), float32. The classes overlap, and the singular values fall
    like 1/sqrt(j)."""
    generator = np.random.default_rng(0)
    spectrum = np.arange(1, n_columns + 1) ** -0.5
    y = generator.permutation(np.arange(n_rows + n_eval) % n_classes)
    X = (
        generator.standard_normal((n_classes, n_columns))[y] * 0.5
        + generator.standard_normal((len(y), n_columns))
    ) * spectrum
    X = X.astype(np.float32)
    return X[:n_rows], y[:n_rows], X[n_rows:]


def seconds(shape: tuple[int, int, int, int], n_runs: int) -> float:
    """Seconds of the fastest of `n_runs` calls, after one call to warm up."""
    X, y, X_eval = samples(*shape)
    runs = []
    for _ in range(n_runs + 1):
        start = time.perf_counter()
        embedding_features(X, y, X_eval, shape[-1], seed=0)
        runs.append(time.perf_counter() - start)
    return min(runs[1:])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=8)
    options = parser.parse_args()
    table = Table(title="The feature battery")
    for name in ("labelled rows", "evaluation rows", "columns", "classes", "ms"):
        table.add_column(name, justify="right")
    best = {}
    for shape in SHAPES:
        best[shape] = seconds(shape, options.runs)
        table.add_row(*map(str, shape), f"{1000 * best[shape]:.0f}")
    Console(width=120).print(table)
    print(
        json.dumps(
            {
                "battery_seconds": round(best[SHAPES[-1]], 3),
                "battery_seconds_small": round(best[SHAPES[0]], 3),
            }
        )
    )
