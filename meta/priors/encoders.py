"""What is known of encoders before anyone tries them on a task, and what the ones tried say of the
others.

The table that ships (`encoder_prior.json`, made by `python -m benchmarks.mteb --write` from
published few-shot results) holds the level of some hundreds of encoders with its uncertainty. On a
user's task

    held-out accuracy of encoder m = level of the task + sensitivity * (level_m + interaction_m) +
    sampling noise_m,

everything Gaussian once the sensitivity is fixed; the task's level is unknown beforehand, the
sensitivity (and the size of interactions that goes with it) has the distribution it had over the
published tasks and is summed over. So the encoders that were tried say what the task's level and
sensitivity are, and the others follow. Known limits: interactions of encoders of one family are
taken as independent, and the sampling noise that all encoders share on the same rows cancels in the
task's level.
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
FILE = "encoder_prior.json"
LANGUAGES = ("english", "other")
FACT_COLUMNS = ("n_parameters", "embedding_width", "n_layers", "max_length", "open_weights")
"""What the table says of an encoder, NaN where unknown; `max_length` in tokens, `open_weights` 1 or
0."""
TASK_LEVEL_SD = 1.0
"""Of the task's level before anything was tried: accuracy may be anything."""
MIN_TASKS = 5
"""Encoders measured on fewer are not named to the user."""


@dataclass(frozen=True)
class TriedEncoder:
    """What was measured of one encoder on the user's task."""

    accuracy: float
    """Held out, in [0, 1]."""
    sd: float
    """Of its error that the other encoders tried on the same rows do not share."""


@dataclass(frozen=True)
class EncoderPrior:
    """Levels of encoders on tasks of one kind of language; made by `load_prior`."""

    encoders: pd.DataFrame
    """Index encoder (hub name): `mean`, `sd`, `n_tasks`, and `FACT_COLUMNS`."""
    sensitivities: np.ndarray
    """(S,) equally likely."""
    interaction_sds: np.ndarray
    """(S,) of tasks of such sensitivities, in units of the levels: larger where encoders hardly
    differ."""
    slope: float
    mean_log_parameters: float
    population_sd: float

    def name_of(self, ref: str) -> str | None:
        """The table's name of an encoder reference (`hf:name@revision#view`, a hub name, or a
        folder whose last part is the last part of exactly one name); None where the table does not
        know it."""
        plain = ref.partition("#")[0].removeprefix("hf:").partition("@")[0].rstrip("/")
        if plain in self.encoders.index:
            return plain
        last = plain.rpartition("/")[2].lower()
        same = [name for name in self.encoders.index if name.rpartition("/")[2].lower() == last]
        return same[0] if len(same) == 1 else None

    def level(self, ref: str, n_parameters: float | None = None) -> tuple[float, float]:
        """(mean, standard deviation) of an encoder's level, in accuracy on an average task; 0 is
        the average encoder. An unknown one has the level of its size, or of all encoders."""
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
        """Every encoder of the table and every one `tried` (by reference) on the user's task, best
        expected first.

        Columns: `encoder` (the table's name, or the reference of an unknown one), `tried`, `mean`
        and `sd` of its accuracy there, `p_beats_best_tried`: the probability that it is above the
        true accuracy of the tried one with the highest mean. Raises ValueError where nothing was
        tried or two references mean one encoder.
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
        measured = np.array([evidence.accuracy for evidence in tried.values()])
        noise = np.array([max(evidence.sd, 1e-4) for evidence in tried.values()]) ** 2
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
        """Encoders with open weights that were not tried and beat the best tried one with at least
        `min_probability`, likeliest first: the columns of `update` and of the table. At most
        `n_best`; with `max_parameters` none that is larger or of unknown size."""
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
    """The prior that ships, for tasks in English or in `other` languages. Raises ValueError for
    another word."""
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r}: one of {', '.join(LANGUAGES)}")
    return from_json(_shipped(), language)


def from_json(stored: Mapping[str, Any], language: str) -> EncoderPrior:
    """The prior of a stored table (`encoder_prior.json`). Raises ValueError for another schema."""
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


def prior_level(ref: str, language: str = "english") -> tuple[float, float]:
    """(mean, standard deviation) of an encoder's level in the prior that ships:
    `EncoderPrior.level`."""
    return load_prior(language).level(ref)


@cache
def _shipped() -> dict[str, Any]:
    return json.loads((files("meta") / FILE).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Posterior:
    """Given one sensitivity: accuracies and their variances (M,), covariances with the tried (M,
    k), how likely it is."""

    mean: np.ndarray
    variance: np.ndarray
    with_tried: np.ndarray
    log_evidence: float


def _given_sensitivity(
    sensitivity: float,
    mean: np.ndarray,
    variance: np.ndarray,
    measured: np.ndarray,
    noise: np.ndarray,
) -> _Posterior:
    """Gaussian conditioning of M accuracies, the first k of which were measured."""
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
