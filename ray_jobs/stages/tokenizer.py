"""The stage that trains the study's tokenizer, on documentation strings of train files."""

from collections.abc import Sequence

import pyarrow as pa
from tokenizers import Tokenizer

from cluster.storage import Storage, digest
from neoberta.corpus import texts_digest
from neoberta.tokenizer import load_tokenizer, save_tokenizer, tokenizer_identity, train_tokenizer
from probes.tasks.docs.registry import pretraining_texts
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.tasks import docs_source
from ray_jobs.study import Study

TEXTS_VERSION = 1
"""Increase it when the same packages would give other texts."""
MAX_LENGTH = 8192
"""The longest input of the tokenizer itself. The copy in a checkpoint has the longest input of the
model instead."""


def make_tokenizer(study: Study, report: ProgressCallback) -> str:
    """Train the study's tokenizer where it is missing. Returns its key."""
    report(0, 1)
    known = study.storage.keys("tokenizers")
    key = run_tokenizer(learning_texts(study), study.config.tokenizer.vocab_size, study.storage)
    study.made(int(study.storage.keys("tokenizers") != known), "tokenizer")
    return key


def learning_texts(study: Study) -> list[str]:
    """The texts that the study's tokenizer, NeoBERTas and LSA learn from. They are kept on the
    study's storage."""
    source, max_texts = docs_source(study.config), study.config.tokenizer.max_texts
    identity = {"version": TEXTS_VERSION, "source": source.key, "max_texts": max_texts}
    key = f"texts/{digest(identity)}.parquet"
    if not study.storage.exists(key):
        study.storage.write_table(
            key, pa.table({"text": pretraining_texts(source, max_texts=max_texts)})
        )
    return study.storage.read_table(key)["text"].to_pylist()


def run_tokenizer(texts: Sequence[str], vocab_size: int, storage: Storage) -> str:
    """Train a tokenizer on `texts`. Returns its key `tokenizers/<digest>`. Nothing is done when it
    is there. Raises UserError."""
    key = f"tokenizers/{digest(tokenizer_identity(texts_digest(texts), vocab_size))}"
    if not storage.exists(key):
        tokenizer = train_tokenizer(texts, vocab_size)
        with storage.writing_folder(key) as folder:
            save_tokenizer(tokenizer, folder, MAX_LENGTH)
    return key


def read_tokenizer(storage: Storage, key: str) -> Tokenizer:
    """The tokenizer under a key that `run_tokenizer` returned."""
    return load_tokenizer(storage.local_path(key))
