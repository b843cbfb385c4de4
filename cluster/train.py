"""Data-parallel training on Ray Train: a plain loop on n workers. When a worker is lost, the loop
restarts from its last checkpoint.

The loop gets a `TrainContext` and knows no Ray. To resume a run, call `train` again with the same
name and storage folder: the reported checkpoints are found there. Reporting a checkpoint is a
barrier over all workers, and waits for the controller (up to about 2 s). Progress takes another
way, and waits for nothing.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import ray.train
from ray.train.torch import TorchConfig
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cluster.compat import without_cleaner
from cluster.resources import threads_for, worker_env
from cluster.session import is_embedded, route_logs
from cluster.storage import CACHE_DIR_ENV_VAR, Storage

# At run time `ray.train` gives the classes of Train V2. Its annotations show those of V1.
if TYPE_CHECKING:
    from ray.train.v2.api.config import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.v2.torch.torch_trainer import TorchTrainer
else:
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

EXTENSIONS_DIR_ENV_VAR = "TORCH_EXTENSIONS_DIR"
"""The folder of compiled operators. It is named here as well as in `cluster.deepspeed_engine`,
which loads torch and so is not imported."""
POLL_INTERVAL_S = 0.5
"""How often the driver asks for progress."""
_MAILBOX_KEY = "_mailbox"


@dataclass(frozen=True)
class TrainContext:
    """What a loop knows of its run."""

    rank: int
    n_workers: int
    resume: Path | None
    """Folder, on this machine, of the last checkpoint that was reported. None at the beginning."""
    _mailbox: Any

    def progress(self, metrics: dict[str, Any]) -> None:
        """Pass `metrics` to the driver's `on_report`. Returns at once."""
        self._mailbox.put.remote(metrics)

    def checkpoint(self, metrics: dict[str, Any], folder: Path | None) -> None:
        """Publish the files of `folder` as the run's next checkpoint. `folder` is None where this
        rank has no files. Every rank must call it equally often."""
        ray.train.report(
            metrics,
            checkpoint=None if folder is None else ray.train.Checkpoint.from_directory(str(folder)),
        )


@dataclass(frozen=True)
class TrainResult:
    """A finished run."""

    metrics: dict[str, Any]
    """Metrics of the last checkpoint."""
    checkpoint_name: str
    """Folder of the last checkpoint, below `storage_dir/name`."""


Loop = Callable[[dict[str, Any], TrainContext], None]


def train(
    loop: Loop,
    config: dict[str, Any],
    *,
    name: str,
    storage_dir: str,
    n_workers: int = 1,
    cpus_per_worker: float = 1,
    use_gpu: bool = False,
    max_failures: int = 3,
    on_report: Callable[[dict[str, Any]], None] | None = None,
) -> TrainResult:
    """Run `loop(config, context)` on `n_workers` workers with a gloo (GPU: nccl) process group. Ray
    must be running.

    `loop` must be importable by name, and must report at least one checkpoint. `config` must be
    picklable. Lost workers are replaced up to `max_failures` times. The last two checkpoints are
    kept under `storage_dir/name`. Raises ray.train.TrainingFailedError.
    """
    route_logs()  # because ray.train was imported above
    filesystem, storage_path = Storage(storage_dir).filesystem()
    # on the driver's node, so that the mailbox is not lost with the node of a worker
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    mailbox = ray.remote(num_cpus=0)(_Mailbox).options(scheduling_strategy=here).remote()
    resources = {"CPU": cpus_per_worker} | ({"GPU": 1} if use_gpu else {})
    trainer = _Trainer(
        _run_loop,
        train_loop_config={"loop": loop, "config": config, _MAILBOX_KEY: mailbox},
        torch_config=TorchConfig(backend=None if use_gpu else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=n_workers, use_gpu=use_gpu, resources_per_worker=resources
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage_path,
            storage_filesystem=filesystem,
            failure_config=FailureConfig(max_failures=max_failures),
            checkpoint_config=CheckpointConfig(num_to_keep=2),
            worker_runtime_env={
                "env_vars": worker_env(threads_for(cpus_per_worker)) | _inherited_variables()
            },
        ),
    )
    with _forwarding_progress(mailbox, on_report):
        result = trainer.fit()
    if result.checkpoint is None:
        raise RuntimeError(f"training run {name} ended without reporting a checkpoint")
    return TrainResult(result.metrics or {}, Path(result.checkpoint.path).name)


class _Trainer(TorchTrainer):
    """TorchTrainer with two changes. Ctrl-C is an exception: Ray Train would call sys.exit(0), and
    would keep that handler after the run. In an embedded Ray the callback that `without_cleaner`
    describes is left out."""

    def _register_sigint_handler(self, controller: Any) -> None:
        """Register nothing: the session ends the run as it closes."""

    def _create_default_callbacks(self) -> list[Any]:
        callbacks = super()._create_default_callbacks()
        return without_cleaner(callbacks) if is_embedded() else callbacks


def _run_loop(bound: dict[str, Any]) -> None:
    """The function that Ray Train runs on each worker."""
    world, checkpoint = ray.train.get_context(), ray.train.get_checkpoint()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(checkpoint.as_directory())) if checkpoint else None
        context = TrainContext(
            world.get_world_rank(), world.get_world_size(), folder, bound[_MAILBOX_KEY]
        )
        bound["loop"](bound["config"], context)


def _inherited_variables() -> dict[str, str]:
    """Environment variables that workers take over from the driver. Where Ray uses only loopback,
    gloo must too."""
    names = (EXTENSIONS_DIR_ENV_VAR, CACHE_DIR_ENV_VAR)
    variables = {name: os.environ[name] for name in names if name in os.environ}
    is_loopback = ray.util.get_node_ip_address().startswith("127.")
    return variables | (
        {"GLOO_SOCKET_IFNAME": "lo"} if is_loopback and sys.platform == "linux" else {}
    )


class _Mailbox:
    """Holds the metrics that workers sent until the driver fetches them."""

    def __init__(self) -> None:
        self._waiting: list[dict[str, Any]] = []

    def put(self, metrics: dict[str, Any]) -> None:
        self._waiting.append(metrics)

    def take(self) -> list[dict[str, Any]]:
        waiting, self._waiting = self._waiting, []
        return waiting


@contextlib.contextmanager
def _forwarding_progress(
    mailbox: Any, on_report: Callable[[dict[str, Any]], None] | None
) -> Iterator[None]:
    """Within the block a thread of the driver passes everything that arrives in the mailbox on to
    `on_report`. At the end of the block it passes on what is left."""
    if on_report is None:
        yield
        return
    stop = threading.Event()

    def deliver() -> None:
        for metrics in ray.get(mailbox.take.remote()):
            on_report(metrics)

    def listen() -> None:
        # RayError: Ray is going down, and the error of the block itself says more
        with contextlib.suppress(ray.exceptions.RayError):
            while not stop.wait(POLL_INTERVAL_S):
                deliver()

    thread = threading.Thread(target=listen, name="train-progress", daemon=True)
    thread.start()
    try:
        yield
        stop.set()
        thread.join()
        deliver()
    finally:
        stop.set()
