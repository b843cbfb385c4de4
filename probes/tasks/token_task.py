"""Sequence-labelling tasks: sentences of words, a tag a word, in a folder of Parquet splits."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import UserError
from probes.encoders.base import WordEncoder
from probes.token_probe import Words

SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class TaggedSplit:
    """One split: sentences of words and a tag index for each word."""

    sentences: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class TokenTask:
    """A sequence-labelling task; `tag_names` such as O, B-PER, I-PER mark entities."""

    name: str
    tag_names: tuple[str, ...]
    splits: dict[str, TaggedSplit]


def load_token_task(folder: Path) -> TokenTask:
    """The task in a folder with `train|validation|test.parquet` (columns `tokens` list of string, `tags` list of integers) and
    `dataset.json` (`tag_names`). Raises UserError: no splits, other columns, tags that do not fit their words or names."""
    try:
        names = tuple(json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["tag_names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder}/dataset.json: must list the tag_names ({type(error).__name__})") from error
    paths = {name: folder / f"{name}.parquet" for name in SPLIT_NAMES if (folder / f"{name}.parquet").is_file()}
    if not paths:
        raise UserError(
            f"{folder}: no train.parquet, validation.parquet or test.parquet in this folder; give one that has them"
        )
    return TokenTask(folder.name, names, {name: _read_split(path, len(names)) for name, path in paths.items()})


def embed_words(encoder: WordEncoder, split: TaggedSplit, layer: int) -> Words:
    """The words of a split as the examples of `token_probes`, from the hidden states of `layer`. Raises UserError."""
    X = encoder.encode_words(split.sentences, [layer])[layer]
    tags = np.array([tag for sentence in split.tags for tag in sentence], dtype=np.int64)
    return Words(X, tags, np.repeat(np.arange(len(split)), [len(sentence) for sentence in split.sentences]))


def _read_split(path: Path, n_tags: int) -> TaggedSplit:
    try:
        table = pq.read_table(path, columns=["tokens", "tags"])
        rows = list(zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(f"{path}: cannot be read as tokens and tags ({reason}); give lists of words and of tags") from error
    for number, (words, tags) in enumerate(rows, start=1):
        if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
            raise UserError(f"{path}, row {number}: must have a tag for every word")
        if not all(isinstance(word, str) for word in words):
            raise UserError(f"{path}, row {number}: a word is not text")
        if not all(isinstance(tag, int) and 0 <= tag < n_tags for tag in tags):
            raise UserError(f"{path}, row {number}: a tag is not one of the {n_tags} in dataset.json")
    return TaggedSplit(tuple(tuple(words) for words, _ in rows), tuple(tuple(tags) for _, tags in rows))
