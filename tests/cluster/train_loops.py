"""Loops for test_train.py, sent to Ray's workers by value: a small regression, fitted with AdamW in
two parameter groups."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

N_STEPS, SAVED_AT, LR, ROWS = 6, 3, 1e-2, 8


class Regression(nn.Module):
    """Returns the sum of the squared errors times `scale`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 1))

    def forward(self, x: torch.Tensor, y: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return ((self.layers(x).squeeze(-1) - y) ** 2).sum() * scale


def optimizer(module: nn.Module) -> torch.optim.AdamW:
    decayed = [p for p in module.parameters() if p.ndim > 1]
    rest = [p for p in module.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=LR, fused=True)


def batch(step: int, rank: int, n_workers: int) -> dict[str, torch.Tensor]:
    """This worker's unequal share of the global batch of `step`."""
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(ROWS, 5, generator=generator)
    mine = slice(0, None) if n_workers == 1 else (slice(0, 3), slice(3, None))[rank]
    return {"x": x[mine], "y": x[mine].sum(1), "scale": torch.tensor(n_workers / ROWS)}


def reference(n_steps: int) -> dict[str, torch.Tensor]:
    """Weights and moments after `n_steps` of plain torch in one process."""
    module = Regression()
    adamw = optimizer(module)
    for step in range(n_steps):
        module(**batch(step, 0, 1)).backward()
        nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        adamw.step()
        adamw.zero_grad()
    state = {f"parameters/{name}": p.detach().clone() for name, p in module.named_parameters()}
    for name, p in module.named_parameters():
        state.update(
            {f"{key}/{name}": adamw.state[p][key].clone() for key in ("exp_avg", "exp_avg_sq")}
        )
    return state | {"step": torch.tensor(float(n_steps))}


def _engine(context: Any, stage: int) -> Any:
    from cluster.deepspeed_engine import DeepSpeedEngine

    module = Regression()
    return DeepSpeedEngine(
        module, optimizer(module), rank=context.rank, n_workers=context.n_workers, zero_stage=stage
    )


def every_stage(config: dict[str, Any], context: Any) -> None:
    """For ZeRO 0, 1, 2: half the steps, state to a file, a new engine from the file, the other
    half. Reports the state at half time and rank 0's state at the end of each stage."""
    shared = Path(config["folder"])
    for stage in (0, 1, 2):
        engine = _engine(context, stage)
        for step in range(SAVED_AT):
            engine.step(batch(step, context.rank, context.n_workers), LR)
        state = engine.state()
        if context.rank == 0:
            save_file(state, str(shared / f"half-{stage}.safetensors"))
        engine.mean([0.0])  # a barrier
        engine = _engine(context, stage)
        engine.load_state(load_file(str(shared / f"half-{stage}.safetensors")))
        losses = [
            engine.step(batch(step, context.rank, context.n_workers), LR)
            for step in range(SAVED_AT, N_STEPS)
        ]
        mean = engine.mean(losses)
        state = engine.state()
        if context.rank == 0:
            save_file(state, str(shared / f"end-{stage}.safetensors"))
            context.progress({"stage": stage, "loss": mean[-1]})
    context.checkpoint(
        {"step": SAVED_AT}, _published(shared / "half-2.safetensors") if context.rank == 0 else None
    )


def go_on(config: dict[str, Any], context: Any) -> None:
    """The other half with one worker under ZeRO 0, from the checkpoint that two workers under ZeRO
    2 reported."""
    assert context.n_workers == 1 and context.resume is not None
    engine = _engine(context, 0)
    engine.load_state(load_file(str(context.resume / "state.safetensors")))
    for step in range(SAVED_AT, N_STEPS):
        engine.step(batch(step, 0, 1), LR)
    save_file(engine.state(), str(Path(config["folder"]) / "end-one.safetensors"))
    context.checkpoint({"step": N_STEPS}, context.resume)


def dies_once(config: dict[str, Any], context: Any) -> None:
    """Counts to 4 in checkpoints; the first worker to reach 2 is killed without a word."""
    marker = Path(config["folder"]) / "died"
    start = 0 if context.resume is None else int((context.resume / "step").read_text())
    for step in range(start + 1, 5):
        if step == 3 and not marker.exists():
            marker.write_text("")
            os._exit(1)
        with TemporaryDirectory() as folder:
            (Path(folder) / "step").write_text(str(step))
            context.progress({"step": step, "from": start})
            context.checkpoint({"step": step}, Path(folder))


def _published(path: Path) -> Path:
    folder = path.parent / "checkpoint"
    folder.mkdir()
    (folder / "state.safetensors").write_bytes(path.read_bytes())
    return folder
