"""Forecasts for rows that are not independent, before and after near-copies and groups are treated
as such, beside the truth on texts without copies.

Copies: 80 texts of a task are written five times each: as filled templates, with dates, or as
retweets and with links. Groups: the rows of a task on pairs of texts that share their first text
(five pieces of evidence for a claim), and made-up authors, who write about one class each and sign
what they write. Labels are the real ones, or random ones, one for each text or group: then no probe
can be better than chance. `before` is the same program without the treatment. The truth is the
accuracy of a probe of all rows on the task's other texts, or other groups. The last line is one
JSON object.
"""

import argparse
import itertools
import json
import tempfile
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from benchmarks.embeddings import DATA
from cluster.storage import Storage
from meta.answering.answer import answer_questions
from meta.given.prepare import prepare
from meta.given.read import read_samples
from meta.given.vectors import as_task, embed_sample
from meta.metamodel.stored import load_metamodel
from meta.metric import Metric
from probes.encoders.base import View
from probes.features.crossfit import fit_ridge
from probes.tasks.read import Columns

TASKS = ("sst2", "trec_coarse", "snips", "twitter_airline", "counterfactual_ja")
STYLES = ("ticket", "date", "retweet")
"""How copies are made: one style for a task, in turn."""
GROUPED_TASK = "climate_fever"
N_TEXTS, N_COPIES, N_EVAL = 80, 5, 1000
N_AUTHORS, ROWS_OF_AUTHOR = 50, 8


class Sample(NamedTuple):
    """Labelled rows (columns text, text_pair?, label, group), and rows that come later."""

    name: str
    train: pd.DataFrame
    later: pd.DataFrame
    is_grouped: bool


class Outcome(NamedTuple):
    """A forecast of the accuracy at the present size, and what came of all rows."""

    n_train: int
    q05: float
    q50: float
    q95: float
    truth: float
    held_out: float
    """Leave-one-out accuracy."""


def filled(text: str, style: str, rng: np.random.Generator) -> str:
    """A near-copy of `text`."""
    first, second = rng.integers(1000, 10**6, 2)
    date = f"{rng.integers(1, 29)}.{rng.integers(1, 13)}.20{rng.integers(10, 25)}"
    return {
        "ticket": f"Ticket {first}: {text} (ref {second})",
        "retweet": f"RT @reader{first}: {text}" if first % 2 else f"{text} http://ex.org/{second}",
        "date": f"{text} ({date}, {second})",
    }[style]


