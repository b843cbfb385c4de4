"""A packed corpus on storage, and its batches.

The order of rows is a function of (seed, epoch), and the step says the place in that order. Neither
depends on the worker, so every worker that asks for step s gets the same rows. Every token of a row
comes with the number of its document and its position in it. So attention can stay inside
documents, and masks can be drawn for each document.
"""

import functools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from cluster.storage import (
    CorruptArtefactError,
    Storage,
    UserError,
    check_readable,
    digest,
)
from neoberta.packing import pack
from neoberta.tokenizer import SPECIAL_TOKENS, encode_documents

CORPUS_VERSION = 1
"""Part of the key. It is raised when the same texts would be packed in another way."""
TOKENIZE_CHUNK = 2048
"""Documents that are tokenised in one call."""


class PackedRows(NamedTuple):
    """B packed rows of T positions."""

    tokens: np.ndarray
    """(B, T) int64 token ids."""
    document: np.ndarray
    """(B, T) int64: number of the document (or piece of one) in the corpus; -1 for padding."""
    position: np.ndarray
    """(B, T) int64: position in the document; 0 for padding."""


class Corpus:
    """A packed corpus in a local folder, memory-mapped."""

    def __init__(self, folder: Path):
        """Raises CorruptArtefactError, UserError."""
        names = ("corpus.json", "tokens.npy", "lengths.npy", "row_starts.npy")
        check_readable(*(folder / name for name in names))
        try:
            self.info = json.loads((folder / "corpus.json").read_text())
            self._tokens = np.load(folder / "tokens.npy", mmap_mode="r")  # (R, T) uint16 or uint32
            # (P,) uint16: lengths of the pieces in row order
            self._lengths = np.load(folder / "lengths.npy", mmap_mode="r")
            # (R + 1,) int64: where in `_lengths` the pieces of each row begin
            self._row_starts = np.load(folder / "row_starts.npy", mmap_mode="r")
        except (OSError, ValueError) as error:
            raise CorruptArtefactError(f"{folder}: not a packed corpus ({error})") from error
        self.n_rows, self.max_length = self._tokens.shape
        self.vocab_size: int = self.info["vocab_size"]

    def rows(self, row_idx: np.ndarray) -> PackedRows:
        """The rows with the numbers `row_idx` (B,), in that order."""
        tokens = self._tokens[row_idx].astype(np.int64)
        document = np.full(tokens.shape, -1, dtype=np.int64)
        position = np.zeros(tokens.shape, dtype=np.int64)
        for i, row in enumerate(row_idx):
            first, last = int(self._row_starts[row]), int(self._row_starts[row + 1])
            lengths = self._lengths[first:last].astype(np.int64)
            n_used = int(lengths.sum())
            document[i, :n_used] = np.repeat(np.arange(first, last), lengths)
            position[i, :n_used] = np.arange(n_used) - np.repeat(
                np.cumsum(lengths) - lengths, lengths
            )
        return PackedRows(tokens, document, position)

    def unigram_entropy(self) -> float:
        """Entropy (nats) of the token frequencies, without special tokens."""
        counts = self._counts()
        share = counts[counts > 0] / counts.sum()
        return float(-(share * np.log(share)).sum())

    def unigram_loss(self, held_out: "Corpus") -> float:
        """Mean cross-entropy (nats) of the tokens of `held_out`, predicted by the token frequencies
        of this corpus (each count plus one). A model that ignores the context reaches this loss."""
        counts, held_out_counts = self._counts() + 1, held_out._counts()
        return float(
            -(held_out_counts * np.log(counts / counts.sum())).sum()
            / max(1.0, held_out_counts.sum())
        )

    def _counts(self) -> np.ndarray:
        """(V - special tokens,) float64: how often each token occurs."""
        counts = np.bincount(np.asarray(self._tokens).ravel(), minlength=self.vocab_size)
        return counts[len(SPECIAL_TOKENS) :].astype(np.float64)


@functools.lru_cache(maxsize=4)
def row_order(n_rows: int, seed: int, epoch: int) -> np.ndarray:
    """(n_rows,) int64: the order of rows in an epoch."""
    return np.random.default_rng(np.random.SeedSequence([seed, epoch])).permutation(n_rows)


def batch_rows(n_rows: int, seed: int, step: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers (batch_size,) and epochs (batch_size,) of the global batch of `step` (from 0). A
    batch may run over the end of an epoch into the next one."""
    sample = np.arange(step * batch_size, (step + 1) * batch_size)
    epochs = sample // n_rows
    rows = np.empty(batch_size, dtype=np.int64)
    for epoch in np.unique(epochs):
        of_epoch = epochs == epoch
        rows[of_epoch] = row_order(n_rows, seed, int(epoch))[sample[of_epoch] % n_rows]
    return rows, epochs


def texts_digest(texts: Sequence[str]) -> str:
    """Digest of a sequence of texts. Their order matters."""
    return digest(list(texts))


def corpus_key(texts: Sequence[str], tokenizer: Tokenizer, max_length: int) -> str:
    """Key of the corpus on storage: `corpora/<digest>`."""
    identity = {"version": CORPUS_VERSION, "texts": texts_digest(texts), "max_length": max_length}
    return f"corpora/{digest({**identity, 'tokenizer': digest(tokenizer.to_str())})}"


def build_corpus(
    texts: Sequence[str],
    tokenizer: Tokenizer,
    max_length: int,
    storage: Storage,
    progress: Callable[[int, int], None] | None = None,
) -> str:
    """Tokenise and pack `texts`, publish the corpus under its key, and return the key. Nothing is
    done when the corpus is there already. Raises UserError when there is no text."""
    key = corpus_key(texts, tokenizer, max_length)
    if storage.exists(key):
        return key
    n_bytes = sum(len(text.encode("utf-8", errors="replace")) for text in texts)
    windows = list(pack(_tokenised(texts, tokenizer, progress), max_length))
    if not windows:
        raise UserError(
            "pretraining corpus: there is no text to learn from; give at least one document that is"
            " not empty"
        )
    tokens = np.concatenate([window[0] for window in windows])
    pieces = [lengths for window in windows for lengths in window[1]]
    row_starts = np.concatenate([[0], np.cumsum([len(lengths) for lengths in pieces])]).astype(
        np.int64
    )
    lengths = np.concatenate(pieces).astype(np.uint16)
    dtype = np.uint16 if tokenizer.get_vocab_size() <= 2**16 else np.uint32
    info = {
        "n_rows": len(tokens),
        "n_documents": len(texts),
        "n_pieces": len(lengths),
        "n_tokens": int(lengths.sum(dtype=np.int64)),
        "fill": float(lengths.sum(dtype=np.int64) / tokens.size),
        "size_bytes_text": n_bytes,
        "max_length": max_length,
        "vocab_size": tokenizer.get_vocab_size(),
    }
    with storage.writing_folder(key) as folder:
        np.save(folder / "tokens.npy", tokens.astype(dtype))
        np.save(folder / "lengths.npy", lengths)
        np.save(folder / "row_starts.npy", row_starts)
        (folder / "corpus.json").write_text(json.dumps(info, indent=1))
    return key


def _tokenised(
    texts: Sequence[str], tokenizer: Tokenizer, progress: Callable[[int, int], None] | None
) -> Iterator[list[int]]:
    for start in range(0, len(texts), TOKENIZE_CHUNK):
        yield from encode_documents(tokenizer, texts[start : start + TOKENIZE_CHUNK])
        if progress:
            progress(min(start + TOKENIZE_CHUNK, len(texts)), len(texts))
