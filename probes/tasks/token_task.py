"""Sequence-labelling tasks: sentences of words with a tag for each word, in a folder of Parquet
splits."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import UserError, digest
from probes.sweep.tokens import Words

SPLIT_NAMES = ("train", "validation", "test")
HELD_OUT = 5
"""Where a task has train sentences only, every fifth one is held out."""


@dataclass(frozen=True)
class TaggedSplit:
    """One split: sentences of words and a tag index for each word."""

    sentences: tuple[tuple[str, ...], ...]
    tags: tuple[tuple[int, ...], ...]

    def __len__(self) -> int:
        return len(self.sentences)


@dataclass(frozen=True)
class TokenTask:
    """A sequence-labelling task. `tag_names` are names such as O, B-PER and I-PER, which mark
    entities."""

    name: str
    tag_names: tuple[str, ...]
    splits: dict[str, TaggedSplit]

    @property
    def fingerprint(self) -> str:
        """16 hex digits: a hash of the content. A path is no part of it."""
        splits = {name: [split.sentences, split.tags] for name, split in self.splits.items()}
        return digest({"tag_names": self.tag_names, "splits": splits})


def load_token_task(folder: Path) -> TokenTask:
    """The task in a folder with `train|validation|test.parquet` (columns `tokens` list of string,
    `tags` list of integers) and `dataset.json` (`tag_names`). Raises UserError: no splits, other
    columns, tags that do not fit their words or names."""
    try:
        listed = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))["tag_names"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder}/dataset.json: must list the tag_names ({type(error).__name__})"
        ) from error
    are_names = isinstance(listed, list) and all(isinstance(name, str) for name in listed)
    if not are_names or len(set(listed)) < max(2, len(listed)):
        raise UserError(
            f"{folder}/dataset.json: tag_names must list two or more distinct names, such as O,"
            " B-PER, I-PER"
        )
    names = tuple(listed)
    paths = {
        name: folder / f"{name}.parquet"
        for name in SPLIT_NAMES
        if (folder / f"{name}.parquet").is_file()
    }
    if not paths:
        raise UserError(
            f"{folder}: no train.parquet, validation.parquet or test.parquet in this folder; give"
            " one that has them"
        )
    return TokenTask(
        folder.name, names, {name: _read_split(path, len(names)) for name, path in paths.items()}
    )


def train_and_test(task: TokenTask) -> tuple[TaggedSplit, TaggedSplit]:
    """(the sentences that probes are fitted on, the sentences that they are scored on).

    The first are those of `train`. The second are those of `test`, or else of `validation`, or else
    a fifth of `train`, chosen by a hash of the sentence so that equal ones stay together. Sentences
    without words are left out. Raises UserError where one of the two has no words."""
    if "train" not in task.splits:
        raise UserError(
            f"{task.name}: has no train.parquet to fit probes on; it has"
            f" {', '.join(sorted(task.splits))}"
        )
    train = _select(task.splits["train"], bool)
    other = task.splits.get("test", task.splits.get("validation"))
    if other is not None:
        test = _select(other, bool)
    else:
        test = _select(train, _is_held_out)
        train = _select(train, lambda sentence: not _is_held_out(sentence))
    for what, split in (("train", train), ("test", test)):
        if not len(split):
            raise UserError(f"{task.name}: has no {what} sentences with words in them; add some")
    return train, test


def as_words(split: TaggedSplit, X: np.ndarray) -> Words:
    """The W words of a split as examples for `token_probes`. X (W, d) float32 holds their vectors
    in order."""
    tags = np.array([tag for sentence in split.tags for tag in sentence], dtype=np.int64)
    return Words(
        X, tags, np.repeat(np.arange(len(split)), [len(sentence) for sentence in split.sentences])
    )


def _select(split: TaggedSplit, is_wanted: Callable[[tuple[str, ...]], bool]) -> TaggedSplit:
    kept = [i for i, sentence in enumerate(split.sentences) if is_wanted(sentence)]
    return TaggedSplit(tuple(split.sentences[i] for i in kept), tuple(split.tags[i] for i in kept))


def _is_held_out(sentence: tuple[str, ...]) -> bool:
    return (
        int.from_bytes(hashlib.sha256(json.dumps(sentence).encode()).digest()[:8]) % HELD_OUT == 0
    )


def _read_split(path: Path, n_tags: int) -> TaggedSplit:
    try:
        table = pq.read_table(path, columns=["tokens", "tags"])
        rows = list(zip(table["tokens"].to_pylist(), table["tags"].to_pylist(), strict=True))
    except (OSError, KeyError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0][:160]
        raise UserError(
            f"{path}: cannot be read as tokens and tags ({reason}); give lists of words and of tags"
        ) from error
    for number, (words, tags) in enumerate(rows, start=1):
        if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
            raise UserError(f"{path}, row {number}: must have a tag for every word")
        if not all(isinstance(word, str) for word in words):
            raise UserError(f"{path}, row {number}: a word is not text")
        if not all(isinstance(tag, int) and 0 <= tag < n_tags for tag in tags):
            raise UserError(
                f"{path}, row {number}: a tag is not one of the {n_tags} in dataset.json"
            )
    return TaggedSplit(
        tuple(tuple(words) for words, _ in rows), tuple(tuple(tags) for _, tags in rows)
    )
