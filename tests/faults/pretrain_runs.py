"""A pretraining run as a process of its own, to be killed: `python pretrain_runs.py OUT [ADDRESS]`, in an embedded Ray or on
the cluster at ADDRESS. Prints the checkpoint's key at its end."""

import sys
from typing import Any

from cluster.storage import Storage
from neoberta.config import ModelConfig, PretrainConfig

SENTENCE = "the array of values is sorted along an axis and returned as a new matrix with shape given by rows columns"
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
    from ray_jobs.pretrain import run_pretrain
    from ray_jobs.tokenizer import run_tokenizer

    storage = Storage(out)
    tokenizer_key = run_tokenizer(TEXTS, VOCAB_SIZE, storage)

    def say(step: int, _: int) -> None:
        print("step", step, flush=True)

    with session(address):
        print(run_pretrain(CONFIG, TEXTS, storage, tokenizer_key=tokenizer_key, on_progress=say), flush=True)


def reference() -> Any:
    """The model that the same run gives in this process, undisturbed."""
    import tempfile

    from neoberta.corpus import Corpus
    from ray_jobs.pretrain import build_corpora, pretrain_here
    from ray_jobs.tokenizer import read_tokenizer, run_tokenizer

    with tempfile.TemporaryDirectory() as folder:
        storage = Storage(folder)
        tokenizer = read_tokenizer(storage, run_tokenizer(TEXTS, VOCAB_SIZE, storage))
        corpora = build_corpora(TEXTS, tokenizer, CONFIG.model.max_length, storage)
        return pretrain_here(CONFIG, Corpus(storage.local_path(corpora[0])))


if __name__ == "__main__":
    run(*sys.argv[1:])
