"""Probes for sequence labelling. An example is a word, a subset consists of whole sentences, and
entities are scored as a whole.

Whole sentences are labelled, drawn and held out: the words of one sentence are too similar to be on
both sides of a split. Entity-level scores are those of seqeval (the evaluation of CoNLL-2000: an
entity counts when its bounds and its type are right).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from neoberta.extras import need
from probes.metrics import score_all
from probes.solvers.logistic import LOGISTIC_CS, fit_logistic_path
from probes.solvers.rowspace import feature_scale, row_space

N_FOLDS = 3


@dataclass(frozen=True)
class Words:
    """The words of a split's sentences, in order."""

    X: np.ndarray
    """(W, d) float32: the vector of each word."""
    tags: np.ndarray
    """(W,) int64: indices into the tag names."""
    sentence: np.ndarray
    """(W,) int64, ascending: the number of the sentence that each word is in."""


def token_probes(
    train: Words,
    test: Words,
    tag_names: Sequence[str],
    *,
    n_sentences: int,
    seed: int = 0,
    task_fingerprint: str = "",
    Cs: Sequence[float] = LOGISTIC_CS,
) -> list[dict[str, Any]]:
    """Logistic probes of the words of `n_sentences` training sentences, scored on all test words.
    One row for each C.

    A row holds C, C_selected (by the log-loss of folds of whole training sentences), converged,
    n_train (words), n_sentences, entity_f1, entity_precision, entity_recall (None where no tag has
    the form B-TYPE or I-TYPE), and every metric of `probes.metrics.score` over words. Raises
    ValueError for more sentences than there are, and UserError where seqeval is missing.
    """
    chosen = subset_sentences(
        train.sentence, task_fingerprint=task_fingerprint, n=n_sentences, seed=seed
    )
    inside = np.isin(train.sentence, chosen)
    X, tags, sentence = (
        train.X[inside],
        torch.from_numpy(train.tags[inside]),
        train.sentence[inside],
    )
    scale = feature_scale(train.X)
    space = row_space(torch.from_numpy(np.asarray(X, dtype=np.float32)) * scale)
    weight = _sentence_folds(sentence, min(N_FOLDS, n_sentences), seed)
    coordinates = space.coordinates[None]
    path = fit_logistic_path(
        coordinates, tags[None], len(tag_names), Cs, sample_weight=weight[None]
    )
    W, b = path.weights[:, 0], path.intercepts[:, 0]  # (c, R, r, K), (c, R, K)
    held_out = torch.log_softmax(
        space.coordinates @ W[:, 1:] + b[:, 1:, None], dim=-1
    )  # (c, folds, W, K)
    own = held_out.gather(-1, tags.expand(*held_out.shape[:3])[..., None])[..., 0].clamp_min(-16)
    losses = -(own * (weight[:, 1:].T == 0)).sum(dim=(1, 2))
    best = int(losses.argmin())
    X_test = torch.from_numpy(np.asarray(test.X, dtype=np.float32)) * scale
    probabilities = torch.softmax(space.scores(X_test, W[:, 0]) + b[:, 0][:, None], dim=-1).numpy()
    metrics = score_all(test.tags, probabilities, np.arange(len(tag_names)))
    rows = []
    for i, C in enumerate(path.Cs):
        words = {name: float(values[i]) for name, values in metrics.items()}
        entities = entity_scores(
            test.tags, probabilities[i].argmax(axis=1), test.sentence, tag_names
        )
        fitted = {"C": C, "C_selected": i == best, "converged": bool(path.converged[i, 0, 0])}
        rows.append(
            {
                **fitted,
                "n_train": len(tags),
                "n_sentences": n_sentences,
                "seed": seed,
                **words,
                **entities,
            }
        )
    return rows


def entity_scores(
    tags: np.ndarray, predicted: np.ndarray, sentence: np.ndarray, tag_names: Sequence[str]
) -> dict[str, float | None]:
    """entity_f1, entity_precision and entity_recall (micro averages) of `predicted` (W,) against
    `tags` (W,), both int64. `sentence` (W,) ascending says which sentence each word is in. The
    scores are None where the tag names mark no entities. Raises UserError where seqeval is
    missing."""
    names = ("entity_f1", "entity_precision", "entity_recall")
    if not _mark_entities(tag_names):
        return dict.fromkeys(names)
    check_seqeval(tag_names)
    from seqeval.metrics import f1_score, precision_score, recall_score

    starts = np.flatnonzero(np.diff(sentence)) + 1
    named = np.asarray(tag_names, dtype=object)
    truth, guess = (
        [part.tolist() for part in np.split(named[ids], starts)] for ids in (tags, predicted)
    )
    scorers = (f1_score, precision_score, recall_score)
    return {
        name: float(scorer(truth, guess, zero_division=0))
        for name, scorer in zip(names, scorers, strict=True)
    }


def check_seqeval(tag_names: Sequence[str]) -> None:
    """Raises UserError where tags mark entities and seqeval, which scores them, is missing."""
    if _mark_entities(tag_names):
        need("tokens", "entity-level F1")


def subset_sentences(
    sentence: np.ndarray, *, task_fingerprint: str, n: int, seed: int
) -> np.ndarray:
    """(n,) sentences drawn at random: a pure function of its arguments, nested along a seed. Raises
    ValueError for n below 1 or above the number of sentences."""
    known = np.unique(sentence)
    if not 1 <= n <= len(known):
        raise ValueError(f"a subset of {n} sentences of the {len(known)} there are cannot be drawn")
    entropy = hashlib.sha256(f"{task_fingerprint}/sentences/{seed}".encode()).digest()
    return np.random.default_rng(int.from_bytes(entropy, "little")).permutation(known)[:n]


def _mark_entities(tag_names: Sequence[str]) -> bool:
    return any(name.startswith(("B-", "I-")) for name in tag_names)


def _sentence_folds(sentence: np.ndarray, n_folds: int, seed: int) -> torch.Tensor:
    """(W, 1 + n_folds) float32. The first column is ones. Each further one belongs to a fold: 0 for
    the words of the sentences that it holds out, 1 for the others."""
    known, place = np.unique(sentence, return_inverse=True)
    if len(known) < 2:
        return torch.ones(len(sentence), 2)
    fold = (np.random.default_rng([seed, len(known)]).permutation(len(known)) % n_folds)[place]
    held_out = fold[:, None] == np.arange(n_folds)
    return torch.from_numpy(
        np.concatenate([np.ones((len(sentence), 1)), ~held_out], axis=1).astype(np.float32)
    )
