"""Static word vectors (word2vec and GloVe text format), pooled over the words of a text."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cluster.storage import UserError, access_explained
from probes.encoders.base import EncoderInfo, EncodingStats, View
from probes.encoders.file_faults import check_files
from probes.encoders.reference import resolve_view

MAX_LENGTH = 1_000_000
"""The longest input that is reported. Texts of any length are read whole."""
_HEADER = re.compile(rb"\d+ \d+\r?\n")
_AS_TEXT = "save it as text where you trust it: "
_BINARY = (
    (re.compile(rb"\x1f\x8b"), "is compressed with gzip; unpack it first"),
    (re.compile(rb"PK\x03\x04"), "is a zip archive; unpack it and give the file that is in it"),
    (
        re.compile(rb"\xba\x16\x4f\x2f"),
        "is a model of fastText; give its word vectors as text, the .vec file",
    ),
    (
        re.compile(rb"\x80[\x02-\x05]"),
        f"is a pickle, as gensim saves it; {_AS_TEXT}KeyedVectors.load(FILE)"
        ".save_word2vec_format(NEW)",
    ),
)
"""How files begin that are no text, and what to do with them."""
_WORD = re.compile(r"\w+|[^\w\s]")


class StaticEncoder:
    """An encoder that looks words up in `vectors` (n_words, d) float32. A word is looked up as it
    is, then in lower case. Unknown words are skipped. A text without known words has the zero
    vector."""

    def __init__(self, words: Sequence[str], vectors: np.ndarray, ref: str):
        self._row_of = {
            word: row for row, word in reversed(list(enumerate(words)))
        }  # a word listed twice: its first row
        self._vectors = vectors
        self.stats = EncodingStats()
        sha = hashlib.sha256("\n".join(words).encode("utf-8", "surrogatepass"))
        sha.update(np.ascontiguousarray(vectors).tobytes())
        self.info = EncoderInfo(
            ref=ref,
            fingerprint=sha.hexdigest()[:16],
            family="static",
            n_layers=0,
            hidden_size=vectors.shape[1],
            n_parameters=vectors.size,
            max_length=MAX_LENGTH,
            views=(View(0, "mean"), View(0, "max")),
        )

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """See `Encoder.encode`. Raises UserError for a view that it does not offer."""
        resolved = {view: resolve_view(self.info, view) for view in views}
        out = {
            view: np.zeros((len(texts), self.info.hidden_size), dtype=np.float32)
            for view in set(resolved.values())
        }
        for position, text in enumerate(texts):
            rows = self._rows(text)
            self.stats.n_texts += 1
            self.stats.n_tokens += len(rows)
            if not rows:
                continue
            known = self._vectors[rows]  # (n_known_words, d)
            for view, vectors in out.items():
                vectors[position] = (
                    known.mean(axis=0) if view.pooling == "mean" else known.max(axis=0)
                )
        return {view: out[found] for view, found in resolved.items()}

    def count_truncated(self, texts: Sequence[str], *, are_pairs: bool = False) -> int:
        """0, because every word of a text counts."""
        return 0

    def _rows(self, text: str) -> list[int]:
        found = (
            self._row_of.get(word, self._row_of.get(word.lower())) for word in _WORD.findall(text)
        )
        return [row for row in found if row is not None]


def check_static(path: Path, ref: str) -> None:
    """Raises UserError for a file that is not there, or whose first bytes say that it is no
    text."""
    with access_explained(subject=f"encoder {ref}: "):
        if not path.is_file():
            why = "is a folder" if path.is_dir() else "no such file"
            raise UserError(
                f"encoder {ref}: {path} cannot be read ({why}); give a text file of word vectors"
            )
    check_files([path], ref, may_have_mark=True)
    head = _head(path)
    for beginning, fault in _BINARY:
        if beginning.match(head):
            raise UserError(f"encoder {ref}: {path} {fault}")


def _head(path: Path) -> bytes:
    with open(path, "rb") as file:
        return file.read(32)


def load_static(name: str, ref: str) -> StaticEncoder:
    """The encoder with the vectors of a UTF-8 text file. Each line is `word v1 ... vd`. The file
    may have word2vec's header line. Raises UserError."""
    path = Path(os.path.expanduser(name))
    check_static(path, ref)
    words: list[str] = []
    rows: list[np.ndarray] = []
    try:
        with open(path, encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                parts = line.rstrip().split(" ")
                if number == 1 and len(parts) == 2 and all(part.isdecimal() for part in parts):
                    continue  # word2vec: the numbers of words and of dimensions
                row = _parse_row(parts, n_values=len(rows[0]) if rows else len(parts) - 1)
                if row is None:
                    expected = (
                        f"a word and {len(rows[0])} numbers" if rows else "a word and its numbers"
                    )
                    raise UserError(
                        f"encoder {ref}: {path}, line {number}: must be {expected}, separated by"
                        " single spaces"
                    )
                words.append(" ".join(parts[: len(parts) - len(row)]))
                rows.append(row)
    except OSError as error:
        raise UserError(
            f"encoder {ref}: {path} cannot be read ({error.strerror}); give a word2vec text file"
        ) from error
    except UnicodeDecodeError as error:
        is_word2vec = _HEADER.match(_head(path)) is not None
        raise UserError(
            f"encoder {ref}: {path} is not UTF-8 text (byte {error.start})"
            + (
                f", but word2vec's binary format; {_AS_TEXT}KeyedVectors.load_word2vec_format"
                "(FILE, binary=True).save_word2vec_format(NEW)"
                if is_word2vec
                else "; save it as UTF-8; binary formats are not read"
            )
        ) from error
    if not rows:
        raise UserError(f"encoder {ref}: {path} holds no vectors")
    return StaticEncoder(words, np.stack(rows), ref)


def _parse_row(parts: list[str], n_values: int) -> np.ndarray | None:
    """The last `n_values` parts as (n_values,) float32; None where they are not finite numbers
    behind a word."""
    if n_values < 1 or len(parts) <= n_values:
        return None
    try:
        row = np.array(parts[-n_values:], dtype=np.float32)
    except ValueError:
        return None
    return row if np.isfinite(row).all() else None
