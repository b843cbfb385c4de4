"""Linear probes beside scikit-learn's: the same samples, regularisations and cores, in turn in one
run.

    python -m benchmarks.probes [--n 32,128,512,2048] [--classes 2,6,20,77] [--seeds 10]
        [--peer-seeds 2]

Each cell fits `seeds` samples x 8 regularisations. Ours: `row_space` and `fit_logistic_path`, with
the samples dealt out to one process per core, each with one thread. The peer: scikit-learn's
LogisticRegression (lbfgs) on the same float32 rows. Each fit is a task of joblib, on all cores with
one BLAS thread each. Its tolerance is the loosest with which every objective of the first sample is
at most 1e-4 (relative) above ours. It gets float64 where it does not reach that in float32. The
peer fits `peer-seeds` samples, and its time is scaled to all. Loading and starting are not timed.

Ridge: `row_space` and `fit_ridge_paths` give every C's probe, its leave-one-out scores and the
choice by them. The peer is the cheapest way to the same: one RidgeClassifierCV over all C for the
leave-one-out, and a RidgeClassifier for each C. `fits only` is against those RidgeClassifiers
alone, which have no leave-one-out. `one by one` is against a RidgeClassifierCV for each C.
`ridge_over_logistic` (JSON) is against the peer's LogisticRegression, which a first look by ridge
replaces.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
# set before the first product of numpy and torch, here and in the worker processes
for _name in THREAD_VARIABLES:
    os.environ[_name] = "1"

CS = tuple(float(C) for C in np.logspace(-2, 2, 8))
TOLERANCES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8)
PEER_GAP = 1e-4
Sample = tuple[np.ndarray, np.ndarray]

ROW = (
    "{source:>22} {n_classes:>3} {n:>5} | {seconds:>8.3f} {peer_seconds:>8.2f} {speedup:>6.1f} "
    "{tol:>6.0e} {gap:>8.1e} {probes_per_second:>8.0f} {sgemm_fraction:>6.2f} | "
    "{ridge_seconds:>8.3f} {ridge_peer_seconds:>8.2f} {ridge_speedup:>6.1f} "
    "{ridge_fits_only:>9.1f} {ridge_one_by_one:>10.1f}"
)
"""A row of the table, as it is printed."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=_numbers, default=(32, 128, 512, 2048))
    parser.add_argument("--classes", type=_numbers, default=(2, 6, 20, 77))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--peer-seeds", type=int, default=2)
    options = parser.parse_args()
    from joblib import Parallel

    n_cores = len(os.sched_getaffinity(0))
    cells = []
    with Parallel(n_jobs=n_cores, backend="loky") as parallel:
        sgemm = _sgemm_flops(parallel, n_cores)
        print(f"{n_cores} cores, one process each; sgemm {sgemm / 1e9:.0f} GFLOP/s in all")
        print(
            f"{'task':>22} {'K':>3} {'n':>5} | {'ours s':>8} {'peer s':>8} {'ratio':>6} {'tol':>6} "
            f"{'gap':>8} {'probes/s':>8} {'sgemm':>6} | {'ridge s':>8} {'peer s':>8} {'ratio':>6} "
            f"{'fits only':>9} {'one by one':>10}"
        )
        for n_classes in options.classes:
            for n in options.n:
                cell = _cell(
                    parallel, n_cores, n_classes, n, options.seeds, options.peer_seeds, sgemm
                )
                cells.append(cell)
                print(ROW.format(**cell), flush=True)
    print(json.dumps(_summary(cells)))


