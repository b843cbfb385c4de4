"""The choice of encoders by published results (`benchmarks.mteb_results`), with tasks held out.

The model of encoders and tasks (`meta.priors.fit_encoders`) is fitted on other task families. On a
held-out task it chooses encoders alone (nothing was tried), or with a few encoders that were tried
there (`meta.priors.encoders`). It is compared with chance, the largest encoder, the encoder's mean
accuracy over other tasks, and the best of the tried ones. The probabilities that it gives for
untried encoders are compared with what came true (`benchmarks.mteb_held_out`). `--write` makes the
table that ships, from all tasks.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.mteb_held_out import (
    N_TRIED,
    OFFLINE_ENCODER,
    SCENARIOS,
    calibration,
    choices,
    cross_fitted,
    fit_correction,
    fit_prior,
    held_out_tasks,
    proposals,
    reliability,
    statements,
)
from benchmarks.mteb_results import DATA, read_cells, read_encoders, release_dates
from meta.priors.encoders import FILE, LANGUAGES, SCHEMA, Reliability
from probes.encoders.load import load_encoder

TABLE = Path(__file__).resolve().parents[1] / "meta" / FILE
RELEASED_AFTER = "2025-01-01"
"""Encoders that were released after this day are those that the prior does not know where "a later
one" is tried."""


