"""AUROC and macro-F1 where a class has few labelled rows: estimates and forecasts beside the truth.

    python -m benchmarks.rare_classes [--draws 6] [--encoders lsa:256,hf:all-MiniLM-L6-v2]

The first table has random labels on real texts, so the true AUROC is 0.5. The second one has public
tasks that the shipped metamodels have not learnt from. Their truth is the mean of a metric on all
rows outside the sample, over several random samples. `before` is the metamodel's forecast at the
present n, `after` the one that `characterize` shows (`meta.answering.rare_classes`). The estimates
beside it are leave-one-out, with the class frequencies of the whole sample put back, and
leave-pair-out. The last line is one JSON object.
"""

import argparse
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.embeddings import CACHE, DATA
from cluster.storage import Storage
from meta.answering.rare_classes import widen_for_rare_classes
from meta.metamodel.model import Metamodel
from meta.metamodel.sample_features import sample_features
from meta.metric import MEDIAN, Metric
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import embed_texts
from probes.encoders.base import EncoderInfo, View
from probes.encoders.load import load_encoder
from probes.encoders.lsa import fit_lsa
from probes.features.crossfit import RidgeFit, fit_ridge
from probes.metrics import score
from probes.tasks.load import load_task

TASKS = (
    "annomi_therapist",
    "cefr_sp",
    "complaints_tweets",
    "email_intent",
    "fomc_stance",
    "medical_cause_crowd",
    "poem_sentiment",
    "promise_requirements",
    "query_wellformed",
    "review_opioids",
    "sarcasm_v2_gen",
    "suggestion_mining",
)
"""Public tasks, none of which is among the shipped observations."""
SIZES = (64, 128, 256)
RARE_SHARES = (0.03, 0.08)
"""Two-class tasks are also made imbalanced: the share of their smaller class in the pool."""
MAX_ROWS, MAX_CHARS, MAX_EVAL_ROWS = 2400, 400, 512
N_TRUTH_DRAWS = 16
"""Samples whose test metrics are the truth; those that are forecast are among them."""
RANDOM_SIZES, RANDOM_ROWS, RANDOM_CLASSES = (40, 120, 400), (2, 3, 4, 6, 10), (2, 3)
ROW_BINS = (1, 2, 3, 5, 11, 20, 40, MAX_ROWS)
METRICS = (Metric.AUROC, Metric.MACRO_F1)


def leave_pair_out_auroc(fit: RidgeFit, X: np.ndarray, y: np.ndarray) -> float:
    """The AUROC of two classes over all pairs of a row of class 1 and a row of class 0. Each pair
    is scored by the ridge probe that was fitted to X (n, d) and y (n,) without it, with the penalty
    of `fit`. Ties count one half. Cost n_0·n_1·rank.

    The residuals of the rows S in a fit without them are (I − H_SS)⁻¹ r_S, where H is the hat
    matrix and r the residuals of the fit with all rows. For a pair this is a 2x2 system. The
    intercept without the pair is the same for both of its rows.
    """
    n_rows, n_columns = X.shape
    parts = fit.decomposition
    mean_square = float(np.mean(np.linalg.norm(X, axis=1)) ** 2) or 1.0
    squares = parts.singular**2 * (n_columns / mean_square)
    shrunk = squares / (squares + fit.penalty)
    target = y - y.mean()
    residual = target - parts.left @ (shrunk * (parts.left.T @ target))
    free = 1 - 1 / n_rows - parts.left**2 @ shrunk
    ones, zeros = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    shared = -(1 / n_rows + (parts.left[ones] * shrunk) @ parts.left[zeros].T)
    a, b = free[ones][:, None], free[zeros][None]
    r_one, r_zero = residual[ones][:, None], residual[zeros][None]
    determinant = np.maximum(a * b - shared**2, 1e-9)
    gap = 1 - ((b + shared) * r_one - (a + shared) * r_zero) / determinant
    return float(np.mean(np.where(np.abs(gap) < 1e-10, 0.5, gap > 0)))


