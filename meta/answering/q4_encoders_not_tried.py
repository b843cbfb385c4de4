"""Question 4, second half: encoders of the hub that were not tried and would probably beat the best
one that was.

The prior that ships (`meta.priors.encoders`) knows how good they are on published tasks of each
kind. The labels and the texts say of which kind this task is. The leave-one-out accuracies of the
tried encoders say how the rest shows on it. An encoder is proposed only if its weights are open, it
was measured on several published tasks, and it is not too large.

A tried encoder is known by its weights, or because it was downloaded from the hub under its name.
The name of a folder proves nothing: a fine-tuned copy is often called like its original.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import truncnorm

from meta.answering.q4_ranking import hit_correlation
from meta.answering.spaces import Space
from meta.answering.wider_intervals import looks_english
from meta.given.prepare import PreparedSamples
from meta.priors.encoders import OTHER_KIND, EncoderPrior, TriedEncoder, load_prior
from meta.priors.task_kinds import kind_probabilities
from meta.schema import UntriedBasis, UntriedEncoder, UntriedReliability

MAX_UNTRIED = 5
"""Longest list of encoders that are proposed."""
MAX_PARAMETERS = 1e9
"""Larger encoders are not proposed: a machine that ran the tried ones may be too small for them."""
MIN_PROBABILITY = 0.5
"""An encoder is proposed if it beats the best tried one with at least this probability."""


def untried_encoders(
    spaces: Sequence[Space], prepared: PreparedSamples, prior: EncoderPrior | None = None
) -> tuple[list[UntriedEncoder], UntriedBasis | None]:
    """At most `MAX_UNTRIED` encoders, the most probable to beat the best tried one first; and what
    that rests on.

    `spaces` are all spaces that were tried. The texts decide whether the prior is that of tasks in
    English or in other languages; `prior`, where it is given, replaces both. No encoder and no
    basis for a task on pairs of texts, because no published result is of pairs.
    """
    train = prepared.train
    if train.text_pair is not None:
        return [], None
    texts = (*train.texts, *prepared.evaluation.texts)
    language = "english" if looks_english(texts) else "other"
    prior = prior or load_prior(language)
    kinds = _kinds_told_apart(kind_probabilities(train.texts, train.label_names), prior)
    tried = tried_accuracies(spaces, prior)
    found = prior.suggestions(
        tried,
        kinds,
        n_best=MAX_UNTRIED,
        max_parameters=MAX_PARAMETERS,
        min_probability=MIN_PROBABILITY,
    )
    proposed = [
        UntriedEncoder(
            encoder=f"hf:{row['encoder']}",
            p_beats_best_tried=row["p_beats_best_tried"],
            **dict(
                zip(("q05", "q50", "q95"), accuracy_quantiles(row["mean"], row["sd"]), strict=True)
            ),
            parameters=int(row["n_parameters"]) if np.isfinite(row["n_parameters"]) else None,
            n_tasks=int(row["n_tasks"]),
        )
        for row in found.to_dict("records")
    ]
    likeliest = max(kinds, key=lambda kind: kinds[kind])
    infos = {space.info.ref: space.info for space in spaces}
    known = {ref: prior.name_of(info.weights, info.hub_id) for ref, info in infos.items()}
    return proposed, UntriedBasis(
        language=language,
        kinds=kinds,
        tasks=len(prior.tasks),
        tasks_of_kind=int((prior.tasks["kind"] == likeliest).sum()),
        known={ref: name for ref, name in known.items() if name is not None},
        called_alike={
            ref: name
            for ref in infos
            if known[ref] is None and (name := _called_alike(ref, prior)) is not None
        },
        reliability=[
            UntriedReliability(said=row.said, came=row.came, families=row.n_families)
            for row in prior.reliability
        ],
    )


def _kinds_told_apart(kinds: dict[str, float], prior: EncoderPrior) -> dict[str, float]:
    """`kinds`, with those of which `prior` has no published task counted as other ones."""
    has_tasks = set(prior.tasks["kind"])
    known = {kind: share for kind, share in kinds.items() if kind in has_tasks}
    known[OTHER_KIND] = known.get(OTHER_KIND, 0.0) + 1.0 - sum(known.values())
    return known


def _called_alike(ref: str, prior: EncoderPrior) -> str | None:
    """The encoder of the table whose name ends as the reference does, where there is one such."""
    plain = ref.partition("#")[0].partition(":")[2].partition("@")[0].rstrip("/")
    last = plain.rpartition("/")[2].casefold()
    alike = [name for name in prior.means.index if name.rpartition("/")[2].casefold() == last]
    return alike[0] if len(alike) == 1 else None


def accuracy_quantiles(mean: float, sd: float) -> list[float]:
    """The 5, 50 and 95 % quantiles of an accuracy: a normal distribution with this mean and
    standard deviation, cut off at 0 and 1. So no median is 100 %."""
    spread = max(sd, 1e-6)
    quantiles = truncnorm.ppf(
        (0.05, 0.5, 0.95), (0.0 - mean) / spread, (1.0 - mean) / spread, mean, spread
    )
    return np.asarray(quantiles).tolist()


def tried_accuracies(spaces: Sequence[Space], prior: EncoderPrior) -> dict[str, TriedEncoder]:
    """For each tried encoder, what was measured: the leave-one-out accuracy of its best space, and
    its standard error. The key is the prior's name of the encoder, or a hash where the prior does
    not know it.

    All encoders are measured on the same rows. The standard error is the part of the error that the
    other encoders do not share. An encoder that the prior does not know is left out, because the
    prior has no level for it. Only the best one is never left out: its level is that of its size.
    """
    best: dict[str, Space] = {}
    for space in spaces:
        info = space.info
        # two references of the same weights count once
        name = prior.name_of(info.weights, info.hub_id) or info.weights or info.fingerprint
        if name not in best or space.hits.mean() > best[name].hits.mean():
            best[name] = space
    first = max(best.values(), key=lambda space: space.hits.mean())
    chosen = {
        name: space
        for name, space in best.items()
        if name in prior.encoders.index or space is first
    }
    hits = np.stack([space.hits for space in chosen.values()]).astype(np.float64)
    correlation = hit_correlation(hits)
    n_others = max(len(chosen) - 1, 1)
    shared = np.clip((correlation.sum(axis=1) - 1) / n_others, 0.0, 1.0)
    rates, n_rows = hits.mean(axis=1), hits.shape[1]
    noise = np.sqrt((rates * (1 - rates) + 1 / n_rows) / n_rows * (1 - shared))
    return {
        name: TriedEncoder(
            float(rate), float(sd), float(space.info.n_parameters) if space.info.weights else None
        )
        for (name, space), rate, sd in zip(chosen.items(), rates, noise, strict=True)
    }