def held_out(
    cells: pd.DataFrame,
    encoders: pd.DataFrame,
    later: frozenset[str],
    *,
    n_folds: int,
    n_draws: int,
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(`choices`, `statements`) of all held-out tasks of one language. Of the statements, those
    after "a later one" are of a prior that was fitted without the encoders `later`."""
    rng = np.random.default_rng(seed)
    chosen, said = [], []
    for prior, others, task, truth in held_out_tasks(cells, encoders, n_folds=n_folds, seed=seed):
        rows = choices(prior, others, task, truth, encoders, n_draws, rng)
        chosen += [{"task": task, **row} for row in rows]
        said.append(statements(prior, task, truth, encoders, frozenset(), n_draws, rng))
    for prior, _, task, truth in held_out_tasks(
        cells, encoders, n_folds=n_folds, seed=seed, later=later
    ):
        said.append(statements(prior, task, truth, encoders, later, n_draws, rng))
    return pd.DataFrame(chosen), pd.concat(said, ignore_index=True)


def summary(choices: pd.DataFrame) -> pd.DataFrame:
    """For each rule, with tasks counting equally: regret in points (mean, and 90th percentile over
    tasks), correlation, coverage."""
    of_task = choices.groupby(["rule", "task"]).mean(numeric_only=True)
    table = of_task.groupby("rule").mean()
    table["regret"] *= 100
    table.insert(1, "regret p90", 100 * choices.groupby("rule")["regret"].quantile(0.9))
    order = ["chance", "largest", "mean of other tasks", "prior", "prior, kind unknown"]
    order += [f"{rule} {n} tried" for n in N_TRIED for rule in ("best of", "prior +")]
    return table.reindex(order)


def shipped_table(
    cells: pd.DataFrame,
    encoders: pd.DataFrame,
    said: Mapping[str, pd.DataFrame],
    weights: Mapping[str, str],
) -> dict:
    """The JSON that ships: facts about the encoders, and for each language their levels on tasks of
    each kind and the tasks. `said` are the statements of each language on held-out tasks."""
    every = pd.concat(said.values(), ignore_index=True)
    tables = {}
    for language in LANGUAGES:
        inside = cells[cells["language"] == language]
        prior = fit_prior(inside, encoders)
        levels = prior.encoders[["n_tasks"]].join(
            [prior.means.add_prefix("mean_"), prior.sds.add_prefix("sd_")]
        )
        checked = proposals(cross_fitted(said[language]))
        tables[language] = {
            "slope": round(prior.slope, 5),
            "mean_log_parameters": round(prior.mean_log_parameters, 4),
            "population_sd": round(prior.population_sd, 5),
            "n_cells": len(inside),
            "reliability": [
                [round(row.said, 3), round(row.came, 3), row.n_families]
                for row in reliability(checked)
            ],
            "task_columns": ["task", *prior.tasks.columns],
            "tasks": _rows(prior.tasks.round(5), "task"),
            "level_columns": ["encoder", *levels.columns],
            "levels": _rows(levels.round(4), "encoder"),
        }
    measured = sorted(set(cells["encoder"]))
    return {
        "schema": SCHEMA,
        "about": (
            "Levels of text encoders in few-shot classification, fitted to the published results of"
            " MTEB (CC0-1.0); made by `python -m benchmarks.mteb --write`. mean, sd: accuracy on an"
            " average task of a kind, about that of the average encoder. weights: hash of the"
            " tensors. reliability: said, came true, families of tasks, held out."
        ),
        "weights": dict(weights),
        "proposal_calibration": [round(value, 4) for value in fit_correction(every)],
        "languages": tables,
        "columns": ["encoder", *encoders.columns],
        "encoders": _rows(encoders.reindex(measured).rename_axis("encoder"), "encoder"),
    }


def _rows(table: pd.DataFrame, index: str) -> list[list]:
    """The rows of a table as JSON has them, whole numbers without a point."""
    rows = json.loads(
        table.rename_axis(index).reset_index().to_json(orient="values", double_precision=5)
    )
    return [[int(v) if isinstance(v, float) and v.is_integer() else v for v in row] for row in rows]


def write_table(stored: dict) -> None:
    """Write the file that ships, and say so."""
    text = json.dumps(stored, allow_nan=False).replace("], [", "],\n[")
    TABLE.write_text(text + "\n", encoding="utf-8")
    facts = {"bytes": TABLE.stat().st_size, "encoders": len(stored["encoders"])}
    print(json.dumps({"file": str(TABLE), **facts}))


def print_choices(console: Console, table: pd.DataFrame, title: str) -> None:
    """Regret, in points, and correlation of each rule."""
    printed = Table(title=title)
    for name in ("rule", *table.columns):
        printed.add_column(name, justify="left" if name == "rule" else "right")
    for rule, row in table.iterrows():
        printed.add_row(str(rule), *("" if np.isnan(value) else f"{value:.2f}" for value in row))
    console.print(printed)


def print_reliability(
    console: Console, rows: Mapping[str, Sequence[Reliability]], title: str
) -> None:
    """What was said and what came true, for each way of choosing statements."""
    printed = Table(title=title)
    for name in ("statements", "said", "came true", "families"):
        printed.add_column(name, justify="left" if name == "statements" else "right")
    for name, found in rows.items():
        for row in found:
            printed.add_row(name, f"{row.said:.2f}", f"{row.came:.2f}", str(row.n_families))
    console.print(printed)


def choice_results(table: pd.DataFrame, language: str) -> dict[str, float]:
    """The numbers of `summary` for the line of JSON."""
    keys = {
        "prior": "prior",
        "prior, kind unknown": "prior_kind_unknown",
        "mean of other tasks": "static",
        "largest": "largest",
        "chance": "chance",
    }
    keys |= {f"prior + {n} tried": f"prior_and_{n}" for n in N_TRIED}
    keys |= {f"best of {n} tried": f"best_of_{n}" for n in N_TRIED}
    found = {f"{language}_regret_points": round(float(table.loc["prior", "regret"]), 3)}
    for rule, key in keys.items():
        found[f"{language}_regret_points_{key}"] = round(float(table.loc[rule, "regret"]), 3)
        if key.startswith(("prior", "static")):
            found[f"{language}_rank_correlation_{key}"] = round(
                float(table.loc[rule, "correlation"]), 3
            )
    covered = float(table.loc["prior + 3 tried", "coverage_90"])
    return found | {f"{language}_coverage_90": round(covered, 3)}


def statement_results(said: pd.DataFrame, prefix: str) -> dict[str, float]:
    """How well the probabilities are calibrated, for the line of JSON: of all untried encoders, of
    those that are proposed, and of those by scenario. `said` is corrected by other families."""
    shown = proposals(cross_fitted(said))
    found = {f"{prefix}calibration_error_all": calibration(said)["error"]}
    parts = {"": shown} | {
        f"{scenario.replace(' ', '_').lower()}_": shown[shown["scenario"] == scenario]
        for scenario in SCENARIOS
    }
    for name, rows in parts.items():
        if len(rows):
            for key, value in calibration(rows).items():
                found[f"{prefix}{name}{'calibration_error' if key == 'error' else key}"] = value
    return {key: round(value, 3) for key, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder with scores.parquet and models.csv"
    )
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument(
        "--draws", type=int, default=3, help="draws of tried encoders for each held-out task"
    )
    parser.add_argument("--write", action="store_true", help=f"make meta/{FILE} too")
    options = parser.parse_args()
    if not (options.data / "scores.parquet").is_file():
        sys.exit(
            f"{options.data}: no scores.parquet there; give the folder of the MTEB results with"
            " --data"
        )
    cells, encoders = read_cells(options.data), read_encoders(options.data)
    dates = release_dates(options.data)
    later = frozenset(dates.index[dates > RELEASED_AFTER])
    console, result, said = Console(width=120), {}, {}
    for language in LANGUAGES:
        inside = cells[cells["language"] == language]
        chosen, said[language] = held_out(
            inside, encoders, later, n_folds=options.folds, n_draws=options.draws
        )
        table = summary(chosen)
        title = (
            f"Tasks in {language}: {chosen['task'].nunique()} held out in turn,"
            f" {inside['encoder'].nunique()} encoders"
        )
        print_choices(console, table, f"{title} (regret in points)")
        shown = proposals(cross_fitted(said[language]))
        rows = {"of all untried encoders": reliability(said[language])}
        rows |= {"of those proposed": reliability(shown)}
        rows |= {
            f"of those proposed, tried: {name}": reliability(shown[shown["scenario"] == name])
            for name in SCENARIOS
        }
        print_reliability(console, rows, title)
        result |= choice_results(table, language)
        result |= statement_results(said[language], f"{language}_untried_")
    result |= statement_results(pd.concat(said.values(), ignore_index=True), "untried_")
    print(json.dumps(result))
    if options.write:
        weights = load_encoder(f"hf:{OFFLINE_ENCODER}").info.weights
        write_table(shipped_table(cells, encoders, said, {weights: OFFLINE_ENCODER}))


if __name__ == "__main__":
    main()
