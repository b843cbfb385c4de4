"""Labels that are saved by labelling the rows which question 3 proposes, compared with random rows
and other strategies.

Twenty public tasks, MiniLM embeddings. A run begins with 32 random rows (at least one a class).
Labels are bought in rounds, each 1.4 times the last total, up to 512. After every round the ridge
probe (its regularisation chosen by leave-one-out) is scored on 700 rows that no strategy sees;
1,300 others may be labelled. The saving at n is 1 - (labels that the strategy needs for random's
accuracy at n) / n, averaged over n from 90 upwards. A strategy that does not get there within 512
counts as needing 717. Curves are means over seeds, and all strategies start from the same rows.
Prints a table; the last line is one JSON object.
"""

import argparse
import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.embeddings import task_embeddings
from meta.answering.q3_label_next import label_next, spread_over_rows
from probes.features.crossfit import RidgeFit, fit_ridge

TASKS = (
    *(
        "sst2",
        "subj",
        "cr",
        "sms_spam",
        "clickbait",
        "ade_corpus_v2",
        "tweeteval_hate",
        "davidson_hate",
        "twitter_airline",
    ),
    *(
        "financial_phrasebank",
        "scicite",
        "tweeteval_emotion",
        "csabstruct",
        "trec_coarse",
        "isear",
        "snips",
    ),
    *("stackoverflow_titles", "trec_fine", "banking77", "atis"),
)
N_ROWS, N_TEST, N_START, N_END, STEP = 2000, 700, 32, 512, 1.4
"""Rows of a task, rows to test on, labels at the start and at the end, and the factor between
rounds."""
FIRST_COMPARED = 90
"""Numbers of labels below this are not compared."""
ENOUGH_SAVING = 0.2
"""The table counts the tasks that save at least this share of the labels."""


@dataclass(frozen=True)
class Round:
    """What a strategy sees in a round: labelled rows X (n, d) with y, the unlabelled rows, the
    probe's probabilities for them, and how many rows to buy."""

    X: np.ndarray
    y: np.ndarray
    unlabelled: np.ndarray
    probabilities: np.ndarray
    n_classes: int
    n_rows: int
    rng: np.random.Generator

    @property
    def margin(self) -> np.ndarray:
        """(m,) the probability of the most likely class minus that of the second."""
        ordered = np.sort(self.probabilities, axis=1)
        return ordered[:, -1] - ordered[:, -2]


def random_rows(seen: Round) -> np.ndarray:
    return seen.rng.permutation(len(seen.unlabelled))[: seen.n_rows]


def random_again(seen: Round) -> np.ndarray:
    """Other random rows. What they save, and how far they fall behind, is noise."""
    return np.random.default_rng([len(seen.y), int(seen.rng.integers(2**31))]).permutation(
        len(seen.unlabelled)
    )[: seen.n_rows]


def uncertain_spread(seen: Round) -> np.ndarray:
    """Weighted k-means over the uncertain rows alone, ten for each row to pick (Zhdanov 2019, arXiv
    1901.05954)."""
    unit = seen.unlabelled / np.linalg.norm(seen.unlabelled, axis=1, keepdims=True)
    return spread_over_rows(unit, 1 - seen.margin, seen.n_rows, 10 * seen.n_rows, seed=0)[0]


def uncertain_nearest(seen: Round) -> np.ndarray:
    """As `uncertain_spread`, but in each cell the row nearest to the centre is taken, however
    uncertain it is."""
    from sklearn.cluster import KMeans

    unit = seen.unlabelled / np.linalg.norm(seen.unlabelled, axis=1, keepdims=True)
    candidates = np.argsort(seen.margin, kind="stable")[: 10 * seen.n_rows]
    n_cells = min(seen.n_rows, len(np.unique(unit[candidates], axis=0)))
    cells = KMeans(n_cells, n_init=1, max_iter=20, random_state=0).fit(
        unit[candidates], sample_weight=1 - seen.margin[candidates]
    )
    distance = ((unit[candidates] - cells.cluster_centers_[cells.labels_]) ** 2).sum(axis=1)
    order = np.lexsort((distance, cells.labels_))
    _, first = np.unique(cells.labels_[order], return_index=True)
    return candidates[order][first]


def question_3_rows(seen: Round) -> np.ndarray:
    """The rows that question 3 proposes."""
    names = [str(label) for label in range(seen.n_classes)]
    picks = label_next(
        seen.X, seen.y, seen.unlabelled, seen.probabilities, names, n_rows=seen.n_rows
    )
    return np.array([pick.row_idx for pick in picks], dtype=np.int64)


def smallest_margin(seen: Round) -> np.ndarray:
    """The rows about which the probe is least certain."""
    return np.argsort(seen.margin, kind="stable")[: seen.n_rows]


