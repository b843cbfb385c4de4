"""The prior of encoders: how good an encoder is on a task before anyone tries it, and after some
others were tried.

The table that ships (`encoder_prior.json`) holds the levels of some hundreds of encoders with their
uncertainty, by kind of task, and the published tasks that they were measured on. `python -m
benchmarks.mteb --write` makes it from published few-shot results (`meta.priors.fit_encoders`). The
model of a user's task is

    held-out accuracy of encoder m = level of the task + sensitivity * (level_m + interaction_m) +
    sampling noise_m.

The user's task is taken to be like one of the published tasks, in its kind, its level, its
sensitivity and the size of its interactions. Given which one, everything is Gaussian. Which one it
is follows from the kind that the sample seems to be of (`meta.priors.task_kinds`), and from the
accuracies of the tried encoders: how high they are, and how far apart they lie compared with what
is expected of these encoders. All published tasks are averaged over, weighted by that.

Two limits are known. What is left of an encoder's level on a task of a kind is taken to be
independent between encoders. The sampling noise that all encoders share on the same rows is
absorbed by the level of the task.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm

SCHEMA = 2
"""Version of the stored table."""
FILE = "encoder_prior.json"
LANGUAGES = ("english", "other")
"""There is a prior for tasks in English, and one for tasks in other languages."""
OTHER_KIND = "other"
"""The kind of tasks that are of none of the kinds that the table tells apart."""
FACT_COLUMNS = ("n_parameters", "embedding_width", "n_layers", "max_length", "open_weights")
"""Columns of facts about an encoder, NaN where unknown. `max_length` is in tokens, `open_weights`
is 1 or 0."""
TASK_LEVEL_SD = 0.1
"""Standard deviation of the level of the user's task about that of the published task that it is
like."""
MIN_TASKS = 5
"""An encoder that was measured on fewer published tasks is not proposed to the user."""
_SURE = (0.001, 0.999)


@dataclass(frozen=True)
class TriedEncoder:
    """The measured accuracy of one encoder on the user's task."""

    accuracy: float
    """On held-out rows, in [0, 1]."""
    sd: float
    """Standard error of the accuracy, without the part that the other encoders share because they
    were tried on the same rows."""
    n_parameters: float | None = None
    """Tells the level of an encoder that the table does not know. None where unknown."""


@dataclass(frozen=True)
class Reliability:
    """Statements that an encoder is better, of about the same probability, on held-out tasks."""

    said: float
    """Mean probability."""
    came: float
    """Share that came true. Families of tasks count equally."""
    n_families: int


