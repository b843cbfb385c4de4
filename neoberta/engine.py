"""What the pretraining loop needs from an engine, which computes gradients and updates weights. The
engine here is one process with plain torch. `cluster.deepspeed_engine` has that of DeepSpeed."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import nn

from neoberta.config import PretrainConfig

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Running means that AdamW keeps of each parameter: of its gradient, and of the square."""


class Engine(Protocol):
    """One worker's share of data-parallel training of `module`, whose forward returns a scalar
    loss."""

    rank: int
    n_workers: int
    module: nn.Module

    def step(self, inputs: Mapping[str, torch.Tensor], lr: float) -> float:
        """Forward, backward, mean of the gradient over workers, clipping, update at learning rate
        `lr`. Returns this worker's loss."""
        ...

    def mean(self, values: list[float]) -> list[float]:
        """Element-wise mean over workers. Every worker must call it."""
        ...

    def state(self) -> dict[str, torch.Tensor]:
        """After at least one step: `parameters/NAME`, `exp_avg/NAME`, `exp_avg_sq/NAME` fp32 and
        `step` (). They do not depend on the number of workers. May be empty on ranks other than 0.
        Every worker must call it."""
        ...

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Go on from the `state()` of any engine with any number of workers."""
        ...


class TorchEngine:
    """One process with plain torch, without DeepSpeed."""

    rank, n_workers = 0, 1

    def __init__(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, *, grad_clip: float = 1.0
    ):
        self.module, self.optimizer, self.grad_clip = module, optimizer, grad_clip
        self._device = next(module.parameters()).device

    def step(self, inputs: Mapping[str, torch.Tensor], lr: float) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        loss = self.module(**{name: value.to(self._device) for name, value in inputs.items()})
        loss.backward()
        nn.utils.clip_grad_norm_(self.module.parameters(), self.grad_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return float(loss.detach())

    def mean(self, values: list[float]) -> list[float]:
        return values

    def state(self) -> dict[str, torch.Tensor]:
        tensors = {}
        for name, parameter in self.module.named_parameters():
            found = {
                "parameters": parameter,
                **{key: self.optimizer.state[parameter][key] for key in MOMENTS},
            }
            tensors.update(
                {
                    f"{key}/{name}": value.detach().float().cpu().clone()
                    for key, value in found.items()
                }
            )
            tensors["step"] = self.optimizer.state[parameter]["step"].detach().float().cpu().clone()
        return tensors

    def load_state(self, tensors: Mapping[str, torch.Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                parameter.copy_(tensors[f"parameters/{name}"])
                moments = {
                    key: tensors[f"{key}/{name}"].to(self._device).clone() for key in MOMENTS
                }
                self.optimizer.state[parameter] = {"step": tensors["step"].clone(), **moments}


def adamw(module: nn.Module, config: PretrainConfig) -> torch.optim.AdamW:
    """AdamW (Loshchilov and Hutter 2019). Matrices and embeddings have weight decay, norms have
    none."""
    matrices = [parameter for parameter in module.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in module.parameters() if parameter.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.lr, betas=config.betas, eps=1e-8, fused=True)