def _cell(
    parallel: Any, n_cores: int, n_classes: int, n: int, n_seeds: int, n_peer: int, sgemm: float
) -> dict[str, Any]:
    from joblib import delayed

    from benchmarks.embeddings import labelled_embeddings
    from probes.solvers.rowspace import feature_scale
    from probes.sweep.subsets import subset_rows

    X, y, source = labelled_embeddings(n_classes, 2500)
    X = X * np.float32(feature_scale(X))
    draws = [
        subset_rows(y, task_fingerprint=source, kind="stratified", n=n, seed=seed)
        for seed in range(n_seeds)
    ]
    samples = [(np.ascontiguousarray(X[rows]), y[rows]) for rows in draws]
    shares = [samples[core::n_cores] for core in range(n_cores)]
    peers = [(sample, C) for sample in samples[:n_peer] for C in CS]

    parallel(delayed(fit_ours)(share[:1], n_classes) for share in shares)  # imports, buffers
    seconds, fits = _timed(parallel, [delayed(fit_ours)(share, n_classes) for share in shares])
    objectives = fits[0][0][0]  # the first sample's, by C
    tol, dtype, gap = _peer_tolerance(parallel, samples[0], objectives)
    peer_seconds, _ = _timed(
        parallel, [delayed(fit_peer)(sample, C, tol, dtype) for sample, C in peers]
    )
    parallel(delayed(fit_our_ridge)(share[:1], n_classes) for share in shares)
    ridge_seconds, _ = _timed(
        parallel, [delayed(fit_our_ridge)(share, n_classes) for share in shares]
    )
    scale = n_seeds / n_peer
    fits_seconds = (
        scale * _timed(parallel, [delayed(fit_peer_ridge)(sample, C) for sample, C in peers])[0]
    )
    loo_seconds = (
        scale
        * _timed(
            parallel, [delayed(fit_peer_ridge_loo)(sample, CS) for sample in samples[:n_peer]]
        )[0]
    )
    # one task keeps only one core busy: with one task for each core they would take this share
    if n_peer < n_cores:
        loo_seconds *= n_peer / n_cores
    each_seconds = (
        scale
        * _timed(parallel, [delayed(fit_peer_ridge_loo)(sample, (C,)) for sample, C in peers])[0]
    )
    flops = sum(share_flops for _, share_flops in fits)
    return {
        "source": source,
        "n_classes": n_classes,
        "n": n,
        "seconds": seconds,
        "peer_seconds": peer_seconds * scale,
        "speedup": peer_seconds * scale / seconds,
        "tol": tol,
        "gap": gap,
        "probes_per_second": n_seeds * len(CS) / seconds,
        "sgemm_fraction": flops / seconds / sgemm,
        "ridge_seconds": ridge_seconds,
        "ridge_peer_seconds": fits_seconds + loo_seconds,
        "ridge_speedup": (fits_seconds + loo_seconds) / ridge_seconds,
        "ridge_fits_only": fits_seconds / ridge_seconds,
        "ridge_one_by_one": each_seconds / ridge_seconds,
        "ridge_over_logistic": peer_seconds * scale / ridge_seconds,
    }


