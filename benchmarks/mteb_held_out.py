"""Published tasks held out: what the prior of encoders chooses and says there, and what was true.

Whole families of tasks are held out, in parts. `fitted_without_later_encoders` holds out the
encoders that were released after a day too, so that a user who tries one of them has an encoder
that the prior does not know.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import norm, spearmanr
from sklearn.linear_model import LogisticRegression

from benchmarks.mteb_results import family_of, kind_of
from meta.answering.q4_encoders_not_tried import MAX_PARAMETERS, MAX_UNTRIED, MIN_PROBABILITY
from meta.priors.encoders import (
    MIN_TASKS,
    OTHER_KIND,
    EncoderPrior,
    Reliability,
    TriedEncoder,
)
from meta.priors.fit_encoders import LevelFit, fit_levels

MIN_ENCODERS = 15
"""A task with fewer encoders says little about a choice among them."""
MIN_KNOWN_TASKS = 3
"""An encoder takes part on a held-out task where it is known from this many others."""
N_TRIED = (1, 3, 5, 10)
N_ROWS = 200
"""Labelled rows of the user who tries encoders. The held-out accuracies have the noise of such a
sample."""
COMMON_NOISE_SHARE = 0.5
"""Share of the sampling variance that encoders have in common when they are tried on the same
rows."""
OFFLINE_ENCODER = "sentence-transformers/all-MiniLM-L6-v2"
"""Most users try this one first: it comes with the extra `[offline]`."""
SCENARIOS = ("MiniLM", "1 at random", "3 at random", "a later one")
"""Which encoders the user has tried when something is said of the others."""
MIN_FITTED = 0.3
"""Proposals that are less probable than this do not count when the correction is fitted."""
BINS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
"""Probabilities are compared with what came true in these bins."""


def fit_prior(cells: pd.DataFrame, encoders: pd.DataFrame) -> EncoderPrior:
    """The prior that follows from the published accuracies `cells` of one language."""
    names = cells["task"].unique()
    fit = fit_levels(
        cells[["encoder", "task", "accuracy"]],
        {name: kind_of(name) for name in names},
        {name: family_of(name) for name in names},
        encoders["n_parameters"],
    )
    return as_prior(fit, encoders)


def as_prior(fit: LevelFit, encoders: pd.DataFrame) -> EncoderPrior:
    """The fit in the form from which `meta.priors.encoders` answers. All families of a kind have
    the same weight, and all tasks of a family."""
    of_family = fit.tasks.groupby(["kind", "family"])["level"].transform("size")
    n_families = fit.tasks.groupby("kind")["family"].transform("nunique")
    return EncoderPrior(
        fit.n_tasks.rename("n_tasks").to_frame().join(encoders),
        fit.mean,
        fit.sd,
        fit.tasks[["kind", "level", "sensitivity", "interaction_sd"]].assign(
            weight=1.0 / of_family / n_families
        ),
        fit.slope,
        fit.mean_log_parameters,
        fit.sds.level,
    )


def held_out_tasks(
    cells: pd.DataFrame,
    encoders: pd.DataFrame,
    *,
    n_folds: int,
    seed: int = 0,
    later: frozenset[str] = frozenset(),
) -> Iterator[tuple[EncoderPrior, pd.DataFrame, str, pd.Series]]:
    """(the prior that was fitted to the other families, their cells, the task, its accuracies by
    encoder) for every held-out task. The encoders are those that were measured on at least
    `MIN_KNOWN_TASKS` other tasks, from which their level is known, and those of `later`, which the
    prior does not know."""
    rng = np.random.default_rng(seed)
    families = cells["task"].map(family_of)
    names = rng.permutation(families.unique())
    for fold in range(n_folds):
        out = families.isin(names[fold::n_folds])
        inside = cells[~out & ~cells["encoder"].isin(later)]
        prior = fit_prior(inside, encoders)
        for task, measured in cells[out].groupby("task"):
            n_tasks = prior.encoders["n_tasks"].reindex(measured["encoder"]).fillna(0)
            chosen = (n_tasks >= MIN_KNOWN_TASKS).to_numpy() | measured["encoder"].isin(later)
            truth = measured[chosen].set_index("encoder")["accuracy"]
            if truth.index.isin(prior.means.index).sum() >= MIN_ENCODERS and truth.std() > 0:
                yield prior, inside, str(task), truth


def kind_in(prior: EncoderPrior, task: str) -> str:
    """The kind of a task, as far as `prior` tells it apart."""
    kind = kind_of(task)
    return kind if kind in prior.kinds else OTHER_KIND


def choices(
    prior: EncoderPrior,
    others: pd.DataFrame,
    task: str,
    truth: pd.Series,
    encoders: pd.DataFrame,
    n_draws: int,
    rng: np.random.Generator,
) -> list[dict]:
    """For each rule, `regret` of the encoder that it chooses on a held-out task and `correlation`
    of its ranking. `others` are the cells of the other tasks."""
    kind = kind_in(prior, task)
    scores = {
        "chance": pd.Series(0.0, truth.index),
        "largest": encoders["n_parameters"].reindex(truth.index).fillna(0.0),
        "mean of other tasks": others.groupby("encoder")["accuracy"].mean().reindex(truth.index),
        "prior": prior.means[kind].reindex(truth.index),
        "prior, kind unknown": prior.means[OTHER_KIND].reindex(truth.index),
    }
    rows = [{"rule": rule, **_choice(truth, score)} for rule, score in scores.items()]
    for _ in range(n_draws):
        order = rng.permutation(len(truth))
        measured, sd, of_sample = _sample(truth, rng)
        for n_tried in N_TRIED:
            tried = truth.index[order[:n_tried]]
            posterior = prior.update(_evidence(measured[tried], sd, encoders), {kind: 1.0})
            posterior = posterior.set_index("encoder").reindex(truth.index)
            low, high = (
                posterior["mean"] + norm.ppf(tail) * posterior["sd"] for tail in (0.05, 0.95)
            )
            inside = ((of_sample >= low) & (of_sample <= high))[~posterior["tried"].astype(bool)]
            regret = float(truth.max() - truth[measured[tried].idxmax()])
            rows.append({"rule": f"best of {n_tried} tried", "regret": regret})
            rows.append(
                {
                    "rule": f"prior + {n_tried} tried",
                    **_choice(truth, posterior["mean"]),
                    "coverage_90": float(inside.mean()),
                }
            )
    return rows


def statements(
    prior: EncoderPrior,
    task: str,
    truth: pd.Series,
    encoders: pd.DataFrame,
    later: frozenset[str],
    n_draws: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """What the prior says of every untried encoder of a held-out task, before any correction, and
    whether it is so. One row each: `task`, `family`, `scenario`, `draw`, `is_kind_known`, `said`,
    `came`, and `rank` among the encoders that may be proposed (0 is the most probable one, NaN for
    those that may not)."""
    table = prior.encoders.reindex(truth.index)
    may_be_proposed = (table["open_weights"] == 1) & (table["n_tasks"] >= MIN_TASKS)
    may_be_proposed &= table["n_parameters"] <= MAX_PARAMETERS
    known = truth.index[truth.index.isin(prior.means.index)]
    tried_of: dict[str, list[str]] = {}
    found = []
    for draw in range(n_draws):
        measured, sd, _ = _sample(truth, rng)
        order = rng.permutation(known)
        if later:
            new = rng.permutation([name for name in truth.index if name in later])
            tried_of = {"a later one": list(new[:1])}
        else:
            tried_of = {"1 at random": list(order[:1]), "3 at random": list(order[:3])}
            if OFFLINE_ENCODER in known and draw == 0:
                tried_of["MiniLM"] = [OFFLINE_ENCODER]
        for scenario, tried in tried_of.items():
            for is_kind_known in (True, False) if tried else ():
                said = prior.update(
                    _evidence(measured[tried], sd, encoders),
                    {kind_in(prior, task): 1.0} if is_kind_known else None,
                ).set_index("encoder")
                best = said.loc[tried, "mean"].idxmax()
                rest = said[~said["tried"] & said.index.isin(known)]["p_beats_best_tried"]
                ranks = rest[may_be_proposed.reindex(rest.index)].rank(
                    ascending=False, method="first"
                )
                found.append(
                    pd.DataFrame(
                        {
                            "task": task,
                            "family": family_of(task),
                            "scenario": scenario,
                            "draw": draw,
                            "is_kind_known": is_kind_known,
                            "said": rest,
                            "came": truth.reindex(rest.index) > truth[best],
                            "rank": ranks.reindex(rest.index) - 1,
                        }
                    )
                )
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def fit_correction(said: pd.DataFrame) -> tuple[float, float]:
    """`EncoderPrior.proposal_calibration` from `statements`: a logistic regression of what came
    true on the logit of what was said of the encoders that would be proposed. Families of tasks
    count equally."""
    shown = proposals(said, MIN_FITTED)
    model = LogisticRegression(C=1e6).fit(
        logit(shown[["said"]].clip(0.001, 0.999).to_numpy()),
        shown["came"],
        sample_weight=_family_weights(shown) * len(shown),
    )
    return float(model.intercept_[0]), float(model.coef_[0, 0])


def corrected(said: pd.DataFrame, correction: tuple[float, float]) -> pd.DataFrame:
    """`statements`, with `said` corrected as it is for the user."""
    values = expit(correction[0] + correction[1] * logit(said["said"].clip(0.001, 0.999)))
    return said.assign(said=values)


def cross_fitted(said: pd.DataFrame, n_parts: int = 10) -> pd.DataFrame:
    """`statements`, corrected by what other families of tasks say."""
    part = said["family"].map(
        {name: i % n_parts for i, name in enumerate(sorted(set(said["family"])))}
    )
    return pd.concat(
        [corrected(said[part == i], fit_correction(said[part != i])) for i in sorted(set(part))]
    )


def proposals(said: pd.DataFrame, min_probability: float = MIN_PROBABILITY) -> pd.DataFrame:
    """Those of the `statements` that a user is shown."""
    return said[(said["rank"] < MAX_UNTRIED) & (said["said"] >= min_probability)]


def reliability(said: pd.DataFrame) -> list[Reliability]:
    """What was said and what came true, bin by bin. Families of tasks count equally."""
    weight = _family_weights(said)
    bins = pd.cut(said["said"], BINS, include_lowest=True)
    found = []
    for _, rows in said.groupby(bins, observed=True):
        share = weight[rows.index] / weight[rows.index].sum()
        found.append(
            Reliability(
                float(share @ rows["said"]), float(share @ rows["came"]), rows["family"].nunique()
            )
        )
    return found


def calibration(said: pd.DataFrame) -> dict[str, float]:
    """`said` and `came` on average, and `error`: the mean distance of what came true from what was
    said over the bins, weighted by the statements in each. Families of tasks count equally."""
    weight = _family_weights(said)
    bins = pd.cut(said["said"], BINS, include_lowest=True)
    gap = (weight * (said["said"] - said["came"])).groupby(bins, observed=True).sum()
    return {
        "said": float(weight @ said["said"]),
        "came": float(weight @ said["came"]),
        "error": float(gap.abs().sum()),
    }


def _family_weights(said: pd.DataFrame) -> pd.Series:
    """A weight for each statement: the same sum for each family, in it for each task, and in it for
    each scenario and draw. The sum of all is 1."""
    case = ["family", "task", "scenario", "draw", "is_kind_known"]
    weight = 1.0 / said.groupby(case)["said"].transform("size")
    weight /= weight.groupby([said["family"], said["task"]]).transform("sum")
    weight /= weight.groupby(said["family"]).transform("sum")
    return weight / weight.sum()


def _sample(truth: pd.Series, rng: np.random.Generator) -> tuple[pd.Series, pd.Series, pd.Series]:
    """What a user measures of each encoder on `N_ROWS` rows, the standard error that encoders do
    not share, and the accuracies on the rows of that sample, which differ from `truth` by the error
    that they share."""
    sd = np.sqrt(np.maximum(truth * (1 - truth), 0.01) / N_ROWS)
    of_sample = truth + sd * rng.standard_normal() * np.sqrt(COMMON_NOISE_SHARE)
    own = sd * np.sqrt(1 - COMMON_NOISE_SHARE)
    return of_sample + own * rng.standard_normal(len(truth)), own, of_sample


def _evidence(
    measured: pd.Series, sd: pd.Series, encoders: pd.DataFrame
) -> Mapping[str, TriedEncoder]:
    sizes = encoders["n_parameters"].reindex(measured.index)
    return {
        name: TriedEncoder(
            float(accuracy),
            float(sd[name]),
            float(sizes[name]) if np.isfinite(sizes[name]) else None,
        )
        for name, accuracy in measured.items()
    }


def _choice(truth: pd.Series, score: pd.Series) -> dict[str, float]:
    """Regret of the encoder with the highest score (the mean of those that share it), and
    Spearman's correlation over the encoders."""
    best = score == score.max()
    constant = score.nunique() < 2
    return {
        "regret": float(truth.max() - truth[best].mean()),
        "correlation": 0.0 if constant else float(spearmanr(score, truth).statistic),
    }