@cache
def task_vectors(name: str, encoder_ref: str) -> tuple[np.ndarray, np.ndarray, EncoderInfo]:
    """(X (n, d) float32, y (n,) int64, encoder) of at most `MAX_ROWS` distinct texts of all splits
    of a task, in random order. Texts are cut to `MAX_CHARS` characters."""
    splits = load_task(str(DATA / name)).splits.values()
    label_of = {
        text: int(label)
        for split in splits
        for text, label in zip(split.text, split.labels, strict=True)
        if label >= 0
    }
    given = list(label_of)
    chosen = [given[i] for i in np.random.default_rng(0).permutation(len(given))[:MAX_ROWS]]
    texts, y = [text[:MAX_CHARS] for text in chosen], np.array([label_of[t] for t in chosen])
    if encoder_ref.startswith("lsa:"):
        lsa = fit_lsa(texts, int(encoder_ref.removeprefix("lsa:")), ref=encoder_ref)
        view = lsa.info.views[0]
        return lsa.encode(texts, [view])[view], y, lsa.info
    encoder = load_encoder(encoder_ref)
    view = View(int(encoder.info.n_layers), "mean")
    stored = EmbeddingCache(Storage(CACHE), encoder.info.fingerprint)
    embed_texts(encoder, stored, texts, [view])
    return stored.vectors(texts, view), y, encoder.info


def describe(
    X: np.ndarray, y: np.ndarray, X_eval: np.ndarray, info: EncoderInfo, fit: RidgeFit, seed: int
) -> dict[str, Any]:
    """One sample: its features, its class counts, and its leave-pair-out AUROC (NaN with more than
    two classes)."""
    n_classes = int(y.max()) + 1
    view = View(info.n_layers, "mean")
    features = sample_features(X, y, X_eval, n_classes, info, view, seed=seed, fit=fit)
    pairs = leave_pair_out_auroc(fit, X, y) if n_classes == 2 else float("nan")
    counts = np.bincount(y, minlength=n_classes)
    return {"features": features, "counts": counts, "leave_pair_out": pairs, "classes": n_classes}


def random_samples(encoder_ref: str, n_draws: int) -> Iterator[dict[str, Any]]:
    """Samples with random labels. One class has few rows, the others share the rest."""
    X, _, info = task_vectors("promise_requirements", encoder_ref)
    for n_rows in RANDOM_SIZES:
        for n_rare in RANDOM_ROWS:
            for n_classes in RANDOM_CLASSES:
                for draw in range(n_draws):
                    rng = np.random.default_rng([n_rows, n_rare, n_classes, draw])
                    order = rng.permutation(len(X))
                    rows, rest = order[:n_rows], order[n_rows : n_rows + MAX_EVAL_ROWS]
                    y = np.arange(n_rows) % (n_classes - 1)
                    y[:n_rare] = n_classes - 1
                    fit = fit_ridge(X[rows], y, n_classes)
                    yield describe(X[rows], y, X[rest], info, fit, draw) | {
                        "truth_auroc": 0.5,
                        "rare": n_rare,
                    }


def real_samples(name: str, encoder_ref: str, n_draws: int) -> Iterator[dict[str, Any]]:
    """Random samples of a task with their truth. The user knows only the classes in the sample."""
    X_all, y_all, info = task_vectors(name, encoder_ref)
    counts = np.bincount(y_all)
    small = int(np.argmin(np.where(counts > 0, counts, len(y_all))))
    for share in (None, *(RARE_SHARES if np.sum(counts > 0) == 2 else ())):
        rng = np.random.default_rng(int(1000 * (share or 0)))
        is_small = y_all == small
        if share is not None and share > is_small.mean():
            continue
        n_small = (
            is_small.sum() if share is None else round((~is_small).sum() * share / (1 - share))
        )
        pool = np.concatenate(
            [np.flatnonzero(~is_small), rng.permutation(np.flatnonzero(is_small))[:n_small]]
        )
        for n_rows in SIZES:
            if n_rows > 0.6 * len(pool):
                continue
            described: list[dict[str, Any]] = []
            truths: list[dict[str, float]] = []
            while len(truths) < N_TRUTH_DRAWS:
                order = rng.permutation(pool)
                rows, rest = order[:n_rows], order[n_rows:]
                names, y = np.unique(y_all[rows], return_inverse=True)
                if not 2 <= len(names) < n_rows:
                    continue
                fit = fit_ridge(X_all[rows], y, len(names))
                labels = np.union1d(names, y_all[rest])
                probabilities = np.zeros((len(rest), len(labels)))
                probabilities[:, np.searchsorted(labels, names)] = fit.probabilities(
                    fit.scores(X_all[rest])
                )
                truths.append(score(y_all[rest], probabilities, labels))
                if len(described) < n_draws:
                    X_eval = X_all[rest[:MAX_EVAL_ROWS]]
                    seed = len(described)
                    described.append(describe(X_all[rows], y, X_eval, info, fit, seed))
            truth = {f"truth_{m}": float(np.mean([t[m] for t in truths])) for m in METRICS}
            for sample in described:
                yield sample | truth | {"task": name, "encoder": encoder_ref, "n": n_rows}