@dataclass(frozen=True)
class EncoderPrior:
    """The levels of encoders on tasks in one of LANGUAGES. `load_prior` makes it."""

    encoders: pd.DataFrame
    """Index: encoder (hub name). Columns: `n_tasks` (published tasks on which it was measured), and
    `FACT_COLUMNS`."""
    means: pd.DataFrame
    """Levels. Index: as `encoders`. Columns: kinds of tasks, and `OTHER_KIND`."""
    sds: pd.DataFrame
    """Standard deviations of `means`."""
    tasks: pd.DataFrame
    """The published tasks. Columns: `kind`, `weight` (summing to 1 over the tasks of a kind),
    `level` (accuracy of the average encoder), `sensitivity`, and `interaction_sd`, in units of the
    encoders' levels."""
    slope: float
    """Rise of the level with log10 of the number of parameters."""
    mean_log_parameters: float
    """The log10 of the number of parameters at which that line has the level 0."""
    population_sd: float
    """Standard deviation about that line of the level of an encoder that is not in the table."""
    weights: Mapping[str, str] = field(default_factory=dict)
    """Hash of the weights (`probes.encoders.weights_identity`) -> encoder, for those whose weights
    were at hand when the table was made."""
    proposal_calibration: tuple[float, float] = (0.0, 1.0)
    """Intercept and slope, on the logit scale, from the probability that the model gives the most
    probable encoders to the share of such statements that came true on held-out tasks. The most
    probable ones are those whose levels are overestimated more often than not."""
    reliability: tuple[Reliability, ...] = ()
    """What was said of proposed encoders, and what came true, on held-out tasks."""

    def name_of(self, weights: str, hub_id: str) -> str | None:
        """The name in the table of the encoder with the hash `weights`, or of one that was
        downloaded from the hub as `hub_id`. None where the table does not know it. Where the table
        knows the weights of an encoder, other weights are not taken for it under any name."""
        if weights in self.weights:
            return self.weights[weights]
        is_another = hub_id in self.weights.values()
        return hub_id if hub_id in self.means.index and not is_another else None

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of tasks that are told apart, `OTHER_KIND` among them."""
        return tuple(self.means.columns)

    def levels(self, names: list[str], sizes: list[float | None], kind: str) -> np.ndarray:
        """(2, k) means and standard deviations of the levels of the encoders `names` on tasks of
        `kind`: accuracy on an average task, less that of the average encoder. An encoder that is
        not in the table has the level of its number of parameters (`sizes`), or that of all where
        the number is unknown too."""
        found = np.empty((2, len(names)))
        for place, (name, size) in enumerate(zip(names, sizes, strict=True)):
            if name in self.means.index:
                found[:, place] = self._rows(pd.Index([name]), kind)[:, 0]
            else:
                line = self.slope * (np.log10(size) - self.mean_log_parameters) if size else 0.0
                found[:, place] = line, self.population_sd
        return found

    def update(
        self, tried: Mapping[str, TriedEncoder], kinds: Mapping[str, float] | None = None
    ) -> pd.DataFrame:
        """The expected accuracy on the user's task of every encoder, the best first: those of the
        table, and those that were `tried`.

        The keys of `tried` are the table's names, or any other word for an encoder that the table
        does not know. `kinds` are the probabilities that the task is of each kind (default: as
        often as among the published ones). Columns: `encoder`, `tried`, `mean` and `sd` of its
        accuracy there, and `p_beats_best_tried`, the probability that its true accuracy is above
        that of the tried encoder with the highest mean. Raises ValueError where nothing was tried,
        and for a kind that is not told apart.
        """
        if not tried:
            raise ValueError("nothing was tried: there is no task to compare encoders on")
        weights = self._task_weights(kinds)
        tasks, weights = self.tasks[weights > 0], weights[weights > 0]
        rest = self.means.index.drop([name for name in tried if name in self.means.index])
        sizes = [encoder.n_parameters for encoder in tried.values()]
        levels = {
            kind: np.hstack([self.levels(list(tried), sizes, kind), self._rows(rest, kind)])
            for kind in tasks["kind"].unique()
        }
        posterior = _posterior(
            tasks,
            np.log(weights),
            np.stack([levels[kind] for kind in tasks["kind"]], axis=1),
            np.array([encoder.accuracy for encoder in tried.values()]),
            np.array([max(encoder.sd, 1e-4) for encoder in tried.values()]) ** 2,
        )
        return _mixture([*tried, *rest], posterior, len(tried))

    def _rows(self, names: pd.Index, kind: str) -> np.ndarray:
        """(2, m) means and standard deviations of encoders that are in the table."""
        return np.stack([self.means.loc[names, kind], self.sds.loc[names, kind]])

    def _task_weights(self, kinds: Mapping[str, float] | None) -> np.ndarray:
        """(T,) how probable it is, before anything is tried, that the user's task is like each
        published one."""
        shares = self.tasks["kind"].value_counts(normalize=True)
        if kinds is not None:
            unknown = sorted(set(kinds) - set(self.kinds))
            if unknown:
                raise ValueError(f"kind {unknown[0]!r}: one of {', '.join(self.kinds)}")
            given = pd.Series(kinds, dtype=np.float64).reindex(shares.index).fillna(0.0)
            # where no published task is of the user's kind, all of them are as probable as usual
            missing = max(1.0 - float(given.sum()), 0.0)
            shares = given + missing * shares
        return (self.tasks["weight"] * self.tasks["kind"].map(shares)).to_numpy(dtype=np.float64)

    def suggestions(
        self,
        tried: Mapping[str, TriedEncoder],
        kinds: Mapping[str, float] | None = None,
        *,
        n_best: int = 5,
        max_parameters: float | None = None,
        min_probability: float = 0.5,
    ) -> pd.DataFrame:
        """At most `n_best` encoders that were not tried and beat the best tried one with a
        probability of at least `min_probability`, the most probable first. The probability is that
        of `update`, corrected by `proposal_calibration`.

        Only encoders with open weights and at least `MIN_TASKS` published tasks are proposed. With
        `max_parameters` no encoder is proposed that is larger or of unknown size. Columns: those of
        `update` and of the table.
        """
        found = self.update(tried, kinds).merge(self.encoders, left_on="encoder", right_index=True)
        intercept, slope = self.proposal_calibration
        found["p_beats_best_tried"] = expit(
            intercept + slope * logit(found["p_beats_best_tried"].clip(*_SURE))
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
    fitted = stored["languages"][language]
    facts = pd.DataFrame(stored["encoders"], columns=stored["columns"]).set_index("encoder")
    levels = pd.DataFrame(fitted["levels"], columns=fitted["level_columns"]).set_index("encoder")
    levels = levels.astype(np.float64)
    names = [str(name) for name in levels.columns]
    kinds = [name.removeprefix("mean_") for name in names if name.startswith("mean_")]
    means, sds = (
        levels[[f"{what}_{kind}" for kind in kinds]].set_axis(kinds, axis=1)
        for what in ("mean", "sd")
    )
    return EncoderPrior(
        levels[["n_tasks"]].join(facts[list(FACT_COLUMNS)].astype(np.float64)),
        means,
        sds,
        tasks=pd.DataFrame(fitted["tasks"], columns=fitted["task_columns"]).set_index("task"),
        slope=fitted["slope"],
        mean_log_parameters=fitted["mean_log_parameters"],
        population_sd=fitted["population_sd"],
        weights=stored["weights"],
        proposal_calibration=tuple(stored["proposal_calibration"]),
        reliability=tuple(Reliability(*row) for row in fitted["reliability"]),
    )


@cache
def _shipped() -> dict[str, Any]:
    return json.loads((files("meta") / FILE).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class _Posterior:
    """The accuracies of M encoders, k of which were tried, given each of T published tasks that the
    user's task may be like."""

    weight: np.ndarray
    """(T,) how probable it is that the task is like each of them; the sum is 1."""
    mean: np.ndarray
    """(T, M)"""
    variance: np.ndarray
    """(T, M)"""
    with_tried: np.ndarray
    """(T, M, k) covariances with the accuracies of the tried encoders."""


