"""Question 4, second half: encoders of the hub that were not tried and would probably beat the best
one that was.

The prior that ships (`meta.priors.encoders`) knows how good they are on published tasks. The
leave-one-out accuracies of the tried encoders say how that shows on this task. An encoder is
proposed only if its weights are open, it was measured on several published tasks, and it is not too
large.
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import truncnorm

from meta.answering.q4_ranking import hit_correlation
from meta.answering.spaces import Space
from meta.answering.wider_intervals import looks_english
from meta.priors.encoders import EncoderPrior, TriedEncoder, load_prior
from meta.schema import UntriedEncoder

MAX_UNTRIED = 5
"""Longest list of encoders that are proposed."""
MAX_PARAMETERS = 1e9
"""Larger encoders are not proposed: a machine that ran the tried ones may be too small for them."""
MIN_PROBABILITY = 0.5
"""An encoder is proposed if it beats the best tried one with at least this probability."""


def untried_encoders(
    spaces: Sequence[Space], texts: Sequence[str], prior: EncoderPrior | None = None
) -> list[UntriedEncoder]:
    """At most `MAX_UNTRIED` encoders, the most probable to beat the best tried one first.

    `spaces` are all spaces that were tried. `texts` decide whether the prior is that of tasks in
    English or in other languages; `prior`, where it is given, replaces both.
    """
    prior = prior or load_prior("english" if looks_english(texts) else "other")
    found = prior.suggestions(
        tried_accuracies(spaces, prior),
        n_best=MAX_UNTRIED,
        max_parameters=MAX_PARAMETERS,
        min_probability=MIN_PROBABILITY,
    )
    return [
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


def accuracy_quantiles(mean: float, sd: float) -> list[float]:
    """The 5, 50 and 95 % quantiles of an accuracy: a normal distribution with this mean and
    standard deviation, cut off at 0 and 1. So no median is 100 %."""
    spread = max(sd, 1e-6)
    quantiles = truncnorm.ppf(
        (0.05, 0.5, 0.95), (0.0 - mean) / spread, (1.0 - mean) / spread, mean, spread
    )
    return np.asarray(quantiles).tolist()


def tried_accuracies(spaces: Sequence[Space], prior: EncoderPrior) -> dict[str, TriedEncoder]:
    """For each tried encoder (by reference), what was measured: the leave-one-out accuracy of its
    best space, and its standard error.

    All encoders are measured on the same rows. The standard error is the part of the error that the
    other encoders do not share. An encoder that the prior does not know is left out, because the
    prior has no level for it. Only the best one is never left out.
    """
    best: dict[str, Space] = {}
    for space in spaces:
        # two references of one encoder count once
        name = prior.name_of(space.info.ref) or space.info.ref
        if name not in best or space.hits.mean() > best[name].hits.mean():
            best[name] = space
    first = max(best.values(), key=lambda space: space.hits.mean())
    chosen = [
        space for name, space in best.items() if name in prior.encoders.index or space is first
    ]
    correlation = hit_correlation(np.stack([space.hits for space in chosen]).astype(np.float64))
    n_others = max(len(chosen) - 1, 1)
    shared = np.clip((correlation.sum(axis=1) - 1) / n_others, 0.0, 1.0)
    rates = np.array([space.hits.mean() for space in chosen])
    n_rows = len(chosen[0].hits)
    noise = np.sqrt((rates * (1 - rates) + 1 / n_rows) / n_rows * (1 - shared))
    return {
        space.info.ref: TriedEncoder(float(rate), float(sd))
        for space, rate, sd in zip(chosen, rates, noise, strict=True)
    }
