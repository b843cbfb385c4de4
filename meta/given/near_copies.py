"""Which rows are near-copies of each other: templates that were filled in, retweets, the same text
with another date or with a word more.

Two texts are near-copies when they are equal but for case, numbers, dates, identifiers, links and
@names, or when they share most of their shingles (`LEAST_SHARED`), where a frame that very many
rows have in common does not count. Short texts are left alone: of two short sentences that differ
in a letter, each may say something else. Rows of text pairs are near-copies when both texts are.

Candidates come from MinHash (Broder 1997), so the cost grows with the number of rows, not with its
square; every candidate is then compared exactly.
"""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from meta.given.shingles import (
    Shingles,
    band_keys,
    hashed_shingles,
    length_in_shingles,
    skeleton,
)

LEAST_SHARED, LEAST_SHARED_LONG = 0.8, 0.7
"""Least Jaccard similarity of the shingles of near-copies, and of long ones."""
LONG = 60
"""Shingles from which on a text is long."""
LEAST_LENGTH, LEAST_LENGTH_EQUAL = 40, 16
"""The shorter of two near-copies has at least so many shingles; those that are equal but for
numbers and names have at least so many."""
FRAME_SHARE, FRAME_ROWS = 0.2, 20
"""A shingle is part of a frame (a greeting, a form that all rows are written in) when it occurs
this often for each row, and in at least so many rows. Frames are not compared where enough else is
left."""


def near_copy_pairs(texts: Sequence[str], seconds: Sequence[str] | None = None) -> np.ndarray:
    """(p, 2) int64 pairs of rows (i < j) that are near-copies. Not every pair is listed: the pairs
    connect all rows that are near-copies of each other, directly or through others.

    `texts` (n,) and, for pairs of texts, `seconds` (n,) are the texts of the rows. Deterministic.
    """
    columns = [[skeleton(text) for text in part] for part in (texts, seconds) if part is not None]
    rows = list(zip(*columns, strict=True))
    first_row: dict[tuple[str, ...], int] = {}
    pairs = []
    for row, key in enumerate(rows):
        first = first_row.setdefault(key, row)
        if first != row and sum(map(length_in_shingles, key)) >= LEAST_LENGTH_EQUAL:
            pairs.append((first, row))
    distinct = [key for key in first_row if sum(map(length_in_shingles, key)) >= LEAST_LENGTH]
    firsts = [first_row[key] for key in distinct]
    pairs += [(firsts[i], firsts[j]) for i, j in _similar(distinct)]
    return np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)


def groups_of(n_rows: int, pairs: np.ndarray) -> np.ndarray:
    """(n_rows,) int64: the group of each row, numbered from 0. `pairs` (p, 2) are in one group, and
    so are rows that are connected through others."""
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n_rows, n_rows))
    return connected_components(links, directed=False)[1].astype(np.int64)


def _similar(rows: Sequence[tuple[str, ...]]) -> list[tuple[int, int]]:
    """Pairs (i < j) of the distinct `rows`, each the skeletons of one text or two, that share most
    of their shingles."""
    if len(rows) < 2:
        return []
    n_parts = len(rows[0])
    lengths = np.array([length_in_shingles(text) for row in rows for text in row], dtype=np.float64)
    shingles, kept = _without_frames(
        hashed_shingles([text for row in rows for text in row]), lengths
    )
    lengths = lengths * kept
    heads, found = list(range(len(rows))), []
    sets: dict[int, set[int]] = {}
    for i, j in _candidates(band_keys(shingles, shingles.starts[::n_parts])):
        if _head(heads, i) == _head(heads, j):
            continue  # connected already
        for one, other in ((i * n_parts + part, j * n_parts + part) for part in range(n_parts)):
            for text in (one, other):
                if text not in sets:
                    sets[text] = shingles.of(text)
            shorter = min(lengths[one], lengths[other])
            if not _are_similar(sets[one], sets[other], shorter):
                break
        else:
            heads[_head(heads, j)] = _head(heads, i)
            found.append((i, j))
    return found


def _without_frames(shingles: Shingles, lengths: np.ndarray) -> tuple[Shingles, np.ndarray]:
    """`shingles` of T texts without what very many texts have in common, and the share (T,) of each
    text that is left. A text of which too little would be left, by its `lengths` (T,), keeps
    all."""
    _, index, counts = np.unique(shingles.hashes, return_inverse=True, return_counts=True)
    is_frame = (counts > max(FRAME_SHARE * len(lengths), FRAME_ROWS))[index]
    text_of = shingles.text_of
    left = np.bincount(text_of, ~is_frame, len(lengths)) / np.bincount(text_of)
    is_cut = left * lengths >= LEAST_LENGTH
    return shingles.without(is_frame & is_cut[text_of]), np.where(is_cut, left, 1.0)


def _candidates(bands: np.ndarray) -> list[tuple[int, int]]:
    """Pairs (i < j) of rows, ascending, that have a key in common in one of the `bands` (b, n). Of
    the rows with one key, each is paired with the one before it and with the first one."""
    found: set[tuple[int, int]] = set()
    for band in bands:
        order = np.argsort(band, kind="stable")
        is_same = np.concatenate([[False], band[order[1:]] == band[order[:-1]]])
        at = np.flatnonzero(is_same)
        first = np.maximum.accumulate(np.where(is_same, 0, np.arange(len(order))))
        for others in (order[at - 1], order[first[at]]):
            found.update(zip(others.tolist(), order[at].tolist(), strict=True))
    return sorted(found)


def _are_similar(one: set[int], other: set[int], shorter: float) -> bool:
    """Whether two sets of shingles are those of near-copies; `shorter` is the length of the shorter
    text in shingles. Equal sets are."""
    if one == other:
        return True
    if shorter < LEAST_LENGTH:
        return False
    least = LEAST_SHARED_LONG if shorter >= LONG else LEAST_SHARED
    n_shared = len(one & other)
    return n_shared >= least * (len(one) + len(other) - n_shared)


def _head(heads: list[int], at: int) -> int:
    """The head of the group of `at`, in a forest of parents `heads`."""
    while heads[at] != at:
        heads[at] = heads[heads[at]]
        at = heads[at]
    return at