def _posterior(
    tasks: pd.DataFrame,
    log_weight: np.ndarray,
    levels: np.ndarray,
    measured: np.ndarray,
    noise: np.ndarray,
) -> _Posterior:
    """The posterior of M accuracies, of which the first k were `measured` (k,).

    `tasks` are T rows of `EncoderPrior.tasks`, `log_weight` (T,) the logarithms of how probable
    they were before. `levels` (2, T, M) are the means and standard deviations of the encoders'
    levels on tasks of the kind of each. `noise` (k,) are the variances of the measurements.
    """
    n_tried, shared = len(measured), TASK_LEVEL_SD**2
    level, sensitivity, interaction = (
        tasks[name].to_numpy(dtype=np.float64)[:, None]
        for name in ("level", "sensitivity", "interaction_sd")
    )
    own = sensitivity**2 * (levels[1] ** 2 + interaction**2)
    expected = level + sensitivity * levels[0]
    is_tried = np.eye(own.shape[1], n_tried)
    cross = shared + own[:, :, None] * is_tried  # all accuracies share the task's level
    covariance = cross[:, :n_tried] + np.diag(noise)
    gain = np.linalg.solve(covariance, cross.transpose(0, 2, 1)).transpose(0, 2, 1)
    error = measured - expected[:, :n_tried]
    misfit = np.einsum("tk,tk->t", error, np.linalg.solve(covariance, error[..., None])[..., 0])
    evidence = log_weight - 0.5 * (misfit + np.linalg.slogdet(covariance)[1])
    weight = np.exp(evidence - evidence.max())
    return _Posterior(
        weight / weight.sum(),
        expected + np.einsum("tmk,tk->tm", gain, error),
        np.maximum(shared + own - (gain * cross).sum(axis=2), 0.0),
        cross - gain @ cross[:, :n_tried].transpose(0, 2, 1),
    )


def _mixture(names: list[str], posterior: _Posterior, n_tried: int) -> pd.DataFrame:
    """The table of `EncoderPrior.update`: averaged over the published tasks that the user's task
    may be like. The first `n_tried` of `names` were tried."""
    weight = posterior.weight
    mean = weight @ posterior.mean
    square = weight @ (posterior.variance + posterior.mean**2)
    best = int(mean[:n_tried].argmax())
    spread = (
        posterior.variance + posterior.variance[:, [best]] - 2 * posterior.with_tried[:, :, best]
    )
    gap = posterior.mean - posterior.mean[:, [best]]
    beats = weight @ norm.cdf(gap / np.sqrt(np.maximum(spread, 1e-12)))
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