def fit_ours(samples: Sequence[Sample], n_classes: int) -> tuple[list[list[float]], float]:
    """([objectives by C of each sample], floating-point operations in products)."""
    import torch

    from probes.solvers.logistic import BATCH_ELEMENTS, fit_logistic_path
    from probes.solvers.rowspace import row_space

    torch.set_num_threads(1)
    spaces = [row_space(torch.from_numpy(X)) for X, _ in samples]
    rank = max(len(space.singular) for space in spaces)
    padded = torch.stack(
        [
            torch.nn.functional.pad(space.coordinates, (0, rank - len(space.singular)))
            for space in spaces
        ]
    )
    path = fit_logistic_path(
        padded, torch.stack([torch.from_numpy(y) for _, y in samples]), n_classes, CS
    )
    n = padded.shape[1]
    columns = n_classes if n_classes > 2 else 1
    per_batch = max(1, BATCH_ELEMENTS // (n * columns))
    n_batches = -(-len(samples) // per_batch)
    flops = path.n_products * 2 * n * rank * columns * len(samples) / n_batches
    flops += len(samples) * 4 * n * padded.shape[2] * min(n, samples[0][0].shape[1])
    return path.objectives[:, :, 0].T.tolist(), float(flops)


def fit_peer(sample: Sample, C: float, tol: float, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """(coef, intercept) of scikit-learn's fit."""
    import warnings

    from sklearn.linear_model import LogisticRegression

    X, y = sample
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = LogisticRegression(C=C, tol=tol, max_iter=20_000).fit(X.astype(dtype, copy=False), y)
    return fit.coef_.astype(np.float64), fit.intercept_.astype(np.float64)


def fit_our_ridge(samples: Sequence[Sample], n_classes: int) -> None:
    import torch

    from probes.solvers.ridge import fit_ridge_paths
    from probes.solvers.rowspace import row_space

    torch.set_num_threads(1)
    spaces = [row_space(torch.from_numpy(X)) for X, _ in samples]
    fit_ridge_paths(spaces, torch.stack([torch.from_numpy(y) for _, y in samples]), n_classes, CS)


def fit_peer_ridge(sample: Sample, C: float) -> None:
    from sklearn.linear_model import RidgeClassifier

    RidgeClassifier(alpha=1 / C).fit(*sample)


def fit_peer_ridge_loo(sample: Sample, Cs: Sequence[float]) -> None:
    import warnings

    from sklearn.linear_model import RidgeClassifierCV

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        RidgeClassifierCV(alphas=[1 / C for C in Cs]).fit(*sample)


def objective(sample: Sample, coef: np.ndarray, intercept: np.ndarray, C: float) -> float:
    """The objective of scikit-learn divided by n, at its own solution, in float64."""
    X, y = sample[0].astype(np.float64), sample[1]
    logits = X @ coef.T + intercept
    classes = np.unique(y)
    if logits.shape[1] == 1:
        signed = np.where(y == classes[1], logits[:, 0], -logits[:, 0])
        loss = np.logaddexp(0, -signed).mean()
    else:
        own = logits[np.arange(len(y)), np.searchsorted(classes, y)]
        top = logits.max(axis=1, keepdims=True)
        loss = (np.log(np.exp(logits - top).sum(axis=1)) + top[:, 0] - own).mean()
    return float(loss + (coef**2).sum() / (2 * C * len(y)))


def _peer_tolerance(
    parallel: Any, sample: Sample, ours: Sequence[float]
) -> tuple[float, str, float]:
    """(loosest tolerance, dtype, worst relative gap to our objectives) with which scikit-learn
    reaches them."""
    from joblib import delayed

    worst = float("inf")
    for dtype in ("float32", "float64"):
        for tol in TOLERANCES[: 6 if dtype == "float32" else None]:
            fits = parallel(delayed(fit_peer)(sample, C, tol, dtype) for C in CS)
            gaps = [
                (objective(sample, *fit, C) - ours[i]) / ours[i]
                for i, (C, fit) in enumerate(zip(CS, fits, strict=True))
            ]
            worst = max(gaps)
            if worst <= PEER_GAP:
                return tol, dtype, worst
    return TOLERANCES[-1], "float64", worst


def _timed(parallel: Any, tasks: Sequence[Any]) -> tuple[float, list[Any]]:
    start = time.perf_counter()
    results = parallel(tasks)
    return time.perf_counter() - start, results


def _sgemm_flops(parallel: Any, n_cores: int) -> float:
    """Floating-point operations a second of all cores together. Each core computes its own float32
    products of 1024 x 384 x 512."""
    from joblib import delayed

    parallel(delayed(_sgemm_seconds)() for _ in range(n_cores))
    return sum(
        2 * 1024 * 384 * 512 / seconds
        for seconds in parallel(delayed(_sgemm_seconds)() for _ in range(n_cores))
    )


def _sgemm_seconds(n_times: int = 50) -> float:
    import torch

    torch.set_num_threads(1)
    A, B = torch.randn(1024, 384), torch.randn(384, 512)
    start = time.perf_counter()
    for _ in range(n_times):
        A @ B
    return (time.perf_counter() - start) / n_times


def _summary(cells: Sequence[dict[str, Any]]) -> dict[str, float]:
    def geomean(values: Sequence[float]) -> float:
        return float(np.exp(np.mean(np.log(values))))

    small = [
        cell["probes_per_second"] for cell in cells if cell["n"] <= 128 and cell["n_classes"] <= 20
    ]
    return {
        "speedup_geomean": geomean([cell["speedup"] for cell in cells]),
        "speedup_min": min(cell["speedup"] for cell in cells),
        "probes_per_second": min(small, default=float("nan")),
        "sgemm_fraction": geomean([cell["sgemm_fraction"] for cell in cells]),
        "ridge_speedup_geomean": geomean([cell["ridge_speedup"] for cell in cells]),
        "ridge_fits_only_geomean": geomean([cell["ridge_fits_only"] for cell in cells]),
        "ridge_one_by_one_geomean": geomean([cell["ridge_one_by_one"] for cell in cells]),
        "ridge_over_logistic_geomean": geomean([cell["ridge_over_logistic"] for cell in cells]),
    }


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


if __name__ == "__main__":
    main()
