"""Sequence-labelling tasks: sentences of words, a tag a word, in a folder of splits."""

import difflib
import hashlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cluster.storage import UserError, check_readable, digest
from probes.sweep.tokens import Words
from probes.tables.conll import CONLL, read_conll
from probes.tables.file import read_table

SPLIT_NAMES = ("train", "validation", "test")
SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".json", *CONLL)
"""How files of splits end."""
_FILES = "train.parquet, validation.parquet or test.parquet (or .jsonl, .conll)"
Row = tuple[Any, Any]
"""The cells `tokens` and `tags` of a sentence."""
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
    """The task in a folder with the splits train, validation and test, each in a file that ends in
    any of `SUFFIXES`, with the columns `tokens` (words of a sentence) and `tags` (one for each
    word: names, or indices into the `tag_names` of `dataset.json`). Without `dataset.json` the
    names are those that occur. What must be said of a file is a warning. Raises UserError: no
    splits, other columns, tags that do not fit their words or names."""
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}; give a folder with {_FILES}")
    listed = _listed_names(folder / "dataset.json")
    rows = {name: _read_rows(path) for name, path in _split_paths(folder).items()}
    names = listed or _names_that_occur(rows, folder)
    splits = {name: _as_split(path, found, names) for name, (path, found) in rows.items()}
    return TokenTask(folder.name, names, splits)


def train_and_test(task: TokenTask) -> tuple[TaggedSplit, TaggedSplit]:
    """(the sentences that probes are fitted on, the sentences that they are scored on).

    The first are those of `train`. The second are those of `test`, or else of `validation`, or else
    a fifth of `train`, chosen by a hash of the sentence so that equal ones stay together. Sentences
    without words are left out. Raises UserError where one of the two has no words."""
    if "train" not in task.splits:
        raise UserError(
            f"{task.name}: has no train split to fit probes on; it has"
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


def _split_paths(folder: Path) -> dict[str, Path]:
    """The file of each split that is there. Raises UserError for none, and for two of one."""
    paths = {}
    for name in SPLIT_NAMES:
        found = [path for suffix in SUFFIXES if (path := folder / f"{name}{suffix}").is_file()]
        if len(found) > 1:
            raise UserError(
                f"{folder}: {found[0].name} and {found[1].name} are the same split; remove one"
            )
        if found:
            paths[name] = found[0]
    if not paths:
        raise UserError(f"{folder}: no {_FILES} in this folder; give one that has them")
    return paths


def _listed_names(path: Path) -> tuple[str, ...]:
    """The `tag_names` of a folder; none where it has no `dataset.json`."""
    if not path.is_file():
        return ()
    check_readable(path)
    try:
        listed = json.loads(path.read_text(encoding="utf-8-sig"))["tag_names"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: must list the tag_names ({type(error).__name__})") from error
    are_names = isinstance(listed, list) and all(isinstance(name, str) for name in listed)
    if not are_names or len(set(listed)) < max(2, len(listed)):
        raise UserError(
            f"{path}: tag_names must list two or more distinct names, such as O, B-PER, I-PER"
        )
    return tuple(listed)


def _read_rows(path: Path) -> tuple[Path, list[Row]]:
    """Words and tags of each sentence, as they are written."""
    table = read_conll(path) if path.suffix in CONLL else read_table(path)
    for note in table.notes:
        warnings.warn(note, UserWarning, stacklevel=4)
    for column in ("tokens", "tags"):
        if column not in table.cells:
            near = difflib.get_close_matches(column, table.cells, n=1)
            there = ", ".join(map(repr, table.cells)) or "none"
            hint = f"rename {near[0]!r}" if near else "rename the one that is meant"
            raise UserError(f"{path}: no column {column!r}; the columns are {there}: {hint}")
    return path, list(zip(table.cells["tokens"], table.cells["tags"], strict=True))


def _names_that_occur(rows: Mapping[str, tuple[Path, list[Row]]], folder: Path) -> tuple[str, ...]:
    """O first, the others sorted. Raises UserError where tags are not names."""
    tags = {
        tag
        for _, found in rows.values()
        for _, tags in found
        for tag in (tags if isinstance(tags, list) else ())
    }
    if not all(isinstance(tag, str) for tag in tags):
        raise UserError(
            f"{folder}/dataset.json: must list the tag_names, since the tags are numbers: write"
            ' {"tag_names": ["O", "B-PER", ...]}'
        )
    if len(tags) < 2:
        raise UserError(f"{folder}: the words have fewer than two different tags; add others")
    return tuple(sorted(tags, key=lambda tag: (tag != "O", tag)))


def _as_split(path: Path, rows: Sequence[Row], names: Sequence[str]) -> TaggedSplit:
    number_of = {name: number for number, name in enumerate(names)}
    all_tags: list[tuple[int, ...]] = []
    for number, (words, tags) in enumerate(rows, start=1):
        if not isinstance(words, list) or not isinstance(tags, list) or len(words) != len(tags):
            raise UserError(f"{path}, row {number}: must have a tag for every word")
        if not all(isinstance(word, str) for word in words):
            raise UserError(f"{path}, row {number}: a word is not text")
        numbers: list[Any] = [
            number_of.get(tag, tag) if isinstance(tag, str) else tag for tag in tags
        ]
        for tag in numbers:
            if not isinstance(tag, int) or isinstance(tag, bool) or not 0 <= tag < len(names):
                near = difflib.get_close_matches(str(tag), names, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise UserError(
                    f"{path}, row {number}: a tag is not one of the {len(names)} in dataset.json"
                    f" ({tag!r}){hint}"
                )
        all_tags.append(tuple(numbers))
    return TaggedSplit(tuple(tuple(words) for words, _ in rows), tuple(all_tags))
