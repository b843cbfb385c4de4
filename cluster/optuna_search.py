"""Optuna's TPE behind Ray Tune, as the searcher that proposes what a search tries next. An
interruption does not change the search."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from ray.tune.search.optuna import OptunaSearch

N_STARTUP_TRIALS = 5
"""Random trials before TPE takes over. Optuna's default of 10 would be most of a search whose
trials are expensive."""


class SeededOptunaSearch(OptunaSearch):
    """The k-th proposal is a function of (seed, k) and of the finished trials, known ones
    included."""

    def __init__(
        self,
        space: Mapping[str, Sequence[Any]],
        *,
        metric: str,
        mode: str,
        seed: int,
        known: Sequence[tuple[dict[str, Any], float]],
    ):
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        super().__init__(
            space=distributions(space),
            metric=metric,
            mode=mode,
            sampler=_SeededByTrial(seed),
            points_to_evaluate=[config for config, _ in known],
            evaluated_rewards=[score for _, score in known],
        )

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        is_scored = result is not None and np.isfinite(result.get(self.metric, np.nan))
        super().on_trial_complete(trial_id, result, error=error or not is_scored)


def distributions(space: Mapping[str, Sequence[Any]]) -> dict[str, BaseDistribution]:
    """The plain description of a search space (see `cluster.tune.search`) as Optuna's
    distributions. Raises ValueError."""
    return {name: _distribution(name, *description) for name, description in space.items()}


def _distribution(name: str, kind: str, *arguments: Any) -> BaseDistribution:
    if kind == "choice":
        return CategoricalDistribution(*arguments)
    if kind in ("uniform", "loguniform"):
        low, high = arguments
        return FloatDistribution(low, high, log=kind == "loguniform")
    if kind in ("int", "logint"):
        low, high = arguments
        return IntDistribution(low, high, log=kind == "logint")
    raise ValueError(
        f"search space, {name}: {kind!r} is unknown; use uniform, loguniform, int, logint or choice"
    )


class _SeededByTrial(optuna.samplers.BaseSampler):
    """TPE, seeded anew for each trial. Optuna's own sampler draws all its random numbers from one
    stream, so a restarted search would draw the first numbers again."""

    def __init__(self, seed: int):
        self._seed = seed
        self._tpe: optuna.samplers.BaseSampler | None = None

    def before_trial(self, study: optuna.Study, trial: Any) -> None:
        seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
        self._tpe = optuna.samplers.TPESampler(seed=seed, n_startup_trials=N_STARTUP_TRIALS)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: Any
    ) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: Any, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: Any, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        assert self._tpe is not None
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)
