"""A tiny tokenizer, corpus and configuration shared by the tests of the encoder."""

import pytest
import torch

from cluster.storage import Storage
from neoberta.config import ModelConfig, PretrainConfig
from neoberta.corpus import Corpus, build_corpus
from neoberta.tokenizer import train_tokenizer

SENTENCE = (
    "the array of values is sorted along an axis and returned as a new matrix with shape given by"
    " rows columns"
)
WORDS = SENTENCE.split()


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """Tensors this small only lose by being shared out."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(n_threads)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """150 texts of 3 to 62 words that follow each other in one order: some longer than a row of 32
    tokens."""
    return [
        " ".join(WORDS[(i + j) % len(WORDS)] for j in range(3 + (7 * i) % 60)) for i in range(150)
    ]


@pytest.fixture(scope="session")
def tokenizer(texts):
    return train_tokenizer(texts, 320)


@pytest.fixture(scope="session")
def corpus(texts, tokenizer, tmp_path_factory) -> Corpus:
    storage = Storage(tmp_path_factory.mktemp("corpus"))
    return Corpus(storage.local_path(build_corpus(texts, tokenizer, 32, storage)))


@pytest.fixture(scope="session")
def config() -> PretrainConfig:
    """Two layers of 16, 8 rows of 32 tokens a step, 12 steps."""
    shape = ModelConfig(n_layers=2, hidden_size=16, n_heads=2, max_length=32)
    return PretrainConfig(
        model=shape,
        n_tokens=12 * 256,
        batch_tokens=256,
        lr=1e-2,
        checkpoint_every_steps=5,
        precision="fp32",
    )
