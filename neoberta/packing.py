"""Packing: documents are put into rows of a fixed length with little padding. No document is cut
that fits into a row.

A document that is longer than a row is cut into pieces. Every piece is [CLS] tokens [SEP]. The
longest piece comes first, and each goes into the fullest row that still has room for it (best fit).
That fills 95 to 99 % of the positions.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from neoberta.tokenizer import CLS_ID, PAD_ID, SEP_ID

WINDOW = 8192
"""Pieces that are packed together. A row holds documents of one window only, so that memory stays
bounded."""


def cut_into_pieces(token_ids: Sequence[int], max_length: int) -> list[list[int]]:
    """The pieces of a document: [CLS] tokens [SEP], of at most `max_length` tokens each. An empty
    document has none."""
    body = max_length - 2
    return [
        [CLS_ID, *token_ids[start : start + body], SEP_ID]
        for start in range(0, len(token_ids), body)
    ]


def best_fit(lengths: Sequence[int], max_length: int) -> list[list[int]]:
    """Which pieces share a row. Each row is a list of indices into `lengths`, whose sum is at most
    `max_length`."""
    rows: list[list[int]] = []
    # by_room[k]: the rows that have room for exactly k more tokens
    by_room: list[list[int]] = [[] for _ in range(max_length + 1)]
    for piece in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        length = lengths[piece]
        room = next((room for room in range(length, max_length + 1) if by_room[room]), None)
        if room is None:
            row_idx, room = len(rows), max_length
            rows.append([])
        else:
            row_idx = by_room[room].pop()
        rows[row_idx].append(piece)
        by_room[room - length].append(row_idx)
    return rows


def pack(
    documents: Iterable[Sequence[int]], max_length: int
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Windows of packed rows: `(tokens (R, max_length) int32, lengths)`. `lengths[r]` (P,) int32
    holds the lengths of the pieces of row r, in order. Everything after them is padding."""
    window: list[list[int]] = []
    for document in documents:
        window.extend(cut_into_pieces(document, max_length))
        if len(window) >= WINDOW:
            yield _pack_window(window, max_length)
            window = []
    if window:
        yield _pack_window(window, max_length)


def _pack_window(pieces: list[list[int]], max_length: int) -> tuple[np.ndarray, list[np.ndarray]]:
    rows = best_fit([len(piece) for piece in pieces], max_length)
    tokens = np.full((len(rows), max_length), PAD_ID, dtype=np.int32)
    lengths = []
    for row_idx, row in enumerate(rows):
        ids = [token for piece in row for token in pieces[piece]]
        tokens[row_idx, : len(ids)] = ids
        lengths.append(np.array([len(pieces[piece]) for piece in row], dtype=np.int32))
    return tokens, lengths
