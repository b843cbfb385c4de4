"""The choice of an embedding space from a small sample: regret of the prior of spaces,
leave-one-out, a static list, LogME, H-score.

    python -m benchmarks.view_choice --study FOLDER [--workers 2]

The spaces are all layers and poolings of the study's encoders, on its tasks of single texts.
`--study` is the folder of `benchmarks.metamodel_study`. A choice is made from one stratified sample
of n rows. Its regret is the accuracy of the best space minus that of the chosen one. Both are the
mean of ten probes of n rows on the task's test rows. Samples in which every row has a class of its
own are left out, because `characterize` refuses them. The prior and the static list are learnt on
other task families. One rule uses what no user has: it chooses by the labels of all test rows, with
the very probe of the sample. The last line is one JSON object.
"""

import argparse
import json
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.metamodel_study import INDEX_FILE, task_names
from cluster.storage import Storage
from meta.answering.q4_ranking import hit_correlation
from meta.groups import group_folds
from meta.priors.fit_spaces import fit_view_prior, space_truths
from meta.priors.spaces import SpaceKey, ViewPrior
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import task_matrix
from probes.encoders.base import View
from probes.features.crossfit import fit_ridge
from probes.features.evidence import logme
from probes.features.separability import h_score
from probes.sweep.subsets import subset_rows
from probes.sweep.sweep import load_results
from probes.tasks.store import load_saved_task

SIZES, N_SEEDS, N_FOLDS = (64, 256), 2, 12
RULES = (
    "prior and sample",
    "leave-one-out",
    "static list",
    "LogME",
    "H-score",
    "LogME of layers",
    "H-score of layers",
    "random",
    "test labels",
)


def sample_scores(
    storage_uri: str, spaces: list[tuple[str, int, str]], fingerprint: str
) -> list[dict[str, Any]]:
    """What can be known of each of `spaces` (encoder fingerprint, layer, pooling) from each sample
    of the task: its leave-one-out hits, LogME and H-score. Beside it the accuracy of its probe on
    the test rows."""
    storage = Storage(storage_uri)
    task = load_saved_task(storage, fingerprint)
    labels, test_labels = task.splits["train"].labels, task.splits["test"].labels
    # one cache for each encoder, because opening a cache reads the headers of all its segments
    caches = {encoder: EmbeddingCache(storage, encoder) for encoder, _, _ in spaces}

    found = []
    for encoder, layer, pooling in spaces:
        X, X_test = (
            task_matrix(task, split, caches[encoder], View(layer, pooling))
            for split in ("train", "test")
        )
        for n_train in SIZES:
            if n_train > np.sum(labels >= 0):
                continue
            for seed in range(N_SEEDS):
                rows = subset_rows(
                    labels, task_fingerprint=fingerprint, kind="stratified", n=n_train, seed=seed
                )
                if len(np.unique(labels[rows])) == n_train:
                    continue
                fit = fit_ridge(X[rows], labels[rows], task.n_classes)
                hits = fit.loo_scores.argmax(axis=1) == labels[rows]
                scores = {
                    "logme": logme(
                        X[rows], labels[rows], task.n_classes, decomposition=fit.decomposition
                    ),
                    "h_score": h_score(
                        X[rows], labels[rows], task.n_classes, decomposition=fit.decomposition
                    ),
                    "test_accuracy": float(
                        np.mean(fit.scores(X_test).argmax(axis=1) == test_labels)
                    ),
                }
                found.append(
                    {
                        "task_fingerprint": fingerprint,
                        "encoder_fingerprint": encoder,
                        "layer": layer,
                        "pooling": pooling,
                    }
                    | {
                        "n_train": n_train,
                        "seed": seed,
                        "hits": np.packbits(hits).tobytes(),
                        **scores,
                    }
                )
    return found


