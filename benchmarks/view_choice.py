"""The choice of an embedding space from a small sample: regret of the prior of spaces,
leave-one-out, a static list, LogME, H-score.

    python -m benchmarks.view_choice --study FOLDER [--workers 2]

The spaces are all layers and poolings of the study's encoders. `--study` is the folder of
`benchmarks.metamodel_study` with the sweeps `choice`, `pairs` and `ahead`. There are three parts.

* Tasks of single texts. A choice is made from one stratified sample of n rows. Its regret is the
  accuracy of the best space minus that of the chosen one. Both are the mean of ten probes of n rows
  on the task's test rows. Samples in which every row has a class of its own are left out, because
  `characterize` refuses them. The prior and the static list are learnt on other task families. One
  rule uses what no user has: it chooses by the labels of all test rows, with the very probe of the
  sample.
* Tasks on pairs of texts, with views of pairs read together. The prior is learnt on single texts.
* Tasks of families that the shipped metamodel has not seen, with all of question 4: the regret of
  the space that is named best now and at 4 and 16 times the rows, how often probabilities came
  true, and the error of the forecast difference between the best spaces of two encoders, beside
  that of today's difference in leave-one-out carried forward.

The last line is one JSON object.
"""

import itertools
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
from benchmarks.unseen_samples import (
    FACTORS,
    UnseenSample,
    shipped_accuracy,
    study_options,
    unseen_samples,
    unseen_tasks,
)
from cluster.storage import Storage
from meta.answering.forecasts import CURVE_FACTORS, Forecasts, forecast_spaces
from meta.answering.q4_ranking import hit_correlation
from meta.groups import group_folds
from meta.metric import HALF_A_POINT, MEDIAN, Metric
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
    sample: pd.DataFrame,
    prior: ViewPrior,
    static: pd.Series,
    n_train: int,
    *,
    is_pair: bool = False,
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
    posterior, _ = prior.posterior(keys, loo, hit_correlation(hits), n_train, is_pair=is_pair)
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


def pair_regrets(known: pd.DataFrame, pairs: pd.DataFrame, single: pd.DataFrame) -> pd.DataFrame:
    """As `regrets`, on tasks on pairs of texts, for the prior and leave-one-out. `pairs` are their
    truths. The prior is learnt from `single`, the truths of tasks of single texts in other
    families."""
    place = ["task_fingerprint", "encoder_fingerprint", "layer", "pooling", "n_train"]
    found = []
    for family, table in known.merge(pairs, on=place).groupby("task_family"):
        prior = fit_view_prior(single[single["task_family"] != family])
        for (task, n_train, _), sample in table.groupby(["task", "n_train", "seed"]):
            truth = sample["truth"].to_numpy()
            scores = rule_scores(sample, prior, pd.Series(dtype=float), n_train, is_pair=True)
            for rule in ("prior and sample", "leave-one-out", "test labels"):
                regret = 100 * (truth.max() - truth[int(np.argmax(scores[rule]))])
                found.append({"task": task, "n_train": n_train, "rule": rule, "regret": regret})
            random = 100 * (truth.max() - truth.mean())
            found.append({"task": task, "n_train": n_train, "rule": "random", "regret": random})
    return pd.DataFrame(found)


def answers_of_task(uri: str, fingerprint: str) -> tuple[list[dict[str, Any]], ...]:
    """(choices, differences) of question 4 for all samples of an unseen task."""
    choices: list[dict[str, Any]] = []
    differences: list[dict[str, Any]] = []
    metamodel = shipped_accuracy()
    for sample in unseen_samples(uri, fingerprint):
        if sample.is_official:
            continue
        forecasts = forecast_spaces(sample.prepared, sample.encoders, metamodel, Metric.ACCURACY)
        for factor in FACTORS:
            base = {"task": sample.task, "n_train": sample.n_train, "factor": factor}
            choices += [base | row for row in _choices(sample, forecasts, factor)]
            differences += [base | row for row in _differences(sample, forecasts, factor)]
    return choices, differences


def _space_id(forecasts: Forecasts, i: int) -> tuple[str, int, str]:
    space = forecasts.spaces[i]
    return space.info.ref, space.view.layer, space.view.pooling


def _choices(sample: UnseenSample, forecasts: Forecasts, factor: int) -> list[dict[str, Any]]:
    """The choice among the spaces with a forecast whose truth at `factor` is known: its regret
    among all spaces whose truth is known, and whether it is the best, or within half a point,
    beside the probabilities."""
    known = {
        i: sample.truth_at(_space_id(forecasts, i), factor) for i in range(len(forecasts.spaces))
    }
    known = {i: value for i, value in known.items() if not np.isnan(value)}
    truth = {i: value for i, value in known.items() if i in forecasts.by_space}
    if len(truth) < 2:
        return []
    at = CURVE_FACTORS.index(factor)
    best = max(known.values())
    chosen = max(truth, key=lambda i: forecasts.by_space[i].curve[at, MEDIAN])
    by_loo = max(truth, key=lambda i: forecasts.spaces[i].loo_metric)
    probabilities = forecasts.probabilities
    said = {1: probabilities.best, 16: probabilities.best_16x}.get(factor)
    row = {
        "regret": 100 * (best - truth[chosen]),
        "regret_loo": 100 * (best - truth[by_loo]),
        "is_best": truth[chosen] >= best - 1e-9,
        "is_near": truth[chosen] >= best - HALF_A_POINT,
        "p_best": float(said[chosen]) if said is not None else float("nan"),
        "p_near": float(probabilities.within_tolerance[chosen]) if factor == 1 else float("nan"),
    }
    return [row]


