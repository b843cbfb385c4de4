"""The choice of encoders by published results (MTEB, few-shot logistic regression on frozen
embeddings), with tasks held out.

A two-way model of encoders and tasks (`meta.priors.fit_encoders`) is fitted on other task families.
On a held-out task it chooses encoders alone (nothing was tried), or with a few encoders that were
tried there (`meta.priors.encoders`). It is compared with chance, the largest encoder, the encoder's
mean accuracy over other tasks, and the best of the tried ones. `--write` makes the table that
ships, from all tasks.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import norm, spearmanr

from meta.priors.encoders import FACT_COLUMNS, FILE, LANGUAGES, SCHEMA, EncoderPrior, TriedEncoder
from meta.priors.fit_encoders import TwoWayFit, fit_two_way

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "results" / "mteb"
TABLE = Path(__file__).resolve().parents[1] / "meta" / FILE
ENGLISH_SUBSETS = ("en", "eng", "english", "eng_Latn", "eng-Latn")
ENGLISH_TASKS = re.compile(
    r"Amazon(Counterfactual|Polarity|Reviews)C|Banking77C|EmotionC|ImdbC|Massive(Intent|Scenario)C|MTOP(Domain|Intent)C|ToxicConv"
    r"ersationsC|Tweet(SentimentExtraction|TopicSingle|Sarcasm_en)C|DBpedia|Poem|FinancialPhrasebank|ToxicChat|Wikipedia|SDS|Arxiv"
    r"C|PatentC|YelpReview|YahooAnswers|NewsC|FrenkEn|LegalBench"
)
"""Names of tasks in English whose subset is not named after a language."""
OTHER_MODALITIES = re.compile(
    r"Video|HMDB|UCF|Diving48|Breakfast|SomethingSomething|RAVDESS|AVEDataset|AVMeme|MusicAVQA|WorldSense|Food101|OxfordFlowers"
)
"""Names of tasks that are not about texts."""
NOT_ACCURACY = re.compile(
    r"Multi-?label|HateSpeechML|CEDR|BrazilianToxic|SensitiveTopics|Emit|HUME", re.IGNORECASE
)
"""Names of tasks with several labels a row (their accuracy is that of whole sets), or that are a
part of another task."""
SERIES = (
    "CUAD",
    "ContractNLI",
    "LearnedHands",
    "OPP115",
    "SCDB",
    "SCDD",
    "Diversity",
    "Textualism",
    "SDS",
    "SynPer",
    "Dutch",
)
"""Series of nearly identical tasks, by the first letters of their names. A series is averaged.
Otherwise a benchmark of forty clauses would count as forty tasks."""
FAMILIES = (
    "Amazon",
    "MTOP",
    "Massive",
    "Toxic",
    "Tweet",
    "Wikipedia",
    "Swe",
    "RuSciBench",
    "Nusa",
    "PerShop",
    "NLPTwitter",
    "Scand",
)
"""Families of tasks, by the first letters of their names."""
MIN_ENCODERS = 15
"""A task with fewer encoders says little about a choice among them."""
MIN_TASKS = 3
N_KINDS = 9
N_TRIED = (1, 3, 5, 10)
N_ROWS = 200
"""Labelled rows of the user who tries encoders. The held-out accuracies have the noise of such a
sample."""
COMMON_NOISE_SHARE = 0.5
"""Share of the sampling variance that encoders have in common when they are tried on the same
rows."""
LAYERS = {
    6: (
        "all-MiniLM-L6-v2 multi-qa-MiniLM-L6-cos-v1 paraphrase-MiniLM-L6-v2"
        " distiluse-base-multilingual-cased-v2"
    ),
    12: (
        "all-MiniLM-L12-v2 paraphrase-multilingual-MiniLM-L12-v2 all-mpnet-base-v2"
        " paraphrase-multilingual-mpnet-base-v2 LaBSE e5-small e5-small-v2 e5-base e5-base-v2"
        " multilingual-e5-small multilingual-e5-base bge-small-en-v1.5 bge-base-en-v1.5"
        " bge-small-en bge-base-en gte-small gte-base bert-base-uncased bert-base-cased"
        " nomic-embed-text-v1 nomic-embed-text-v1.5 sentence-t5-base gtr-t5-base instructor-base"
    ),
    22: "ModernBERT-base",
    24: (
        "e5-large e5-large-v2 multilingual-e5-large multilingual-e5-large-instruct"
        " bge-large-en-v1.5 bge-large-en bge-m3 gte-large sentence-t5-large sentence-t5-xl"
        " sentence-t5-xxl gtr-t5-large gtr-t5-xl gtr-t5-xxl mxbai-embed-large-v1 UAE-Large-V1"
    ),
    28: "Qwen3-Embedding-0.6B ModernBERT-large",
    32: "e5-mistral-7b-instruct SFR-Embedding-Mistral",
    36: "Qwen3-Embedding-4B Qwen3-Embedding-8B",
}
"""Number of layers -> encoders, by the last part of their names. It is from the encoders' own
configurations, since the published metadata lacks it."""


def read_cells(folder: Path) -> pd.DataFrame:
    """Mean accuracy of every encoder on every task: columns encoder, task, language, accuracy."""
    scores = pd.read_parquet(folder / "scores.parquet")
    kept = (
        scores["accuracy"].between(0, 1)
        & scores["task"].str.contains("Classification")
        & (scores["n_experiments"] >= 5)
    )
    kept &= ~scores["task"].str.contains(OTHER_MODALITIES) & ~scores["task"].str.contains(
        NOT_ACCURACY
    )
    cells = scores[kept].copy()
    default = ~cells["subset"].str.contains(r"^[a-z]{2,3}\b", regex=True) | (
        cells["subset"] == "default"
    )
    english = cells["subset"].isin(ENGLISH_SUBSETS) | (
        default & cells["task"].str.match(ENGLISH_TASKS)
    )
    english |= cells["task"].str.contains("LegalBench")
    cells["language"] = np.where(english, "english", "other")
    cells["task"] = cells["task"].str.replace(r"\.[vV]\d$", "", regex=True).map(_series)
    cells["encoder"] = cells["model"].str.replace("__", "/", n=1)
    return cells.groupby(["encoder", "task", "language"], as_index=False)["accuracy"].mean()


def read_encoders(folder: Path) -> pd.DataFrame:
    """Facts about the encoders: index encoder, columns `meta.priors.encoders.FACT_COLUMNS`, NaN
    where a fact is unknown."""
    models = pd.read_csv(folder / "models.csv").drop_duplicates("model")
    numbers = ["n_parameters", "embed_dim", "max_tokens"]
    models[numbers] = models[numbers].replace([np.inf, 0.0], np.nan)
    models["encoder"] = models["model"].str.replace("__", "/", n=1)
    models = models.rename(
        columns={"embed_dim": "embedding_width", "max_tokens": "max_length"}
    ).set_index("encoder")
    depth = {name: layers for layers, names in LAYERS.items() for name in names.split()}
    models["n_layers"] = [depth.get(name.rpartition("/")[2], np.nan) for name in models.index]
    models["open_weights"] = models["open_weights"].map(
        {True: 1.0, False: 0.0, "True": 1.0, "False": 0.0}
    )
    return models[list(FACT_COLUMNS)]


def _series(task: str) -> str:
    return next((f"{name} (mean)" for name in SERIES if task.startswith(name)), task)


def family_of(task: str) -> str:
    """The family of a task. Tasks of one source are held out together."""
    return next((name for name in FAMILIES if task.startswith(name)), task)


def as_prior(fit: TwoWayFit, encoders: pd.DataFrame) -> EncoderPrior:
    """The fit in the form from which `meta.priors.encoders` answers. Tasks are cut into `N_KINDS`
    equal parts by their sensitivity."""
    tasks = fit.tasks.sort_values("sensitivity")
    kind = np.arange(len(tasks)) * N_KINDS // len(tasks)
    sensitivities = tasks["sensitivity"].groupby(kind).mean().to_numpy()
    interaction_sds = np.sqrt((tasks["interaction_sd"] ** 2).groupby(kind).mean())
    table = fit.encoders.join(encoders)
    return EncoderPrior(
        table,
        sensitivities,
        interaction_sds.to_numpy(),
        fit.slope,
        fit.mean_log_parameters,
        fit.population_sd,
    )


def held_out_choices(
    cells: pd.DataFrame, encoders: pd.DataFrame, *, n_folds: int, n_draws: int, seed: int = 0
) -> pd.DataFrame:
    """One row for each (held-out task, rule, draw): `regret` of the chosen encoder and
    `correlation` of the ranking. The encoders are those that were measured on the task and on at
    least `MIN_TASKS` other tasks, from which their level is known."""
    rng = np.random.default_rng(seed)
    families = cells["task"].map(family_of)
    names = rng.permutation(families.unique())
    found = []
    for fold in range(n_folds):
        out = families.isin(names[fold::n_folds])
        fit = fit_two_way(
            cells.loc[~out, ["encoder", "task", "accuracy"]], encoders["n_parameters"]
        )
        prior = as_prior(fit, encoders)
        other_mean = cells[~out].groupby("encoder")["accuracy"].mean()
        for task, measured in cells[out].groupby("task"):
            known = (
                fit.encoders["n_tasks"].reindex(measured["encoder"]).fillna(0).to_numpy()
                >= MIN_TASKS
            )
            truth = measured[known].set_index("encoder")["accuracy"]
            if len(truth) >= MIN_ENCODERS and truth.std() > 0:
                scores = {
                    "chance": pd.Series(0.0, truth.index),
                    "largest": encoders["n_parameters"].reindex(truth.index).fillna(0.0),
                    "mean of other tasks": other_mean.reindex(truth.index),
                    "prior": fit.encoders["mean"].reindex(truth.index),
                }
                found += [
                    {"task": task, "rule": rule, **_choice(truth, score)}
                    for rule, score in scores.items()
                ]
                for _ in range(n_draws):
                    found += [
                        {"task": task, **row} for row in _choices_after_trials(prior, truth, rng)
                    ]
    return pd.DataFrame(found)


def _choice(truth: pd.Series, score: pd.Series) -> dict[str, float]:
    """Regret of the encoder with the highest score (the mean of those that share it), and
    Spearman's correlation over the encoders."""
    best = score == score.max()
    constant = score.nunique() < 2
    return {
        "regret": float(truth.max() - truth[best].mean()),
        "correlation": 0.0 if constant else float(spearmanr(score, truth).statistic),
    }


