"""The source of the constants for fine-tuning in question 6 (`meta.answering.q6_hyperparameters`):
published runs, and probes of ours beside them.

Learning rate and steps come from SciBERT's runs (Beltagy, Lo and Cohan 2019): four learning rates x
2 to 5 epochs, in points of test macro-F1 below the best cell of the same task. The gain over a
probe comes from SetFit's runs (Tunstall et al. 2022), in which a probe, contrastive and ordinary
fine-tuning saw the same samples of 8 and 64 rows a class. For hundreds of rows a class it comes
from BERT-base in SciBERT's runs beside our ridge probe on MiniLM, trained and tested on the same
rows. Prints tables; the last line is JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TASKS = {
    "text_classification/citation_intent": "acl_arc",
    "text_classification/sciie-relation-extraction": "sciie_relation",
    "text_classification/chemprot": "chemprot",
    "text_classification/sci-cite": "scicite",
    "text_classification/mag": None,
}
"""SciBERT's name of a task -> the data set here. None: the data set is not here."""
TRAIN_ROWS = {
    "acl_arc": 1688,
    "sciie_relation": 3219,
    "chemprot": 4169,
    "scicite": 7320,
    None: 84000,
}
"""Number of training rows of a data set. That of MAG is from its paper."""
BATCH_SIZE = 32
CLOSE_POINTS = 1.0
"""Steps are enough when further ones gain at most this many points."""
ACCURACY_SETS = ("SentEval-CR", "ag_news", "emotion", "enron_spam", "sst5")
"""The data sets of SetFit that are scored by accuracy."""
PROBE_ARCHIVE = "paraphrase-mpnet-base-v2-linear-probe"
CONTRASTIVE_ARCHIVE = "paraphrase-mpnet-base-v2-epochs_20"
ORDINARY_ARCHIVES = ("distilbert-base-uncased", "roberta-large")


def scibert_runs(metric: str) -> pd.DataFrame:
    """Test runs of SciBERT's grid: task, model, learning_rate, epochs, value (fraction). Raises
    FileNotFoundError."""
    runs = pd.read_csv(DATA / "results" / "scibert_finetuning" / "runs.csv")
    wanted = (runs["split"] == "test") & (runs["metric"] == metric) & runs["task"].isin(list(TASKS))
    return runs[wanted].dropna(subset=["learning_rate", "epochs"])


def shortfalls(runs: pd.DataFrame) -> pd.DataFrame:
    """For each task, learning rate and number of epochs: the mean points below the task's best
    cell, the optimiser steps, and the standard deviation between runs of one model."""
    cells = (
        runs.groupby(["task", "learning_rate", "epochs", "model"])["value"]
        .agg(["mean", "std"])
        .reset_index()
    )
    table = cells.groupby(["task", "learning_rate", "epochs"])[["mean", "std"]].mean().reset_index()
    best = table.groupby("task")["mean"].transform("max")
    rows = table["task"].map(lambda task: TRAIN_ROWS[TASKS[task]])
    steps = rows * table["epochs"] / BATCH_SIZE
    return table.assign(shortfall=100 * (best - table["mean"]), std=100 * table["std"], steps=steps)


def steps_needed(table: pd.DataFrame, learning_rate: float) -> dict[str, float]:
    """For each task the fewest optimiser steps at `learning_rate` that come within CLOSE_POINTS of
    the best at that rate. No fewer than 2 epochs were tried, so fewer steps may be enough."""
    own = table[np.isclose(table["learning_rate"], learning_rate)]
    close = own[
        own["shortfall"] <= own.groupby("task")["shortfall"].transform("min") + CLOSE_POINTS
    ]
    return close.groupby("task")["steps"].min().to_dict()


def setfit_ratios(shots: int) -> dict[str, dict[str, float]]:
    """Method -> data set -> ln(error of fine-tuning / error of the probe) with `shots` rows a
    class. Raises FileNotFoundError."""
    runs = pd.read_csv(DATA / "results" / "setfit_fewshot" / "runs.csv")
    runs = runs[(runs["shots"] == shots) & runs["dataset"].isin(ACCURACY_SETS)]
    error = 1 - runs.groupby(["archive", "dataset"])["value"].mean() / 100
    probe = error[PROBE_ARCHIVE]
    ratios: dict[str, dict[str, float]] = {}
    for method, archives in (
        ("contrastive", (CONTRASTIVE_ARCHIVE,)),
        ("ordinary", ORDINARY_ARCHIVES),
    ):
        each = pd.concat([np.log(error[archive] / probe) for archive in archives], axis=1)
        ratios[method] = each.mean(axis=1).dropna().to_dict()
    return ratios


