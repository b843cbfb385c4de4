"""A pretraining run as a process of its own, to be killed: `python pretrain_runs.py OUT [ADDRESS]`,
in an embedded Ray or on the cluster at ADDRESS. Prints `step N` now and then."""

import sys
from typing import Any

from cluster.storage import Storage
from neoberta.config import ModelConfig, PretrainConfig

SENTENCE = (
    "the array of values is sorted along an axis and returned as a new matrix with shape given by"
    " rows columns"
)
WORDS = SENTENCE.split()
TEXTS = [" ".join(WORDS[(i + j) % len(WORDS)] for j in range(3 + (7 * i) % 60)) for i in range(160)]
VOCAB_SIZE = 300
N_STEPS, EVERY = 240, 10
CONFIG = PretrainConfig(
    model=ModelConfig(n_layers=2, hidden_size=16, n_heads=2, max_length=32),
    n_tokens=N_STEPS * 256,
    batch_tokens=256,
    lr=1e-2,
    checkpoint_every_steps=EVERY,
    precision="fp32",
)


def run(out: str, address: str | None = None) -> None:
    from cluster.session import session
    from ray_jobs.stages.pretrain import run_pretrain
    from ray_jobs.stages.tokenizer import run_tokenizer

    storage = Storage(out)
    tokenizer_key = run_tokenizer(TEXTS, VOCAB_SIZE, storage)

    def say(step: int, _: int) -> None:
        print("step", step, flush=True)

    with session(address):
        run_pretrain(CONFIG, TEXTS, storage, tokenizer_key=tokenizer_key, on_progress=say)


def model_of(out: str) -> Any:
    """(model, facts) of the run's checkpoint."""
    from neoberta.checkpoint import load_checkpoint

    storage = Storage(out)
    (card,) = [key for key in storage.keys("checkpoints") if key.endswith("/config.json")]
    storage.verify_folder(card.removesuffix("/config.json"))
    model, _, info = load_checkpoint(storage.local_path(card.removesuffix("/config.json")))
    return model, info


if __name__ == "__main__":
    run(*sys.argv[1:])
