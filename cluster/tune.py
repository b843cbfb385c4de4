"""Ray Tune as a fan-out of keyed, idempotent pieces of work, and as a search.

Invariants: The failure of a configuration is reported as data, and never ends the others. Nothing
is read back from Tune's own state, because the pieces of work publish their results themselves. So
Tune keeps that state in a temporary folder of this machine, which is removed afterwards, and hardly
ever writes it.

Waiting work makes a cluster with an autoscaler grow. Every piece that waits is a pending actor, up
to all of them. `ray.autoscaler.sdk.request_resources` would make it grow too. But a cluster has
only one such request: two sweeps would overwrite each other's. The request also outlives a driver
that is killed, so nodes would stay without work.
"""

import gc
import json
import math
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import ray.tune

from cluster.environment import environment
from cluster.resources import available_cpus, limit_threads, threads_for
from cluster.retries import run_with_retries
from cluster.session import is_embedded, route_logs

Config = dict[str, Any]
Work = TypeVar("Work", bound=Mapping[str, Any])
"""One configuration: what JSON can hold, a plain or a typed dictionary."""
Result = TypeVar("Result", bound=Mapping[str, Any])
"""The result of one configuration: what JSON can hold."""

MAX_TRIALS = 1000
"""Configurations that one run of Tune gets. More than these are run in waves. Tune keeps about 35
KB in this process for each trial that it has seen, and goes through all of them again and again.
The start of a wave takes seconds."""

_NEVER_S = 10**9
_OUTCOME, _SCORE = "outcome", "score"  # a trial reports to Tune: JSON, and a search's metric


@dataclass(frozen=True, slots=True)
class Outcome(Generic[Work, Result]):
    """The outcome of one configuration: a result, or the error of its last try."""

    config: Work
    result: Result | None
    error: str | None


def fan_out(
    run: Callable[[Work], Result],
    configs: Sequence[Work],
    *,
    name: str,
    cpus: float = 1.0,
    max_failures: int = 3,
    on_done: Callable[[Outcome[Work, Result]], None] | None = None,
) -> list[Outcome[Work, Result]]:
    """Call `run(config)` for every configuration, in long-lived worker processes. A session must be
    open.

    Args:
        run: A top-level function that takes and returns what JSON can hold. It must be idempotent,
            because it may be run again after a fault.
        configs: One piece of work each, best 5 to 60 seconds long. An empty one costs tens of
            milliseconds.
        name: Shown by Ray's tools.
        cpus: CPUs, and BLAS threads, of one piece of work.
        max_failures: How often a configuration is tried again after an exception, or after its
            worker process or node died. It is not tried again after a UserError.
        on_done: Called in this process as each configuration ends, in the order of ending.

    Returns:
        One Outcome per configuration, in the order of `configs`.
    """
    outcomes: list[Outcome[Work, Result]] = []
    for start in range(0, len(configs), MAX_TRIALS):
        outcomes += _run_wave(
            run, configs[start : start + MAX_TRIALS], name, cpus, max_failures, on_done
        )
        # Tune's trials refer to each other in circles. Without this those of the last wave would
        # stay in memory beside those of the next.
        gc.collect()
    return outcomes


def _run_wave(
    run: Callable[[Work], Result],
    configs: Sequence[Work],
    name: str,
    cpus: float,
    max_failures: int,
    on_done: Callable[[Outcome[Work, Result]], None] | None,
) -> list[Outcome[Work, Result]]:
    trials = _OutcomeCollector(lambda config: configs[config["config_idx"]], on_done)
    _run_tune(
        {"run": run, "configs": list(configs), "max_failures": max_failures},
        trials,
        name=name,
        cpus=cpus,
        max_failures=max_failures,
        max_pending=available_cpus() if is_embedded() else len(configs),
        param_space={"config_idx": ray.tune.grid_search(list(range(len(configs))))},
        tune_config=ray.tune.TuneConfig(reuse_actors=True),
    )
    by_idx = {config["config_idx"]: outcome for config, outcome in trials.ended}
    return [by_idx[i] for i in range(len(configs))]


