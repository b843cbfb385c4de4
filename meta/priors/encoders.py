"""The prior of encoders: how good an encoder is on a task before anyone tries it, and after some
others were tried.

The table that ships (`encoder_prior.json`) holds the levels of some hundreds of encoders with their
uncertainty. `python -m benchmarks.mteb --write` makes it from published few-shot results. The model
of a user's task is

    held-out accuracy of encoder m = level of the task + sensitivity * (level_m + interaction_m) +
    sampling noise_m.

Once the sensitivity is fixed, everything is Gaussian. The level of the task is unknown beforehand.
The sensitivity, and the size of the interactions that goes with it, has the distribution that it
had over the published tasks, and is averaged over. So the tried encoders tell the level and the
sensitivity of the task, and these tell the accuracies of the other encoders.

Two limits are known. Interactions of encoders of one family are taken to be independent. The
sampling noise that all encoders share on the same rows is absorbed by the level of the task.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import norm

SCHEMA = 1
"""Version of the stored table."""
FILE = "encoder_prior.json"
LANGUAGES = ("english", "other")
"""There is a prior for tasks in English, and one for tasks in other languages."""
FACT_COLUMNS = ("n_parameters", "embedding_width", "n_layers", "max_length", "open_weights")
"""Columns of facts about an encoder, NaN where unknown. `max_length` is in tokens, `open_weights`
is 1 or 0."""
TASK_LEVEL_SD = 1.0
"""Standard deviation of the task's level before anything was tried. It is so large that any
accuracy is possible."""
MIN_TASKS = 5
"""An encoder that was measured on fewer published tasks is not proposed to the user."""


@dataclass(frozen=True)
class TriedEncoder:
    """The measured accuracy of one encoder on the user's task."""

    accuracy: float
    """On held-out rows, in [0, 1]."""
    sd: float
    """Standard error of the accuracy, without the part that the other encoders share because they
    were tried on the same rows."""


@dataclass(frozen=True)
class EncoderPrior:
    """The levels of encoders on tasks in one of LANGUAGES. `load_prior` makes it."""

    encoders: pd.DataFrame
    """Index: encoder (hub name). Columns: `mean` and `sd` of its level, `n_tasks` (published tasks
    on which it was measured), and `FACT_COLUMNS`."""
    sensitivities: np.ndarray
    """(S,) possible sensitivities of a task, all equally probable."""
    interaction_sds: np.ndarray
    """(S,) the standard deviation of interactions on a task of each sensitivity, in units of the
    levels. It is larger where encoders hardly differ."""
    slope: float
    """Rise of the level with log10 of the number of parameters."""
    mean_log_parameters: float
    """The log10 of the number of parameters at which that line has the level 0."""
    population_sd: float
    """Standard deviation of levels about that line."""

    def name_of(self, ref: str) -> str | None:
        """The name that an encoder reference has in the table, None where the table does not know
        it. A reference is `hf:name@revision#view`, a hub name, or a folder. A folder is known if
        its last part is the last part of exactly one name."""
        plain = ref.partition("#")[0].removeprefix("hf:").partition("@")[0].rstrip("/")
        if plain in self.encoders.index:
            return plain
        last = plain.rpartition("/")[2].lower()
        same = [name for name in self.encoders.index if name.rpartition("/")[2].lower() == last]
        return same[0] if len(same) == 1 else None

    def level(self, ref: str, n_parameters: float | None = None) -> tuple[float, float]:
        """(mean, standard deviation) of an encoder's level: its accuracy on an average task, less
        that of the average encoder. An unknown encoder has the level of its size `n_parameters`, or
        that of all encoders where the size is unknown too."""
        name = self.name_of(ref)
        if name is not None:
            mean, sd = self.encoders.loc[[name], ["mean", "sd"]].to_numpy(dtype=np.float64)[0]
            return float(mean), float(sd)
        if not n_parameters:
            return 0.0, float(np.hypot(self.encoders["mean"].std(), self.encoders["sd"].mean()))
        return float(
            self.slope * (np.log10(n_parameters) - self.mean_log_parameters)
        ), self.population_sd

    def update(
        self, tried: Mapping[str, TriedEncoder], n_parameters: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """The expected accuracy on the user's task of every encoder, the best first: those of the
        table, and those that were `tried` (by reference).

        Columns: `encoder` (the table's name, or the reference of an unknown one), `tried`, `mean`
        and `sd` of its accuracy there, and `p_beats_best_tried`, the probability that its true
        accuracy is above that of the tried encoder with the highest mean. `n_parameters` are the
        sizes of tried encoders by reference. Raises ValueError where nothing was tried, and where
        two references mean one encoder.
        """
        if not tried:
            raise ValueError("nothing was tried: there is no task to compare encoders on")
        names = [self.name_of(ref) or ref for ref in tried]
        if len(set(names)) < len(names):
            raise ValueError(f"two references of one encoder: {', '.join(sorted(tried))}")
        known = self.encoders[["mean", "sd"]].drop(
            index=[name for name in names if name in self.encoders.index]
        )
        levels = [self.level(ref, (n_parameters or {}).get(ref)) for ref in tried]
        mean = np.r_[[level[0] for level in levels], known["mean"]]
        variance = np.r_[[level[1] for level in levels], known["sd"]] ** 2
        measured = np.array([encoder.accuracy for encoder in tried.values()])
        noise = np.array([max(encoder.sd, 1e-4) for encoder in tried.values()]) ** 2
        return _mixture(
            [*names, *known.index],
            [
                _given_sensitivity(sensitivity, mean, variance + interaction**2, measured, noise)
                for sensitivity, interaction in zip(
                    self.sensitivities, self.interaction_sds, strict=True
                )
            ],
            len(tried),
        )

    def suggestions(
        self,
        tried: Mapping[str, TriedEncoder],
        *,
        n_best: int = 5,
        max_parameters: float | None = None,
        min_probability: float = 0.5,
    ) -> pd.DataFrame:
        """At most `n_best` encoders that were not tried and beat the best tried one with a
        probability of at least `min_probability`, the most probable first.

        Only encoders with open weights and at least `MIN_TASKS` published tasks are proposed. With
        `max_parameters` no encoder is proposed that is larger or of unknown size. Columns: those of
        `update` and of the table.
        """
        found = self.update(tried).merge(
            self.encoders.drop(columns=["mean", "sd"]), left_on="encoder", right_index=True
        )
        good = ~found["tried"] & (found["p_beats_best_tried"] >= min_probability)
        good &= (found["n_tasks"] >= MIN_TASKS) & (found["open_weights"] == 1)
        if max_parameters is not None:
            good &= found["n_parameters"] <= max_parameters
        return (
            found[good]
            .sort_values("p_beats_best_tried", ascending=False)
            .head(n_best)
            .reset_index(drop=True)
        )


def load_prior(language: str = "english") -> EncoderPrior:
    """The prior that ships. `language` is one of LANGUAGES; raises ValueError for another word."""
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r}: one of {', '.join(LANGUAGES)}")
    return from_json(_shipped(), language)


