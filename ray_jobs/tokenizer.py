"""Stage 2a: the study's tokenizer, trained once on the documentation of train files."""

from collections.abc import Sequence

from tokenizers import Tokenizer

from cluster.storage import Storage, digest
from neoberta.corpus import texts_digest
from neoberta.tokenizer import load_tokenizer, save_tokenizer, tokenizer_identity, train_tokenizer
from probes.tasks.docs.registry import pretraining_texts
from ray_jobs.progress import ProgressCallback
from ray_jobs.study import Study
from ray_jobs.tasks import docs_source

MAX_LENGTH = 8192
"""What the tokenizer itself allows; a checkpoint's copy of it says its model's longest input."""


def make_tokenizer(study: Study, report: ProgressCallback) -> str:
    """Key of the study's tokenizer."""
    report(0, 1)
    return run_tokenizer(learning_texts(study), study.config.tokenizer.vocab_size, study.storage)


def learning_texts(study: Study) -> list[str]:
    """What the study's tokenizer and NeoBERTas learn from."""
    return pretraining_texts(docs_source(study.config), max_texts=study.config.tokenizer.max_texts)


def run_tokenizer(texts: Sequence[str], vocab_size: int, storage: Storage) -> str:
    """Train a tokenizer on `texts` under its key `tokenizers/<digest>`, which is returned; nothing is done when it is there.
    Raises UserError."""
    key = f"tokenizers/{digest(tokenizer_identity(texts_digest(texts), vocab_size))}"
    if not storage.exists(key):
        tokenizer = train_tokenizer(texts, vocab_size)
        with storage.writing_folder(key) as folder:
            save_tokenizer(tokenizer, folder, MAX_LENGTH)
    return key


def read_tokenizer(storage: Storage, key: str) -> Tokenizer:
    """The tokenizer under a key of `run_tokenizer`."""
    return load_tokenizer(storage.local_path(key))
