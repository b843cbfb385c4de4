"""DeepSpeed (ZeRO 0, 1, 2) behind a small engine interface, and the compilation of its CPU
operator, which happens once.

Invariant: `state()` is complete, and does not depend on the number of workers or the ZeRO stage. So
a run saved by 2 workers under ZeRO 2 can go on with 1 worker under ZeRO 0. Weights and moments are
fp32. The module itself chooses a lower precision (autocast in its forward), so every stage computes
what plain torch would. `python -m cluster.deepspeed_engine` compiles the operator.
"""

import fcntl
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

EXTENSIONS_DIR_ENV_VAR = "TORCH_EXTENSIONS_DIR"
"""The folder of the compiled operator (default: `torch_extensions` in this Python's
environment)."""
OPERATOR = "deepspeed_shm_comm"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""What AdamW keeps of each parameter."""


class DeepSpeedEngine:
    """One worker's share of data-parallel training. The process group must exist: Ray Train's
    TorchTrainer makes it."""

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        rank: int,
        n_workers: int,
        zero_stage: int = 1,
        grad_clip: float = 1.0,
    ):
        """`module(**inputs)` returns a scalar loss; `optimizer` is an AdamW over its parameters."""
        self.rank, self.n_workers = rank, n_workers
        prepare_environment()
        build_operator()
        # DeepSpeed's shared memory needs it
        os.environ["LOCAL_SIZE"] = os.environ.get("LOCAL_WORLD_SIZE", str(n_workers))
        import deepspeed

        logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
        deepspeed.init_distributed(
            dist_backend="nccl" if torch.cuda.is_available() else "gloo", verbose=False
        )
        config = {
            # the caller makes the batches: the engine only averages gradients over ranks
            "train_micro_batch_size_per_gpu": 1,
            "gradient_accumulation_steps": 1,
            "gradient_clipping": grad_clip,
            "zero_optimization": {"stage": zero_stage},
            "zero_allow_untested_optimizer": True,
            "steps_per_print": sys.maxsize,
        }
        self._engine, self._optimizer, _, _ = deepspeed.initialize(
            model=module, optimizer=optimizer, config=config
        )
        self._is_sharded = zero_stage > 0
        self.module = self._engine.module
        self.device = next(self.module.parameters()).device
        self._start_moments()

    def step(self, inputs: Mapping[str, torch.Tensor], lr: float) -> float:
        """Forward, backward, gradient mean over ranks, clipping, update at `lr`. Returns this
        rank's loss."""
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        loss = self._engine(**{name: value.to(self.device) for name, value in inputs.items()})
        self._engine.backward(loss)
        self._engine.step()
        return float(loss.detach())

    def mean(self, values: list[float]) -> list[float]:
        """Element-wise mean over ranks. Every rank must call it."""
        total = torch.tensor(values, dtype=torch.float64)
        if self.n_workers > 1:
            torch.distributed.all_reduce(total)
        return (total / self.n_workers).tolist()

    def state(self) -> dict[str, torch.Tensor]:
        """`parameters/NAME`, `exp_avg/NAME`, `exp_avg_sq/NAME` fp32 on the CPU, and `step` ().
        Empty on ranks other than 0. Every rank must call it."""
        from deepspeed.utils import safe_get_full_fp32_param, safe_get_full_optimizer_state

        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in self.module.named_parameters():
            if self._is_sharded:
                found = {"parameters": safe_get_full_fp32_param(parameter)}
                found.update(
                    {key: safe_get_full_optimizer_state(parameter, key) for key in MOMENTS}
                )
            else:
                found = {"parameters": parameter.detach()}
                found.update({key: self._plain_optimizer.state[parameter][key] for key in MOMENTS})
            if self.rank == 0:
                tensors.update(
                    {
                        f"{key}/{name}": value.detach().float().cpu().clone()
                        for key, value in found.items()
                    }
                )
        if self.rank == 0:
            tensors["step"] = (
                next(iter(self._plain_optimizer.state.values()))["step"]
                .detach()
                .float()
                .cpu()
                .clone()
            )
        return tensors

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from the `state()` of any engine. Every rank passes the whole state."""
        from deepspeed.utils import safe_set_full_fp32_param, safe_set_full_optimizer_state

        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                weight = tensors[f"parameters/{name}"].to(self.device)
                moments = {key: tensors[f"{key}/{name}"].to(self.device) for key in MOMENTS}
                parameter.copy_(weight)
                if self._is_sharded:
                    safe_set_full_fp32_param(parameter, weight)
                    for key, value in moments.items():
                        safe_set_full_optimizer_state(parameter, value, key)
                else:
                    for key, value in moments.items():
                        self._plain_optimizer.state[parameter][key].copy_(value)
        for state in self._plain_optimizer.state.values():
            state["step"].copy_(tensors["step"])

    def _start_moments(self) -> None:
        """Make zero moments at step 0, and ZeRO's links from each parameter to its slice of them.
        ZeRO itself makes the links in the first step. Only the first parameter group has moments
        then, so the other groups would never get theirs."""
        for group in self._plain_optimizer.param_groups:
            for parameter in group["params"]:
                moments = {key: torch.zeros_like(parameter, dtype=torch.float32) for key in MOMENTS}
                self._plain_optimizer.state[parameter] = {
                    "step": torch.zeros((), device=self.device),
                    **moments,
                }
        if self._is_sharded:
            self._optimizer._lazy_init_hp_params_optimizer_state()

    @property
    def _plain_optimizer(self) -> torch.optim.Optimizer:
        """The torch optimiser inside DeepSpeed's. Under ZeRO its parameters are this rank's flat
        partitions."""
        inside: torch.optim.Optimizer = (
            self._optimizer.optimizer if self._is_sharded else self._optimizer
        )
        return inside


def extensions_dir() -> Path:
    """The folder of compiled operators."""
    return Path(
        os.environ.get(EXTENSIONS_DIR_ENV_VAR) or Path(sys.prefix) / "torch_extensions"
    ).resolve()


def is_operator_built() -> bool:
    """Whether DeepSpeed's CPU operator is compiled. Imports nothing heavy."""
    return (extensions_dir() / OPERATOR / f"{OPERATOR}.so").is_file()


def prepare_environment() -> None:
    """Set the environment variables that DeepSpeed reads when it is imported."""
    os.environ[EXTENSIONS_DIR_ENV_VAR] = str(extensions_dir())
    # the compilation calls the ninja of this Python's environment
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    os.environ.setdefault("DS_ACCELERATOR", "cuda" if torch.cuda.is_available() else "cpu")


def build_operator() -> float:
    """Compile DeepSpeed's CPU operator if it is not there, and return the seconds that it took.
    Many processes may call this at once."""
    prepare_environment()
    if is_operator_built() or os.environ["DS_ACCELERATOR"] != "cpu":
        return 0.0
    folder = extensions_dir()
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    with open(folder / ".building", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process, unlike torch's own lock file
        if is_operator_built():
            return time.perf_counter() - start
        # torch would wait for ever for the lock file of a build that was killed
        (folder / OPERATOR / "lock").unlink(missing_ok=True)
        from deepspeed.accelerator import get_accelerator

        get_accelerator().create_op_builder("ShareMemCommBuilder").load(verbose=False)
    return time.perf_counter() - start


if __name__ == "__main__":
    seconds = build_operator()
    print(
        "DeepSpeed's CPU operator:"
        f" {f'compiled in {seconds:.0f} s' if seconds else 'already there'} ({extensions_dir()})"
    )