def _differences(sample: UnseenSample, forecasts: Forecasts, factor: int) -> list[dict[str, Any]]:
    """The difference between the best spaces of every two encoders, as it was forecast and as
    leave-one-out says today, beside the truth."""
    first: dict[str, int] = {}
    for i in forecasts.ranked:
        first.setdefault(forecasts.spaces[i].info.ref, i)
    at = CURVE_FACTORS.index(factor)
    found = []
    for one, other in itertools.combinations(first.values(), 2):
        truth = sample.truth_at(_space_id(forecasts, one), factor) - sample.truth_at(
            _space_id(forecasts, other), factor
        )
        if np.isnan(truth):
            continue
        curves = (forecasts.by_space[i].curve[at, MEDIAN] for i in (one, other))
        today = forecasts.spaces[one].loo_metric - forecasts.spaces[other].loo_metric
        forecast = next(curves) - next(curves)
        found.append({"forecast": 100 * abs(forecast - truth), "carried": 100 * abs(today - truth)})
    return found


def show_answers(
    console: Console, choices: pd.DataFrame, differences: pd.DataFrame
) -> dict[str, float]:
    """Print the tables of the third part; returns its figures."""
    table = Table(title=f"All of question 4: {choices['task'].nunique()} unseen tasks")
    for name in (
        "n, times", "regret", "leave-one-out", "p best said", "came true", "within half said",
        "came true", "difference: error", "carried forward",
    ):  # fmt: skip
        table.add_column(name, justify="right")
    result = {}
    of_tasks = choices.astype({"is_best": float, "is_near": float})
    for (n_train, factor), rows in of_tasks.groupby(["n_train", "factor"]):
        mean = rows.groupby("task").mean(numeric_only=True).mean()
        apart = differences[(differences["n_train"] == n_train) & (differences["factor"] == factor)]
        error = apart.groupby("task")[["forecast", "carried"]].mean().mean()
        table.add_row(
            f"{n_train}, {factor}x",
            *(f"{mean[name]:.2f}" for name in ("regret", "regret_loo")),
            *(f"{mean[name]:.2f}" for name in ("p_best", "is_best", "p_near", "is_near")),
            f"{error['forecast']:.2f}",
            f"{error['carried']:.2f}",
        )
        if factor == 1:
            result[f"p_within_said_n{n_train}"] = round(float(mean["p_near"]), 3)
            result[f"p_within_true_n{n_train}"] = round(float(mean["is_near"]), 3)
    console.print(table)
    for factor, rows in differences.groupby("factor"):
        error = rows.groupby("task")[["forecast", "carried"]].mean().mean()
        result[f"difference_mae_points_{factor}x"] = round(float(error["forecast"]), 3)
        result[f"difference_carried_forward_points_{factor}x"] = round(float(error["carried"]), 3)
    for factor, rows in of_tasks.groupby("factor"):
        mean = rows.groupby("task").mean(numeric_only=True).mean()
        result[f"answer_regret_points_{factor}x"] = round(float(mean["regret"]), 3)
    return result


def main() -> None:
    options = study_options(__doc__)
    console = Console(width=120)
    storage = Storage(options.study)
    index = storage.read_json(INDEX_FILE)
    measured, pairs = (
        space_truths(load_results(storage, index[sweep]["probes"]).to_pandas(), task_names(index))
        for sweep in ("choice", "pairs")
    )
    with ProcessPoolExecutor(options.workers) as pool:

        def known_of(truths: pd.DataFrame) -> pd.DataFrame:
            spaces = sorted(
                {(r.encoder_fingerprint, int(r.layer), r.pooling) for r in truths.itertuples()}
            )
            console.print(
                f"{truths['task'].nunique()} tasks, {len(spaces)} spaces of"
                f" {truths['encoder'].nunique()} encoders"
            )
            score = partial(sample_scores, options.study, spaces)
            tasks = sorted(truths["task_fingerprint"].unique())
            return pd.DataFrame([row for rows in pool.map(score, tasks) for row in rows])

        found = regrets(known_of(measured), measured)
        on_pairs = pair_regrets(known_of(pairs), pairs, measured)
        unseen = sorted(unseen_tasks(storage, shipped_accuracy()))
        answered = list(pool.map(partial(answers_of_task, options.study), unseen))
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
    table = Table(
        title=f"Regret at 1 on pairs of texts, points: {on_pairs['task'].nunique()} tasks"
    )
    for name in ("rule", "n = 64", "n = 256"):
        table.add_column(name, justify="right")
    mean = on_pairs.groupby(["rule", "n_train", "task"])["regret"].mean()
    of_rule = mean.groupby(["rule", "n_train"]).mean()
    for rule in ("prior and sample", "leave-one-out", "random", "test labels"):
        table.add_row(rule, *(f"{of_rule[rule, n_train]:.2f}" for n_train in SIZES))
    console.print(table)
    result["pairs_regret_ratio"] = round(
        float(of_rule["prior and sample"].mean() / of_rule["leave-one-out"].mean()), 3
    )
    choices, differences = (
        pd.DataFrame([row for rows in part for row in rows]) for part in zip(*answered, strict=True)
    )
    result |= show_answers(console, choices, differences)
    print(json.dumps({"data": options.study, **result}))


if __name__ == "__main__":
    main()