def balanced_entropy(seen: Round) -> np.ndarray:
    """The rows with the largest entropy. It counts more for rows that may be of classes with few
    labels."""
    p = seen.probabilities
    scarcity = 1 / (np.bincount(seen.y, minlength=seen.n_classes) + 1)
    entropy = -(p * np.log(p + 1e-12)).sum(axis=1)
    return np.argsort(-entropy * (0.3 + p @ (scarcity / scarcity.max())), kind="stable")[
        : seen.n_rows
    ]


def badge(seen: Round) -> np.ndarray:
    """k-means++ on gradients of the last layer under the predicted label (Ash et al. 2020, arXiv
    1906.03671)."""
    residual = -seen.probabilities.copy()
    residual[np.arange(len(residual)), seen.probabilities.argmax(axis=1)] += 1
    X = seen.unlabelled
    squares = (residual**2).sum(axis=1) * (X**2).sum(axis=1)

    def distance_to(row: int) -> np.ndarray:
        return np.maximum(
            squares + squares[row] - 2 * (residual @ residual[row]) * (X @ X[row]), 0.0
        )

    chosen = [int(squares.argmax())]
    nearest = distance_to(chosen[0])
    while len(chosen) < seen.n_rows:
        nearest[chosen] = 0.0
        chosen.append(int(seen.rng.choice(len(X), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, distance_to(chosen[-1]))
    return np.array(chosen)


def variance(seen: Round) -> np.ndarray:
    """The uncertain rows after which the ridge probe has least variance over the uncertain rows,
    chosen greedily."""
    scale = np.sqrt(seen.X.shape[1]) / np.linalg.norm(seen.X, axis=1).mean()
    centre = seen.X.mean(axis=0)
    X, rest = (seen.X - centre) * scale, (seen.unlabelled - centre) * scale
    penalty = fit_ridge(seen.X, seen.y, seen.n_classes).penalty
    doubt = 1 - seen.margin
    candidates = np.argsort(-doubt, kind="stable")[: max(10 * seen.n_rows, len(rest) // 4)][:400]
    targets = seen.rng.permutation(len(rest))[:700]
    shrunk = rest[candidates] @ np.linalg.inv(X.T @ X + penalty * np.eye(X.shape[1]))
    to_targets, among = shrunk @ rest[targets].T, shrunk @ rest[candidates].T
    own, chosen = np.diag(among).copy(), []
    for _ in range(min(seen.n_rows, len(candidates))):
        gain = (to_targets**2 @ doubt[targets]) / (1 + own) * doubt[candidates]
        gain[chosen] = -1.0
        pick = int(gain.argmax())
        chosen.append(pick)
        column, row = (
            among[:, pick] / np.sqrt(1 + own[pick]),
            to_targets[pick] / np.sqrt(1 + own[pick]),
        )
        to_targets = to_targets - np.outer(column, row)
        among = among - np.outer(column, column)
        own = np.maximum(own - column**2, 0.0)
    return candidates[chosen]


def typical_then_margin(seen: Round) -> np.ndarray:
    """TypiClust below four labelled rows a class, from there on the smallest margin."""
    from sklearn.cluster import KMeans

    if len(seen.y) >= 4 * seen.n_classes:
        return smallest_margin(seen)
    n_cells = min(len(seen.y) + seen.n_rows, len(seen.unlabelled) // 5)
    cells = KMeans(n_cells, n_init=1, max_iter=20, random_state=0).fit(seen.unlabelled)
    labelled = np.bincount(cells.predict(seen.X), minlength=n_cells)
    sizes = np.bincount(cells.labels_, minlength=n_cells)
    distance = np.linalg.norm(seen.unlabelled - cells.cluster_centers_[cells.labels_], axis=1)
    order = np.lexsort((distance, cells.labels_))
    _, nearest = np.unique(cells.labels_[order], return_index=True)
    return order[nearest][np.lexsort((-sizes, labelled))][: seen.n_rows]


STRATEGIES: dict[str, Callable[[Round], np.ndarray]] = {
    "random": random_rows,
    "random again": random_again,
    "spread uncertain": uncertain_spread,
    "nearest uncertain": uncertain_nearest,
    "ours": question_3_rows,
    "margin": smallest_margin,
    "balanced entropy": balanced_entropy,
    "badge": badge,
    "variance": variance,
    "typical, then margin": typical_then_margin,
}


def sizes(n_classes: int) -> np.ndarray:
    """The number of labels after every round."""
    totals = [max(N_START, n_classes)]
    while totals[-1] < N_END:
        totals.append(min(int(np.ceil(totals[-1] * STEP)), N_END))
    return np.array(totals)


def learning_curve(
    X: np.ndarray, y: np.ndarray, choose: Callable[[Round], np.ndarray], seed: int
) -> np.ndarray:
    """(rounds,) accuracy on the test rows after every round of one run."""
    rng = np.random.default_rng(seed)
    n_classes, order = int(y.max()) + 1, rng.permutation(len(y))
    test, pool, totals = order[:N_TEST], order[N_TEST:], sizes(int(y.max()) + 1)
    labelled, accuracies = pool[: totals[0]], []
    for number, total in enumerate(totals):
        fit: RidgeFit = fit_ridge(X[labelled], y[labelled], n_classes)
        accuracies.append(float(np.mean(fit.scores(X[test]).argmax(axis=1) == y[test])))
        if number + 1 < len(totals):
            rest = np.setdiff1d(pool, labelled)
            probabilities = fit.probabilities(fit.scores(X[rest]))
            seen = Round(
                X[labelled],
                y[labelled],
                X[rest],
                probabilities,
                n_classes,
                int(totals[number + 1] - total),
                rng,
            )
            chosen = rest[choose(seen)]
            # a strategy returns too few rows where there are copies among them
            missing = totals[number + 1] - total - len(chosen)
            labelled = np.concatenate(
                [labelled, chosen, rng.permutation(np.setdiff1d(rest, chosen))[:missing]]
            )
    return np.array(accuracies)


def labels_needed(totals: np.ndarray, curve: np.ndarray, accuracy: float) -> float:
    """The number of labels at which the running best of `curve` reaches `accuracy`, interpolated
    linearly in the logarithm. If it never does, one round more than the last."""
    best = np.maximum.accumulate(curve)
    right = int(np.searchsorted(best, accuracy - 1e-12))
    if right == 0:
        return float(totals[0])
    if right == len(best):
        return STEP * float(totals[-1])
    share = (accuracy - best[right - 1]) / (best[right] - best[right - 1])
    return float(totals[right - 1] * (totals[right] / totals[right - 1]) ** share)


def compare(totals: np.ndarray, curve: np.ndarray, at_random: np.ndarray) -> tuple[float, float]:
    """(mean saving of labels, most points by which the curve falls below random at the same number
    of labels)."""
    compared = np.flatnonzero(totals >= FIRST_COMPARED)
    saving = [1 - labels_needed(totals, curve, at_random[i]) / totals[i] for i in compared]
    return float(np.mean(saving)), float(100 * np.max(at_random - curve))


def run(
    names: list[str], tasks: list[str], n_seeds: int, console: Console
) -> dict[str, dict[str, tuple[float, float]]]:
    """Strategy -> task -> (saving, worst points)."""
    found: dict[str, dict[str, tuple[float, float]]] = {
        name: {} for name in names if name != "random"
    }
    for task in tasks:
        start = time.perf_counter()
        X, labels = task_embeddings(task, N_ROWS)
        y = np.unique(labels, return_inverse=True)[1]
        curves = {
            name: np.mean(
                [learning_curve(X, y, STRATEGIES[name], seed) for seed in range(n_seeds)], axis=0
            )
            for name in names
        }
        for name, of_task in found.items():
            of_task[task] = compare(sizes(int(y.max()) + 1), curves[name], curves["random"])
        shown = ", ".join(
            f"{name} {saving[task][0]:.0%} ({saving[task][1]:.1f})"
            for name, saving in found.items()
        )
        console.print(
            f"{task}: {shown} [{time.perf_counter() - start:.0f} s]", highlight=False, markup=False
        )
    return found


def show(found: dict[str, dict[str, tuple[float, float]]], console: Console) -> None:
    table = Table(title="Labels saved against random rows; most points below random in brackets")
    for name in (
        "strategy",
        "mean saving",
        f"tasks saving {ENOUGH_SAVING:.0%}",
        "worst points",
        "mean of worst",
    ):
        table.add_column(name, justify="right")
    for name, of_task in found.items():
        saving, worst = np.array(list(of_task.values())).T
        share = np.mean(saving >= ENOUGH_SAVING)
        table.add_row(
            name,
            f"{saving.mean():.1%}",
            f"{share:.0%}",
            f"{worst.max():.2f}",
            f"{worst.mean():.2f}",
        )
    console.print(table)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", category=UserWarning)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument(
        "--strategies", default="random,ours", help="'all', or some of: " + ", ".join(STRATEGIES)
    )
    options = parser.parse_args()
    chosen = list(STRATEGIES) if options.strategies == "all" else options.strategies.split(",")
    console = Console(width=150)
    results = run(chosen, options.tasks.split(","), options.seeds, console)
    show(results, console)
    saving, worst = np.array(list(results["ours"].values())).T
    print(
        json.dumps(
            {
                "label_saving": round(float(saving.mean()), 3),
                "label_saving_quartiles": [
                    round(float(value), 3) for value in np.quantile(saving, [0.25, 0.5, 0.75])
                ],
                "share_of_tasks_saving_20": round(float(np.mean(saving >= ENOUGH_SAVING)), 3),
                "worst_points": round(float(worst.max()), 2),
                "tasks": len(saving),
            }
        )
    )
