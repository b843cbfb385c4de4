"""The known word, or the file, that a mistyped one is nearest to."""

import difflib
import glob
from collections.abc import Iterable
from pathlib import Path

SIMILARITY = 0.6
"""Words less alike than this (`difflib`'s ratio, 0 to 1) are not taken for one another."""


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` is nearest to, whatever the case of its letters. None where
    none is near."""
    folded = {name.casefold(): name for name in known}
    near = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=SIMILARITY)
    return folded[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean NAME?`, to end a message with. Empty where no known word is near."""
    name = nearest(word, known)
    return "" if name is None else f"; did you mean {name}?"


def did_you_mean_file(path: Path) -> str:
    """`; did you mean PATH?` with the file or folder beside `path` whose name is nearest to its
    name. The ending counts less than what stands before it. Empty where none is near, and where
    `path` is there."""
    if path.exists() or glob.has_magic(path.name):
        return ""
    try:
        beside = sorted(path.parent.iterdir(), key=lambda other: other.suffix == path.suffix)
    except OSError:
        return ""
    by_stem = {other.stem: other.name for other in beside}
    stem = nearest(path.stem, by_stem)
    return "" if stem is None else f"; did you mean {path.with_name(by_stem[stem])}?"