def scibert_ratios(learning_rate: float) -> dict[str, float]:
    """Data set -> ln(error of fine-tuned BERT-base / error of our probe on MiniLM), both on the
    official splits. Raises FileNotFoundError, ImportError."""
    from benchmarks.embeddings import split_embeddings
    from probes.features.crossfit import fit_ridge

    runs = scibert_runs("accuracy")
    runs = runs[
        runs["model"].str.startswith("bertbase") & np.isclose(runs["learning_rate"], learning_rate)
    ]
    ratios = {}
    for task, name in TASKS.items():
        own = runs[runs["task"] == task]
        if name is None or own.empty:
            continue
        fine_tuned = own.groupby("epochs")["value"].mean().max()
        (X, y), (X_test, y_test) = split_embeddings(name)
        fit = fit_ridge(X, y, int(max(y.max(), y_test.max())) + 1)
        probe = float(np.mean(fit.scores(X_test).argmax(axis=1) == y_test))
        ratios[name] = float(np.log((1 - fine_tuned) / (1 - probe)))
    return ratios


def mean_and_sd(values: dict[str, float]) -> tuple[float, float, int]:
    numbers = np.array(list(values.values()))
    return float(numbers.mean()), float(numbers.std(ddof=1)), len(numbers)


def seed_noise() -> float:
    """Standard deviation, in points of MNLI accuracy, over 100 fine-tuning seeds of BERT (McCoy,
    Min and Linzen 2020)."""
    runs = pd.read_csv(DATA / "results" / "berts_of_a_feather" / "accuracies_by_run.csv")
    seeds = runs[runs["Run"].astype(str).str.fullmatch(r"Run \d+")]
    return 100 * float(pd.to_numeric(seeds["MNLI dev acc."]).std(ddof=1))


def measured_constants(*, with_probes: bool) -> dict:
    """Every constant of `meta.answering.q6_hyperparameters` that comes from these runs. Raises
    FileNotFoundError."""
    table = shortfalls(scibert_runs("average_F1"))
    longest = (
        table[table["epochs"] >= 4]
        .groupby(["learning_rate", "task"])["shortfall"]
        .min()
        .unstack("task")
    )
    by_rate = longest.mean(axis=1)
    best_rate = float(by_rate.idxmin())
    steps = steps_needed(table, best_rate)
    found = {
        "learning_rate": best_rate,
        "shortfall_points_by_rate": {
            f"{rate:.0e}": round(float(value), 2) for rate, value in by_rate.items()
        },
        "steps": {TASKS[task] or "mag": round(value) for task, value in steps.items()},
        "run_sd_points": round(
            float(table[np.isclose(table["learning_rate"], best_rate)]["std"].mean()), 2
        ),
        "mnli_seed_sd_points": round(seed_noise(), 2),
        "log_error_ratio": {},
    }
    for shots in (8, 64):
        for method, values in setfit_ratios(shots).items():
            mean, sd, n_sets = mean_and_sd(values)
            found["log_error_ratio"].setdefault(method, {})[str(shots)] = [
                round(mean, 3),
                round(sd, 3),
                n_sets,
            ]
    if with_probes:
        values = scibert_ratios(best_rate)
        mean, sd, n_sets = mean_and_sd(values)
        found["log_error_ratio"]["ordinary"]["500"] = [round(mean, 3), round(sd, 3), n_sets]
        found["scibert_log_error_ratio"] = {name: round(value, 3) for name, value in values.items()}
    return found


def show(found: dict) -> None:
    console = Console(width=120)
    table = Table(
        title=(
            "ln(error of fine-tuning / error of a probe): mean, standard deviation over data sets,"
            " data sets"
        )
    )
    for name in ("method", "rows a class", "mean", "sd", "sets", "error left"):
        table.add_column(name, justify="right")
    for method, rows in found["log_error_ratio"].items():
        for shots, (mean, sd, n_sets) in rows.items():
            table.add_row(
                method, shots, f"{mean:.3f}", f"{sd:.3f}", str(n_sets), f"{np.exp(mean):.0%}"
            )
    console.print(table)
    console.print(
        "points below the best cell by learning rate (4 or 5 epochs):",
        found["shortfall_points_by_rate"],
    )
    console.print(
        f"steps of {BATCH_SIZE} rows within {CLOSE_POINTS:g} point of the best:", found["steps"]
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--with-probes",
        action="store_true",
        help="also probe SciBERT's tasks (encodes 16,000 texts once)",
    )
    found = measured_constants(with_probes=parser.parse_args().with_probes)
    show(found)
    print(json.dumps(found))