def _choices_after_trials(
    prior: EncoderPrior, truth: pd.Series, rng: np.random.Generator
) -> list[dict]:
    """Rows for each number of tried encoders. Random encoders are tried on a sample of `N_ROWS`."""
    order = rng.permutation(len(truth))
    sd = np.sqrt(np.maximum(truth * (1 - truth), 0.01) / N_ROWS)
    shared = rng.standard_normal() * np.sqrt(COMMON_NOISE_SHARE)
    measured_accuracy = truth + sd * (
        shared + rng.standard_normal(len(truth)) * np.sqrt(1 - COMMON_NOISE_SHARE)
    )
    rows = []
    for n_tried in N_TRIED:
        tried = truth.index[order[:n_tried]]
        evidence = {
            name: TriedEncoder(
                float(measured_accuracy[name]), float(sd[name] * np.sqrt(1 - COMMON_NOISE_SHARE))
            )
            for name in tried
        }
        posterior = prior.update(evidence).set_index("encoder").reindex(truth.index)
        best_tried = measured_accuracy[tried].idxmax()
        rows.append(
            {"rule": f"best of {n_tried} tried", "regret": float(truth.max() - truth[best_tried])}
        )
        untried = ~posterior["tried"].to_numpy(dtype=bool)
        likely = posterior.loc[tried, "mean"].idxmax()
        probability = posterior["p_beats_best_tried"].to_numpy()[untried]
        low, high = (posterior["mean"] + norm.ppf(tail) * posterior["sd"] for tail in (0.05, 0.95))
        # The common noise of the sample moves all encoders alike. The intervals are those of the
        # accuracy on the rows of the sample.
        of_sample = truth + sd * shared
        inside = ((of_sample >= low) & (of_sample <= high)).to_numpy()[untried]
        rows.append(
            {
                "rule": f"prior + {n_tried} tried",
                **_choice(truth, posterior["mean"]),
                "brier": float(
                    np.mean((probability - (truth > truth[likely]).to_numpy()[untried]) ** 2)
                ),
                "said": float(probability.mean()),
                "came": float((truth > truth[likely]).to_numpy()[untried].mean()),
                "coverage_90": float(inside.mean()),
            }
        )
    return rows


