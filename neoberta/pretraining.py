"""The pretraining loop: masked language modelling for a budget of tokens, on any engine, from any
training state.

Invariant: what happens at a step (rows, masks, rates) depends only on the configuration and the
step. So a run that was interrupted ends with exactly the weights of one that was not, and the
number of workers changes them only by rounding. The loss of a batch is the mean over all its masked
tokens. Each worker knows their number without asking the others.
"""

import tempfile
import time
from pathlib import Path
from typing import Any, Protocol

import torch

from neoberta.config import PretrainConfig
from neoberta.corpus import Corpus, batch_rows
from neoberta.engine import Engine
from neoberta.masking import mask_tokens
from neoberta.schedule import lr_at, mask_rate_at
from neoberta.training_state import load_training_state, save_training_state

N_LOGGED = 100
"""About how many points the loss curve has at most."""


class Report(Protocol):
    """Where the loop reports its progress and leaves its training states."""

    def progress(self, metrics: dict[str, Any]) -> None:
        """Called often, by rank 0 only. Must be cheap."""
        ...

    def checkpoint(self, metrics: dict[str, Any], folder: Path | None) -> None:
        """Every rank calls it equally often. Rank 0 passes the folder of a training state, which
        must be copied before this returns. The other ranks pass None."""
        ...


class SilentReport:
    """Keeps nothing. For short runs inside one process."""

    def progress(self, metrics: dict[str, Any]) -> None:
        """Do nothing."""

    def checkpoint(self, metrics: dict[str, Any], folder: Path | None) -> None:
        """Do nothing."""


def pretrain(
    config: PretrainConfig,
    corpus: Corpus,
    engine: Engine,
    report: Report,
    resume: Path | None = None,
) -> None:
    """Train `engine.module` to the end of the budget: from the start, or from the training state in
    the folder `resume`. The last checkpoint that is reported is the finished state. Raises
    ValueError for the state of another run."""
    facts: dict[str, Any] = {
        "identity": config.identity(),
        "step": 0,
        "seconds": 0.0,
        "history": [],
    }
    if resume is not None:
        tensors, found = load_training_state(resume)
        if found["identity"] != facts["identity"]:
            raise ValueError(
                f"{resume} belongs to a run with another configuration; remove it to start anew"
            )
        facts = found
        engine.load_state(tensors)
    log_every = max(1, config.n_steps // N_LOGGED)
    losses: list[float] = []
    start = time.perf_counter() - facts["seconds"]
    for step in range(facts["step"], config.n_steps):
        lr = lr_at(config, step)
        losses.append(
            engine.step(make_batch(config, corpus, step, engine.rank, engine.n_workers), lr)
        )
        done = step + 1
        is_last = done == config.n_steps
        is_saved = done % config.checkpoint_every_steps == 0 or is_last
        # also before a state is saved, so that the state holds the whole curve
        if done % log_every == 0 or is_saved:
            loss = sum(engine.mean(losses)) / len(losses)
            losses = []
            n_tokens = done * config.batch_rows * corpus.max_length
            facts["history"].append({"step": done, "tokens": n_tokens, "loss": loss, "lr": lr})
            if engine.rank == 0:
                report.progress({"step": done, "n_steps": config.n_steps, "loss": loss})
        if is_saved:
            facts.update(step=done, seconds=time.perf_counter() - start)
            _save(engine, report, facts)


def make_batch(
    config: PretrainConfig, corpus: Corpus, step: int, rank: int, n_workers: int
) -> dict[str, torch.Tensor]:
    """The model's inputs for this worker's rows of the global batch of `step`. `scale` is chosen so
    that the mean of the losses over workers is the mean over all masked tokens."""
    row_idx, epochs = batch_rows(corpus.n_rows, config.seed, step, config.batch_rows)
    rows = corpus.rows(row_idx)
    rate = mask_rate_at(config, step)
    inputs, is_target = mask_tokens(
        *rows, epochs, seed=config.seed, rate=rate, vocab_size=corpus.vocab_size
    )
    n_targets = max(1, int(is_target.sum()))
    first, last = (config.batch_rows * r // n_workers for r in (rank, rank + 1))
    mine = slice(first, last)
    target_idx = is_target[mine].ravel().nonzero()[0]
    return {
        "tokens": torch.from_numpy(inputs[mine]),
        "document": torch.from_numpy(rows.document[mine]),
        "position": torch.from_numpy(rows.position[mine]),
        "target_idx": torch.from_numpy(target_idx),
        "targets": torch.from_numpy(rows.tokens[mine].ravel()[target_idx]),
        "scale": torch.tensor(n_workers / n_targets, dtype=torch.float32),
    }


def _save(engine: Engine, report: Report, facts: dict[str, Any]) -> None:
    tensors = engine.state()
    metrics = {"step": facts["step"], "loss": facts["history"][-1]["loss"]}
    if engine.rank != 0:
        report.checkpoint(metrics, None)
        return
    with tempfile.TemporaryDirectory(prefix="neoberta-state-") as folder:
        save_training_state(Path(folder), tensors, facts)
        report.checkpoint(metrics, Path(folder))