def with_forecasts(samples: list[dict[str, Any]], metrics: Mapping[Metric, Metamodel]) -> Any:
    """One row for each sample: estimates, and the quantiles at 5, 50 and 95 % before and after."""
    frame = pd.DataFrame([sample.pop("features") for sample in samples])
    table = pd.DataFrame(samples)
    table["rows"] = [int(counts.min()) for counts in table["counts"]]
    for metric, metamodel in metrics.items():
        before = metamodel.predict(frame.assign(horizon=frame["n_train"]))
        after = np.concatenate(
            [
                widen_for_rare_classes(curve[None], counts, metric)
                for curve, counts in zip(before, table["counts"], strict=True)
            ]
        )
        table[f"loo_{metric}"] = frame[f"curve_{metric}_1"]
        for name, found in (("before", before), ("after", after)):
            for column, quantile in ((0, "low"), (MEDIAN, "median"), (-1, "high")):
                table[f"{name}_{quantile}_{metric}"] = found[:, column]
    return table


def summary(table: pd.DataFrame, metric: Metric) -> dict[str, float | None]:
    """Bias and mean absolute error (points) of estimates and forecasts, coverage and width (points)
    of the 90 % intervals. Leave-pair-out is None with more than two classes. Macro-F1 has no
    "after": nothing is done to it."""
    truth = table[f"truth_{metric}"]
    found: dict[str, float | None] = {
        "samples": len(table),
        "truth": round(100 * float(truth.mean()), 1),
    }
    values, forecasts = {"loo": table[f"loo_{metric}"]}, ["before"]
    if metric is Metric.AUROC:
        values["pairs"] = table["leave_pair_out"]
        forecasts.append("after")
    values |= {name: table[f"{name}_median_{metric}"] for name in forecasts}
    for name, value in values.items():
        known = value.notna().all()
        found[f"{name} bias"] = round(100 * float((value - truth).mean()), 1) if known else None
        found[f"{name} error"] = (
            round(100 * float((value - truth).abs().mean()), 1) if known else None
        )
    for name in forecasts:
        low, high = table[f"{name}_low_{metric}"], table[f"{name}_high_{metric}"]
        found[f"{name} coverage"] = round(float(((low <= truth) & (truth <= high)).mean()), 3)
        found[f"{name} width"] = round(100 * float((high - low).mean()), 1)
    return found


def show(console: Console, title: str, groups: Any, metric: Metric) -> None:
    """Print one line of `summary` for each group."""
    lines = [
        {"": ", ".join(str(part) for part in name), **summary(group, metric)}
        for name, group in groups
    ]
    shown = Table(*lines[0], title=title)
    for line in lines:
        shown.add_row(*map(str, line.values()))
    console.print(shown)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=6, help="samples of a kind to forecast")
    parser.add_argument("--encoders", default="lsa:256,hf:all-MiniLM-L6-v2")
    parser.add_argument("--tasks", default=",".join(TASKS))
    options = parser.parse_args()
    console = Console(width=170)
    encoders = options.encoders.split(",")
    shipped = files("meta") / "shipped"
    metamodels = {metric: Metamodel.load(str(shipped / metric)) for metric in METRICS}

    auroc = {Metric.AUROC: metamodels[Metric.AUROC]}
    random = with_forecasts(
        [s for ref in encoders for s in random_samples(ref, options.draws)], auroc
    )
    groups = random.groupby(["classes", "rare"])
    show(console, "Random labels, AUROC: classes and rows of the rare one", groups, Metric.AUROC)

    samples = []
    for name in options.tasks.split(","):
        for ref in encoders:
            samples += list(real_samples(name, ref, options.draws))
            console.print(f"{name} {ref}", style="dim")
    real = with_forecasts(samples, metamodels)
    kind = np.where(real["classes"] == 2, "2 classes", "more classes")
    bins = pd.cut(real["rows"], ROW_BINS, right=False)
    for metric in METRICS:
        title = f"Tasks never seen, {metric}: rows of the smallest class"
        show(console, title, real.groupby([kind, bins], observed=True), metric)
        title = f"Tasks never seen, {metric}: encoder and rows"
        show(console, title, real.groupby(["encoder", "n"]), metric)

    rare = real[(real["classes"] == 2) & (real["rows"] <= 10)]
    print(
        json.dumps(
            {
                "random_labels_auroc": summary(random[random["classes"] == 2], Metric.AUROC),
                "two_classes_10_rows_auroc": summary(rare, Metric.AUROC),
                **{f"all_{metric}": summary(real, metric) for metric in METRICS},
            }
        )
    )


if __name__ == "__main__":
    main()