def random_labels(labels: pd.Series, rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(labels.to_numpy())


def samples_of(name: str, style: str, seed: int) -> list[Sample]:
    """Copies with real and with random labels, and made-up authors with random ones."""
    rng = np.random.default_rng(seed)
    rows = pd.read_parquet(DATA / name / "train.parquet")[["text", "label"]]
    rows = rows.drop_duplicates("text").sample(frac=1, random_state=seed).reset_index(drop=True)
    texts, later = rows[:N_TEXTS], rows[N_TEXTS : N_TEXTS + N_EVAL]
    later = later.assign(text=[filled(text, style, rng) for text in later["text"]])
    found = []
    for kind in ("real", "random"):
        labels = texts["label"].to_numpy() if kind == "real" else random_labels(texts["label"], rng)
        train = pd.DataFrame(
            {
                "text": [
                    filled(text, style, rng) for text in texts["text"] for _ in range(N_COPIES)
                ],
                "label": np.repeat(labels, N_COPIES),
                "group": "",
            }
        )
        found.append(Sample(f"{name}, {style}s, {kind} labels", train, later, False))
    n_rows = N_AUTHORS * ROWS_OF_AUTHOR
    author = np.repeat(np.arange(N_AUTHORS), ROWS_OF_AUTHOR)
    written = rows[:n_rows]
    signs = [" ".join(rng.choice(written["text"][i::7]).split()[:9]) for i in range(N_AUTHORS)]
    train = pd.DataFrame(
        {
            "text": [
                f"{text} -- {signs[a]}" for text, a in zip(written["text"], author, strict=True)
            ],
            "label": random_labels(written["label"][:N_AUTHORS], rng)[author],
            "group": [f"author {a}" for a in author],
        }
    )
    later = rows[n_rows : n_rows + N_EVAL]
    later = later.assign(
        text=[f"{text} -- {rng.choice(later['text'])[:60]}" for text in later["text"]]
    )
    found.append(Sample(f"{name}, authors, random labels", train, later, True))
    return found


def grouped_samples(name: str, seed: int) -> list[Sample]:
    """Rows of pairs, grouped by their first text, with real labels and with a random one a
    group."""
    rng = np.random.default_rng(seed)
    rows = pd.read_parquet(DATA / name / "train.parquet")[["text", "text_pair", "label"]]
    rows["group"] = rows["text"]
    groups = rng.permutation(rows["group"].unique())
    train, later = (
        rows[rows["group"].isin(part)].reset_index(drop=True)
        for part in (groups[:N_TEXTS], groups[N_TEXTS : N_TEXTS + N_EVAL // 5])
    )
    one_each = train.groupby("group", sort=False)["label"].first()
    label_of = dict(zip(one_each.index, random_labels(one_each, rng), strict=True))
    return [
        Sample(f"{name}, groups, real labels", train, later, True),
        Sample(
            f"{name}, groups, random labels",
            train.assign(label=train["group"].map(label_of)),
            later,
            True,
        ),
    ]


def forecast(sample: Sample, encoder: str, *, is_treated: bool, storage: Storage) -> Outcome:
    """The forecast and the truth. Without the treatment, rows count as independent."""
    columns = Columns(group="group" if is_treated and sample.is_grouped else None)
    given = sample.train.drop(columns="group") if columns.group is None else sample.train
    later = sample.later.drop(columns=["label", "group"], errors="ignore")
    labelled, evaluation, _ = read_samples(
        given.assign(label=given["label"].astype(str)), later, columns
    )
    if is_treated:
        prepared = prepare(labelled, evaluation)
    else:
        with patch("meta.given.prepare.count_copies_once", lambda *samples: (*samples[:2], [])):
            prepared = prepare(labelled, evaluation)
    embedded = embed_sample(encoder, as_task(prepared), storage)
    model, _ = load_metamodel(None, Metric.ACCURACY)
    answers = answer_questions(prepared, [embedded], model)
    best = answers.encoders[0]
    view = View(best.view.layer, best.view.pooling)
    X, X_eval = embedded.views[view]
    fit = fit_ridge(X, prepared.train.labels, len(labelled.label_names), prepared.train.groups)
    predicted = fit.scores(X_eval).argmax(axis=1)
    names = np.array(labelled.label_names)
    if "random" in sample.name:
        shares = np.bincount(labelled.labels, minlength=len(names)) / len(labelled)
        truth = float(shares[predicted].mean())
    else:
        known = sample.later["label"].astype(str).to_numpy()[prepared.evaluation.positions]
        truth = float(np.mean(names[predicted] == known))
    now = best.curve[0]
    return Outcome(answers.n_train, now.q05, now.q50, now.q95, truth, best.held_out.accuracy)


def show(outcomes: dict[str, tuple[Outcome, Outcome]], encoder: str) -> None:
    table = Table(title=f"Forecast accuracy at the present size (90 % interval), {encoder}")
    for name in ("sample", "rows", "before", "came", "rows that count", "now", "came now"):
        table.add_column(name, justify="left" if name == "sample" else "right")
    for name, (before, now) in outcomes.items():
        cells = [
            f"{100 * each.q50:.1f} ({100 * each.q05:.1f} to {100 * each.q95:.1f})"
            for each in (before, now)
        ]
        came = [f"{100 * each.truth:.1f}" for each in (before, now)]
        table.add_row(
            name, str(before.n_train), cells[0], came[0], str(now.n_train), cells[1], came[1]
        )
    Console(width=140).print(table)


def summary(outcomes: dict[str, tuple[Outcome, Outcome]]) -> dict[str, float]:
    """Mean absolute error in points, and the share of truths inside the 90 % interval."""
    found: dict[str, float] = {"samples": len(outcomes)}
    for at, name in enumerate(("before", "now")):
        errors = [abs(pair[at].q50 - pair[at].truth) for pair in outcomes.values()]
        inside = [pair[at].q05 <= pair[at].truth <= pair[at].q95 for pair in outcomes.values()]
        found[f"mae_points_{name}"] = round(100 * float(np.mean(errors)), 1)
        found[f"inside_90_{name}"] = round(float(np.mean(inside)), 2)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", default=list(TASKS), help="folders of the data")
    parser.add_argument("--encoder", default="lsa:128")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    samples = [
        sample
        for task, style in zip(options.tasks, itertools.cycle(STYLES))
        for sample in samples_of(task, style, options.seed)
    ]
    samples += grouped_samples(GROUPED_TASK, options.seed)
    outcomes = {}
    with tempfile.TemporaryDirectory(prefix="neoberta-bench-") as scratch:
        storage = Storage(str(Path(scratch)))
        for sample in samples:
            outcomes[sample.name] = (
                forecast(sample, options.encoder, is_treated=False, storage=storage),
                forecast(sample, options.encoder, is_treated=True, storage=storage),
            )
            print(sample.name, *outcomes[sample.name], flush=True)
    show(outcomes, options.encoder)
    print(json.dumps(summary(outcomes)))
