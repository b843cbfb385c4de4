"""Samples of tasks from families that the shipped metamodel has not learnt from, with what came
true.

They are drawn from a study of `benchmarks.metamodel_study` with the sweeps `choice`, `pairs` and
`ahead`, and `official` where it has it. The metamodel and the prior of spaces are the shipped ones,
so nothing is fitted here.
"""

import argparse
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.metamodel_study import FAMILIES, INDEX_FILE, task_names
from cluster.storage import Storage
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.prepare import PreparedSamples
from meta.given.sample import NOT_LABELLED, EvalSample, LabelledSample
from meta.metamodel.model import Metamodel
from meta.metamodel.stored import shipped_folder
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.encode import task_matrix
from probes.encoders.reference import applicable_views
from probes.sweep.subsets import subset_rows
from probes.sweep.sweep import load_results
from probes.tasks.store import load_saved_task
from ray_jobs.stages.embed import EncoderRow

SIZES, N_SEEDS, MAX_EVAL_ROWS = (64, 256), 2, 1000
SWEEPS = ("choice", "pairs", "ahead", "official")
FACTORS = (1, 4, 16)
"""The truth is known at these multiples of n, where the sweeps have measured it."""

SpaceId = tuple[str, int, str]
"""Reference of the encoder, layer, pooling."""


@dataclass(frozen=True)
class UnseenSample:
    """A labelled and an evaluation sample of an unseen task, in all spaces of the study."""

    task: str
    family: str
    is_pair: bool
    is_official: bool
    """The evaluation rows are of the official test split, and not of the pool of the labelled
    rows."""
    n_train: int
    seed: int
    prepared: PreparedSamples
    encoders: list[EmbeddedEncoder]
    eval_labels: np.ndarray
    """(m,) int64 the true labels of the evaluation rows, NOT_LABELLED where unknown."""
    truth: Mapping[tuple[SpaceId, int], float]
    """(space, rows) -> accuracy of the probe on the test rows, the mean over subsets."""

    def truth_at(self, space: SpaceId, factor: int) -> float:
        """The truth at `factor` times n; NaN where it was not measured."""
        return self.truth.get((space, factor * self.n_train), float("nan"))


def unseen_tasks(storage: Storage, metamodel: Metamodel) -> dict[str, tuple[str, str]]:
    """Fingerprint -> (name, family) of the tasks that the study has probed, and of which the
    metamodel knows neither the task nor its family."""
    index = storage.read_json(INDEX_FILE)
    probed = set(truths(storage, index).index.get_level_values("task_fingerprint"))
    known = set(metamodel.card["tasks"]) | set(metamodel.card["task_families"])
    relatives = {
        family for family, members in FAMILIES.items() if known & {family, *members.split()}
    }
    return {
        fingerprint: (name, family)
        for fingerprint, (name, family) in task_names(index).items()
        if fingerprint in probed and name not in known and family not in known | relatives
    }


def truths(storage: Storage, index: Mapping[str, Any]) -> pd.Series:
    """(task_fingerprint, encoder, layer, pooling, n_train) -> mean accuracy of the chosen ridge
    probes on stratified subsets."""
    results = pd.concat(
        [
            load_results(storage, index[sweep]["probes"]).to_pandas()
            for sweep in SWEEPS
            if sweep in index
        ]
    )
    chosen = results[
        (results["probe"] == "ridge") & results["C_selected"] & (results["subset"] == "stratified")
    ]
    place = ["task_fingerprint", "encoder", "layer", "pooling", "n_train"]
    return chosen.groupby(place, observed=True)["accuracy"].mean()


def unseen_samples(uri: str, fingerprint: str) -> Iterator[UnseenSample]:
    """The samples of one task of the study at `uri`."""
    storage = Storage(uri)
    index = storage.read_json(INDEX_FILE)
    name, family = task_names(index)[fingerprint]
    reference = next(each["name"] for each in index["tasks"] if each["fingerprint"] == fingerprint)
    task = load_saved_task(storage, fingerprint)
    train, test = task.splits["train"], task.splits["test"]
    of_task = truths(storage, index).loc[fingerprint]
    truth = {
        ((encoder, int(layer), pooling), int(n_train)): float(value)
        for (encoder, layer, pooling, n_train), value in of_task.items()
    }
    matrices = []
    for row in (EncoderRow.model_validate(each) for each in index["encoders"]):
        cache = EmbeddingCache(storage, row.info.fingerprint)
        views = {
            view: tuple(task_matrix(task, split, cache, view) for split in ("train", "test"))
            for view in applicable_views(row.views, is_pair=task.is_pair)
            if any(space == (row.name, view.layer, view.pooling) for space, _ in truth)
        }
        if views:
            matrices.append((replace(row.info, ref=row.name), views))
    for n_train in SIZES:
        for seed in range(N_SEEDS):
            if n_train > np.sum(train.labels >= 0):
                continue
            rows = subset_rows(
                train.labels, task_fingerprint=fingerprint, kind="stratified", n=n_train, seed=seed
            )
            labels = train.labels[rows]
            present = np.unique(labels)
            if not 2 <= len(present) < n_train:
                continue
            shown = np.random.default_rng(seed).permutation(len(test.labels))[:MAX_EVAL_ROWS]
            names = tuple(task.label_names[i] for i in present)
            # classes that the sample lacks are classes that the probe has never seen
            renumbered = np.full(task.n_classes + 1, len(present))
            renumbered[present] = np.arange(len(present))
            renumbered[-1] = NOT_LABELLED
            pair = train.text_pair
            prepared = PreparedSamples(
                LabelledSample(
                    tuple(train.text[i] for i in rows),
                    renumbered[labels],
                    names,
                    None if pair is None else tuple(pair[i] for i in rows),
                ),
                EvalSample(
                    tuple(test.text[i] for i in shown),
                    None if test.text_pair is None else tuple(test.text_pair[i] for i in shown),
                ),
                (),
                (),
                n_train,
            )
            encoders = [
                EmbeddedEncoder(
                    info, {view: (X[rows], X_test[shown]) for view, (X, X_test) in views.items()}
                )
                for info, views in matrices
            ]
            yield UnseenSample(
                name,
                family,
                task.is_pair,
                "split=pool" not in reference,
                n_train,
                seed,
                prepared,
                encoders,
                renumbered[test.labels[shown]],
                truth,
            )


def study_options(description: str | None) -> argparse.Namespace:
    """The options `study` and `workers` of the command line."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--study", required=True, help="folder of benchmarks.metamodel_study")
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def rows_of_unseen_tasks(
    options: argparse.Namespace, of_task: Callable[[str, str], list[dict[str, Any]]]
) -> pd.DataFrame:
    """The rows that `of_task` (URI of the study, fingerprint) returns for all unseen tasks, in
    `options.workers` processes."""
    tasks = sorted(unseen_tasks(Storage(options.study), shipped_accuracy()))
    with ProcessPoolExecutor(options.workers) as pool:
        found = pool.map(partial(of_task, options.study), tasks)
        return pd.DataFrame([row for rows in found for row in rows])


def shipped_accuracy() -> Metamodel:
    """The shipped metamodel of accuracy, with its prior of spaces."""
    return Metamodel.load(shipped_folder() / "accuracy")