def rule_scores(
    sample: pd.DataFrame, prior: ViewPrior, static: pd.Series, n_train: int
) -> dict[str, np.ndarray]:
    """Rule -> score (V,) of each space of one sample. The rule chooses the space with the highest
    score."""
    hits = np.stack(
        [np.unpackbits(np.frombuffer(row, np.uint8))[:n_train] for row in sample["hits"]]
    ).astype(np.float64)
    keys = [
        SpaceKey(row.encoder, int(row.layer), int(row.n_layers), row.pooling)
        for row in sample.itertuples()
    ]
    loo = hits.mean(axis=1)
    posterior, _ = prior.posterior(keys, loo, hit_correlation(hits), n_train)
    layer_means = sample.groupby(["encoder", "pooling"])[["logme", "h_score"]].transform("mean")
    return {
        "prior and sample": posterior,
        "leave-one-out": loo,
        "static list": static.reindex([key.name for key in keys]).to_numpy(),
        "LogME": sample["logme"].to_numpy(),
        "H-score": sample["h_score"].to_numpy(),
        "LogME of layers": layer_means["logme"].to_numpy() + 1e-6 * sample["layer"].to_numpy(),
        "H-score of layers": layer_means["h_score"].to_numpy() + 1e-6 * sample["layer"].to_numpy(),
        "test labels": sample["test_accuracy"].to_numpy(),
    }


def regrets(known: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """One row for each (task, n, seed, rule): the regret in points."""
    place = ["task_fingerprint", "encoder_fingerprint", "layer", "pooling", "n_train"]
    table = known.merge(measured, on=place)
    found = []
    for out in group_folds(table["task_family"].to_numpy(dtype=str), N_FOLDS):
        rest = measured[~measured["task_family"].isin(out)]
        prior = fit_view_prior(rest)
        for (task, n_train, seed), sample in table[table["task_family"].isin(out)].groupby(
            ["task", "n_train", "seed"]
        ):
            static = pd.Series(prior.means[prior.sizes.index(n_train)], prior.names)
            truth = sample["truth"].to_numpy()
            scores = rule_scores(sample, prior, static, n_train)
            base = {
                "task": task,
                "family": sample["task_family"].iloc[0],
                "n_train": n_train,
                "seed": seed,
            }
            for rule, score in scores.items():
                found.append(
                    {
                        **base,
                        "rule": rule,
                        "regret": 100 * (truth.max() - truth[int(np.argmax(score))]),
                    }
                )
            found.append({**base, "rule": "random", "regret": 100 * (truth.max() - truth.mean())})
    return pd.DataFrame(found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", required=True, help="folder of benchmarks.metamodel_study")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    console = Console(width=120)
    storage = Storage(options.study)
    index = storage.read_json(INDEX_FILE)
    measured = space_truths(
        load_results(storage, index["choice"]["probes"]).to_pandas(), task_names(index)
    )
    spaces = sorted(
        {(r.encoder_fingerprint, int(r.layer), r.pooling) for r in measured.itertuples()}
    )
    console.print(
        f"{measured['task'].nunique()} tasks, {len(spaces)} spaces of"
        f" {measured['encoder'].nunique()} encoders"
    )
    with ProcessPoolExecutor(options.workers) as pool:
        score = partial(sample_scores, options.study, spaces)
        known = pd.DataFrame(
            [
                row
                for rows in pool.map(score, sorted(measured["task_fingerprint"].unique()))
                for row in rows
            ]
        )
    found = regrets(known, measured)
    result: dict[str, Any] = defaultdict(float)
    for n_train, rows in found.groupby("n_train"):
        table = Table(
            title=f"Regret at 1, points of accuracy, n = {n_train}: {rows['task'].nunique()} tasks"
        )
        for name in ("rule", "mean", "90th percentile", "share within 0.5"):
            table.add_column(name, justify="right")
        for rule in RULES:
            values = rows.loc[rows["rule"] == rule, "regret"]
            table.add_row(
                rule,
                f"{values.mean():.2f}",
                f"{values.quantile(0.9):.2f}",
                f"{(values <= 0.5).mean():.0%}",
            )
        console.print(table)
        best, loo = (
            rows.loc[rows["rule"] == rule, "regret"]
            for rule in ("prior and sample", "leave-one-out")
        )
        result |= {f"regret_at_1_points_n{n_train}": round(float(best.mean()), 3)}
        result |= {f"regret_at_1_p90_points_n{n_train}": round(float(best.quantile(0.9)), 3)}
        result |= {f"loo_regret_at_1_points_n{n_train}": round(float(loo.mean()), 3)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