def search(
    objective: Callable[[Config], Result],
    space: Mapping[str, Sequence[Any]],
    *,
    metric: str,
    mode: str,
    n_trials: int,
    seed: int,
    name: str,
    cpus: float = 1.0,
    max_concurrent: int = 1,
    max_failures: int = 1,
    known: Sequence[tuple[Config, Mapping[str, Any]]] = (),
    on_done: Callable[[Outcome[Config, Result]], None] | None = None,
) -> list[Outcome[Config, Result]]:
    """Look for the configuration with the best `result[metric]`, by Optuna's TPE. A session must be
    open.

    With `max_concurrent=1` a proposal is a function of `seed` and of the results of the earlier
    trials. So a search that was interrupted goes on exactly as it would have gone, if it is given
    its finished trials as `known`.

    Args:
        objective: A top-level, idempotent function from a configuration to its metrics (JSON
            types).
        space: name -> ("uniform" | "loguniform", low, high), ("int" | "logint", low, high), both
            ends included, or ("choice", [values]).
        metric: Key of the objective's result to optimise. A result that lacks it, or in which it is
            not finite, is an error.
        mode: "min" or "max".
        n_trials: How many trials to run now, besides the known ones.
        seed: The seed of the sampler.
        name, cpus, max_failures, on_done: As in `fan_out`.
        max_concurrent: Trials at once. More trials at once are faster, but each knows less.
        known: Finished trials of the same space, in the order of finishing.

    Returns:
        The new trials, in the order of finishing.

    Raises:
        ValueError: The space cannot be read, or a known trial is not in it.
    """
    from cluster.optuna_search import SeededOptunaSearch

    if n_trials <= 0:
        return []
    scores = [(config, result[metric]) for config, result in known]
    searcher = SeededOptunaSearch(space, metric=_SCORE, mode=mode, seed=seed, known=scores)
    trials = _OutcomeCollector[Config, Result](lambda config: config, on_done)
    _run_tune(
        {"run": objective, "metric": metric, "max_failures": max_failures},
        trials,
        name=name,
        cpus=cpus,
        max_failures=max_failures,
        max_pending=max_concurrent,
        param_space={},
        tune_config=ray.tune.TuneConfig(
            search_alg=searcher,
            num_samples=n_trials,
            max_concurrent_trials=max_concurrent,
            reuse_actors=True,
        ),
    )
    return [outcome for _, outcome in trials.ended]


class _Trial(ray.tune.Trainable):
    """Runs one configuration after another in one process: Tune resets it instead of starting a new
    one."""

    def setup(
        self,
        config: Config,
        run: Callable[[Any], Mapping[str, Any]] | None = None,
        configs: list[Any] | None = None,
        metric: str | None = None,
        max_failures: int = 0,
        n_threads: int = 1,
    ) -> None:
        self._run, self._configs, self._metric, self._max_failures = (
            run,
            configs,
            metric,
            max_failures,
        )
        limit_threads(n_threads)

    def reset_config(self, new_config: Config) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        config = (
            dict(self.config) if self._configs is None else self._configs[self.config["config_idx"]]
        )
        outcome = run_with_retries(self._scored, config, self._max_failures)
        score = json.loads(outcome).get("result", {}).get(self._metric, math.nan)
        return {"done": True, _OUTCOME: outcome, _SCORE: score}

    def _scored(self, config: Config) -> Mapping[str, Any]:
        assert self._run is not None
        result = self._run(config)
        if self._metric is not None and not math.isfinite(result.get(self._metric, math.nan)):
            raise ValueError(
                f"the objective's {self._metric} is {result.get(self._metric)}, not a finite number"
            )
        return result


class _OutcomeCollector(ray.tune.Callback, Generic[Work, Result]):
    """Collects the outcomes of a run's trials, in the order of ending."""

    def __init__(
        self,
        config_of: Callable[[Config], Work],
        on_done: Callable[[Outcome[Work, Result]], None] | None,
    ):
        self._config_of, self._on_done = config_of, on_done
        self.ended: list[tuple[Config, Outcome[Work, Result]]] = []

    def __getstate__(self) -> dict[str, Any]:
        """Nothing. Tune stores its callbacks for a restore, which is never used, and `on_done` need
        not be picklable."""
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        outcome = json.loads(trial.last_result[_OUTCOME])
        self._add(trial.config, outcome.get("result"), outcome.get("error"))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error = trial.get_error()  # None where a whole node was lost

        reason = (
            f"{type(error).__name__}: {str(error).splitlines()[0]}" if error else "its node is gone"
        )
        self._add(trial.config, None, f"the worker process died on it, every time ({reason})")

    def _add(self, config: Config, result: Result | None, error: str | None) -> None:
        outcome = Outcome(self._config_of(config), result, error)
        self.ended.append((config, outcome))
        if self._on_done is not None:
            self._on_done(outcome)


def _run_tune(
    work: dict[str, Any],
    trials: _OutcomeCollector[Work, Result],
    *,
    name: str,
    cpus: float,
    max_failures: int,
    max_pending: int,
    param_space: dict[str, Any],
    tune_config: ray.tune.TuneConfig,
) -> None:
    route_logs()
    trainable = ray.tune.with_parameters(_Trial, n_threads=threads_for(cpus), **work)
    settings = {
        "TUNE_MAX_PENDING_TRIALS_PG": str(max_pending),
        "TUNE_GLOBAL_CHECKPOINT_S": str(_NEVER_S),
    }
    with (
        tempfile.TemporaryDirectory(prefix="neoberta-tune-", ignore_cleanup_errors=True) as folder,
        environment(settings),
    ):
        run_config = ray.tune.RunConfig(
            name=name,
            storage_path=folder,
            verbose=0,
            checkpoint_config=ray.tune.CheckpointConfig(checkpoint_at_end=False),
            failure_config=ray.tune.FailureConfig(max_failures=max_failures),
            callbacks=[trials],
        )
        tuner = ray.tune.Tuner(
            ray.tune.with_resources(trainable, {"cpu": cpus}),
            param_space=param_space,
            tune_config=tune_config,
            run_config=run_config,
        )
        tuner.fit()