def summary(choices: pd.DataFrame) -> pd.DataFrame:
    """For each rule, with tasks counting equally: regret in points (mean, and 90th percentile over
    tasks), correlation, calibration."""
    of_task = choices.groupby(["rule", "task"]).mean(numeric_only=True)
    table = of_task.groupby("rule").mean()
    table["regret"] *= 100
    table.insert(1, "regret p90", 100 * choices.groupby("rule")["regret"].quantile(0.9))
    order = ["chance", "largest", "mean of other tasks", "prior"]
    order += [f"{rule} {n} tried" for n in N_TRIED for rule in ("best of", "prior +")]
    return table.reindex(order)


def shipped_table(cells: pd.DataFrame, encoders: pd.DataFrame) -> dict:
    """The JSON that ships: the encoders, with their levels on English tasks and on others."""
    levels, languages = {}, {}
    for language in LANGUAGES:
        inside = cells[cells["language"] == language]
        prior = as_prior(
            fit_two_way(inside[["encoder", "task", "accuracy"]], encoders["n_parameters"]), encoders
        )
        levels[language] = prior.encoders[["mean", "sd", "n_tasks"]].add_prefix(f"{language}_")
        languages[language] = {
            "sensitivities": prior.sensitivities.round(4).tolist(),
            "interaction_sds": prior.interaction_sds.round(5).tolist(),
            "slope": round(prior.slope, 5),
            "mean_log_parameters": round(prior.mean_log_parameters, 4),
            "population_sd": round(prior.population_sd, 5),
            "n_tasks": int(inside["task"].nunique()),
            "n_cells": len(inside),
        }
    table = pd.concat(levels.values(), axis=1).sort_index().round(4).join(encoders)
    rows = json.loads(
        table.reset_index(names="encoder").to_json(orient="values", double_precision=4)
    )
    return {
        "schema": SCHEMA,
        "about": (
            "Levels of text encoders in few-shot classification, fitted to the published results of"
            " MTEB (CC0-1.0); made by `python -m benchmarks.mteb --write`. mean, sd: accuracy on an"
            " average task about the average encoder."
        ),
        "languages": languages,
        "columns": ["encoder", *table.columns],
        "encoders": [
            [int(v) if isinstance(v, float) and v.is_integer() else v for v in row] for row in rows
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--data", type=Path, default=DATA, help="folder with scores.parquet and models.csv"
    )
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument(
        "--draws", type=int, default=5, help="draws of tried encoders for each held-out task"
    )
    parser.add_argument("--write", action="store_true", help=f"make meta/{FILE} and stop")
    options = parser.parse_args()
    if not (options.data / "scores.parquet").is_file():
        sys.exit(
            f"{options.data}: no scores.parquet there; give the folder of the MTEB results with"
            " --data"
        )
    cells, encoders = read_cells(options.data), read_encoders(options.data)
    if options.write:
        stored = shipped_table(cells, encoders)
        text = json.dumps(stored, allow_nan=False).replace("], [", "],\n[")
        TABLE.write_text(text + "\n", encoding="utf-8")
        print(
            json.dumps(
                {
                    "file": str(TABLE),
                    "bytes": TABLE.stat().st_size,
                    "encoders": len(stored["encoders"]),
                }
            )
        )
        return
    console, result = Console(width=120), {}
    for language in LANGUAGES:
        inside = cells[cells["language"] == language]
        choices = held_out_choices(inside, encoders, n_folds=options.folds, n_draws=options.draws)
        table = summary(choices)
        title = (
            f"Tasks in {language}: {choices['task'].nunique()} held out in turn,"
            f" {inside['encoder'].nunique()} encoders"
        )
        printed = Table(title=f"{title} (regret in points)")
        for name in ("rule", *table.columns):
            printed.add_column(name, justify="left" if name == "rule" else "right")
        for rule, row in table.iterrows():
            printed.add_row(rule, *("" if np.isnan(value) else f"{value:.2f}" for value in row))
        console.print(printed)
        keys = {
            "prior": "prior",
            "mean of other tasks": "static",
            "largest": "largest",
            "chance": "chance",
        }
        keys |= {f"prior + {n} tried": f"prior_and_{n}" for n in N_TRIED} | {
            f"best of {n} tried": f"best_of_{n}" for n in N_TRIED
        }
        for rule, key in keys.items():
            result[f"{language}_regret_points_{key}"] = round(float(table.loc[rule, "regret"]), 3)
            if key.startswith(("prior", "static")):
                result[f"{language}_rank_correlation_{key}"] = round(
                    float(table.loc[rule, "correlation"]), 3
                )
        result[f"{language}_coverage_90"] = round(
            float(table.loc["prior + 3 tried", "coverage_90"]), 3
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
