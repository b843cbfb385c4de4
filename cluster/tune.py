"""Ray Tune as a fan-out of keyed, idempotent pieces of work, and as a search.

Invariants: a configuration that fails is reported as data and never ends the others; nothing is read back from Tune's own state
(the pieces of work publish their results themselves), so each call has a fresh run name and its folder is removed afterwards.
"""

import json
import time
import traceback
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray.tune

from cluster.resources import limit_threads, threads_for
from cluster.session import route_logs
from cluster.storage import Storage, UserError

Config = dict[str, Any]
_RETRY_WAIT_S = 0.2


@dataclass(frozen=True)
class Outcome:
    """What became of one configuration: a result, or the error of its last try."""

    config: Config
    result: dict[str, Any] | None
    error: str | None


def fan_out(
    run: Callable[[Config], dict[str, Any]],
    configs: Sequence[Config],
    *,
    name: str,
    storage_dir: str,
    cpus: float = 1.0,
    max_failures: int = 3,
    on_done: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Run `run(config)` for every configuration, `cpus` CPUs each, in long-lived worker processes. Within an open session.

    Args:
        run: A top-level function from and to what JSON can hold; idempotent, for it may be run again after a fault.
        configs: One piece of work each, best 5 to 60 seconds long (an empty one costs about 20 ms).
        name: Shown by Ray's tools.
        storage_dir: Folder or URI that every node sees, for Tune's own run folder.
        cpus: CPUs, and BLAS threads, of one piece of work.
        max_failures: Further tries after an exception, or after the worker process or its node died. A UserError is not tried again.
        on_done: Called in this process as each configuration ends, in the order of ending.

    Returns:
        One Outcome per configuration, in the order of `configs`.
    """
    if not configs:
        return []
    work = _Work(run, list(configs), threads_for(cpus), max_failures)
    collector = _Collector(work.configs, on_done)
    _run_tune(
        work,
        collector,
        name=name,
        storage_dir=storage_dir,
        cpus=cpus,
        max_failures=max_failures,
        param_space={"config_idx": ray.tune.grid_search(list(range(len(configs))))},
        tune_config={},
    )
    return [collector.by_idx.get(i) or Outcome(config, None, "never ran") for i, config in enumerate(work.configs)]


@dataclass(frozen=True)
class _Work:
    run: Callable[[Config], dict[str, Any]]
    configs: list[Config]
    n_threads: int
    max_failures: int


class _Trial(ray.tune.Trainable):
    def setup(self, config: Config, work: _Work | None = None) -> None:
        assert work is not None
        self.work = work
        limit_threads(work.n_threads)

    def reset_config(self, new_config: Config) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        config = self.work.configs[self.config["config_idx"]]
        for _ in range(self.work.max_failures):
            try:
                return {"done": True, "outcome": json.dumps({"result": self.work.run(config)})}
            except UserError:
                break
            except Exception:
                traceback.print_exc()
                time.sleep(_RETRY_WAIT_S)
        try:
            return {"done": True, "outcome": json.dumps({"result": self.work.run(config)})}
        except Exception as error:
            traceback.print_exc()
            return {"done": True, "outcome": json.dumps({"error": f"{type(error).__name__}: {error}"})}


class _Collector(ray.tune.Callback):
    def __init__(self, configs: list[Config], on_done: Callable[[Outcome], None] | None):
        self.configs, self.on_done = configs, on_done
        self.by_idx: dict[int, Outcome] = {}

    def on_trial_complete(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        outcome = json.loads(trial.last_result["outcome"])
        self._add(trial.config["config_idx"], outcome.get("result"), outcome.get("error"))

    def on_trial_error(self, iteration: int, trials: list, trial: Any, **info: Any) -> None:
        self._add(trial.config["config_idx"], None, str(trial.get_error()))

    def _add(self, idx: int, result: dict | None, error: str | None) -> None:
        self.by_idx[idx] = Outcome(self.configs[idx], result, error)
        if self.on_done:
            self.on_done(self.by_idx[idx])


def _run_tune(work, collector, *, name, storage_dir, cpus, max_failures, param_space, tune_config):
    run_name = f"{name}-{uuid.uuid4().hex[:8]}"
    route_logs()
    trainable = ray.tune.with_resources(ray.tune.with_parameters(_Trial, work=work), {"cpu": cpus})
    try:
        ray.tune.Tuner(
            trainable,
            param_space=param_space,
            tune_config=ray.tune.TuneConfig(reuse_actors=True, **tune_config),
            run_config=ray.tune.RunConfig(
                name=run_name,
                storage_path=storage_dir,
                verbose=0,
                failure_config=ray.tune.FailureConfig(max_failures=max_failures),
                checkpoint_config=ray.tune.CheckpointConfig(checkpoint_at_end=False),
                callbacks=[collector],
            ),
        ).fit()
    finally:
        Storage(storage_dir).delete(run_name)