def from_json(stored: Mapping[str, Any], language: str) -> EncoderPrior:
    """The prior for `language` from the content of `encoder_prior.json`. Raises ValueError for a
    schema that this version does not read."""
    if stored.get("schema") != SCHEMA:
        raise ValueError(
            f"encoder table of schema {stored.get('schema')}, this program reads {SCHEMA}"
        )
    table = pd.DataFrame(stored["encoders"], columns=stored["columns"]).set_index("encoder")
    fitted = stored["languages"][language]
    table = table.rename(columns={f"{language}_{name}": name for name in ("mean", "sd", "n_tasks")})
    table = (
        table[["mean", "sd", "n_tasks", *FACT_COLUMNS]].astype(np.float64).dropna(subset=["mean"])
    )
    return EncoderPrior(
        table,
        sensitivities=np.asarray(fitted["sensitivities"], dtype=np.float64),
        interaction_sds=np.asarray(fitted["interaction_sds"], dtype=np.float64),
        slope=fitted["slope"],
        mean_log_parameters=fitted["mean_log_parameters"],
        population_sd=fitted["population_sd"],
    )


@cache
def _shipped() -> dict[str, Any]:
    return json.loads((files("meta") / FILE).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Posterior:
    """The accuracies of M encoders, k of which were tried, given one sensitivity of the task."""

    mean: np.ndarray
    """(M,)"""
    variance: np.ndarray
    """(M,)"""
    with_tried: np.ndarray
    """(M, k) covariances with the accuracies of the tried encoders."""
    log_evidence: float
    """Logarithm of the likelihood of the sensitivity, up to a constant."""


def _given_sensitivity(
    sensitivity: float,
    mean: np.ndarray,
    variance: np.ndarray,
    measured: np.ndarray,
    noise: np.ndarray,
) -> _Posterior:
    """The posterior of M accuracies, of which the first k were `measured` (k,).

    `mean` and `variance` (M,) are those of the encoders' levels plus interactions, `noise` (k,) are
    the variances of the measurements.
    """
    n_tried, shared = len(measured), TASK_LEVEL_SD**2
    own = sensitivity**2 * variance
    expected = 0.5 + sensitivity * mean
    covariance = shared + np.diag(own[:n_tried] + noise)
    cross = np.full((len(mean), n_tried), shared)  # all accuracies share the task's level
    cross[np.arange(n_tried), np.arange(n_tried)] += own[:n_tried]
    gain = np.linalg.solve(covariance, cross.T).T
    error = measured - expected[:n_tried]
    log_determinant = np.linalg.slogdet(covariance)[1]
    return _Posterior(
        expected + gain @ error,
        np.maximum(shared + own - (gain * cross).sum(axis=1), 0.0),
        cross - gain @ cross[:n_tried].T,
        float(-0.5 * (error @ np.linalg.solve(covariance, error) + log_determinant)),
    )


def _mixture(names: list[str], posteriors: list[_Posterior], n_tried: int) -> pd.DataFrame:
    """The table of `EncoderPrior.update`: the posteriors of all sensitivities, weighted by their
    evidence. The first `n_tried` of `names` were tried."""
    evidence = np.array([posterior.log_evidence for posterior in posteriors])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    mean = sum(w * posterior.mean for w, posterior in zip(weight, posteriors, strict=True))
    square = sum(
        w * (posterior.variance + posterior.mean**2)
        for w, posterior in zip(weight, posteriors, strict=True)
    )
    best = int(mean[:n_tried].argmax())
    beats = np.zeros(len(names))
    for w, posterior in zip(weight, posteriors, strict=True):
        spread = posterior.variance + posterior.variance[best] - 2 * posterior.with_tried[:, best]
        gap = posterior.mean - posterior.mean[best]
        beats += w * norm.cdf(gap / np.sqrt(np.maximum(spread, 1e-12)))
    beats[best] = 0.0
    table = pd.DataFrame(
        {
            "encoder": names,
            "tried": np.arange(len(names)) < n_tried,
            "mean": np.clip(mean, 0.0, 1.0),
            "sd": np.sqrt(np.maximum(square - mean**2, 0.0)),
            "p_beats_best_tried": beats,
        }
    )
    return table.sort_values(["mean", "encoder"], ascending=[False, True], ignore_index=True)
