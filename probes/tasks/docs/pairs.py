"""Tasks on pairs of texts: do the two belong together? Each text is used in one pair only."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

from probes.tasks.docs.docstring import paragraphs, parameters, summary, truncate
from probes.tasks.docs.material import MIN_WORDS, WITH_PARAMETERS, select
from probes.tasks.docs.sample import Example

PAIR_NAMES = ("different", "same")
MAX_PAIR_CHARS = 400


def summary_body_examples(table: pa.Table) -> Iterator[Example]:
    """(Summary, source code of a body) -> whether both are of one function. The texts of a false
    pair come from one package."""
    rows = select(table, kinds=("function", "method"), limit=16_000)
    halves = (
        (row, summary(row["docstring"]), row["body"])
        for row in rows
        if len(row["body"].splitlines()) >= 2
    )
    yield from _true_and_false(halves)


def next_paragraph_examples(table: pa.Table) -> Iterator[Example]:
    """(Summary, second paragraph) -> whether both are of one docstring. The texts of a false pair
    come from one package."""
    rows = select(table, limit=16_000)
    parts = ((row, paragraphs(row["docstring"])) for row in rows)
    yield from _true_and_false((row, texts[0], texts[1]) for row, texts in parts if len(texts) > 1)


def parameter_owner_examples(table: pa.Table) -> Iterator[Example]:
    """(Summary, description of a parameter) -> whether both are of one function. The texts of a
    false pair come from one package."""
    rows = select(
        table, kinds=("class", "function", "method"), containing=WITH_PARAMETERS, limit=12_000
    )
    parts = ((row, parameters(row["docstring"])) for row in rows)
    longest = (
        (row, max((item.description for item in items), key=len)) for row, items in parts if items
    )
    yield from _true_and_false((row, summary(row["docstring"]), text) for row, text in longest)


def _true_and_false(halves: Iterable[tuple[dict[str, Any], str, str]]) -> Iterator[Example]:
    """Half of the pairs as they are. In the other half each second text moves to the next pair of
    the same package and split."""
    groups: dict[tuple[str, str], list[tuple[int, str, str, str]]] = defaultdict(list)
    for row, first, second in halves:
        text, pair = truncate(first, MAX_PAIR_CHARS), truncate(second, MAX_PAIR_CHARS)
        if len(text.split()) >= MIN_WORDS and len(pair.split()) >= MIN_WORDS:
            order = zlib.crc32(f"{row['file']}:{row['qualname']}".encode())
            groups[row["package"], row["split"]].append((order, row["file"], text, pair))
    for (package, split), group in groups.items():
        group.sort()
        true, false = group[::2], group[1::2]
        for _, file, text, pair in true:
            yield Example(text, "same", split, package, file, pair)
        if len(false) > 1:
            moved = [*false[1:], false[0]]
            for (_, file, text, _), (_, _, _, pair) in zip(false, moved, strict=True):
                if pair != text:
                    yield Example(text, "different", split, package, file, pair)
