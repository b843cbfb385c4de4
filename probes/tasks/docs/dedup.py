"""Finds exact and near duplicates among texts, by MinHash over word shingles (Broder 1997)."""

import itertools
import re
import zlib
from collections.abc import Sequence

import numpy as np

N_HASHES = 64
N_BANDS = 16
_WORD = re.compile(r"\w+")


def kept_rows(texts: Sequence[str], max_similarity: float = 0.7) -> np.ndarray:
    """(k,) int64, increasing: the rows that are neither an exact nor a near duplicate of an earlier
    one.

    Two texts are near duplicates when the estimated Jaccard similarity of their sets of 2-word
    shingles (case and digits ignored) exceeds `max_similarity`. The first one stays. A copy of a
    copy is removed too. The same texts always give the same rows. It takes about 0.1 ms a text."""
    if not texts:
        return np.empty(0, np.int64)
    signatures = minhash(texts)  # (n, N_HASHES) uint32
    is_duplicate = np.zeros(len(texts), bool)
    rows_per_band = N_HASHES // N_BANDS
    for band in range(N_BANDS):
        keys = np.ascontiguousarray(
            signatures[:, band * rows_per_band : (band + 1) * rows_per_band]
        )
        _, first, group = np.unique(
            keys.view(f"V{keys.shape[1] * 4}").ravel(), return_index=True, return_inverse=True
        )
        earliest = first[group]  # (n,) the first row of each row's bucket
        similarity = (signatures == signatures[earliest]).mean(axis=1)
        is_duplicate |= (earliest < np.arange(len(texts))) & (similarity > max_similarity)
    return np.flatnonzero(~is_duplicate)


def minhash(texts: Sequence[str]) -> np.ndarray:
    """(n, N_HASHES) uint32 signatures; the share of equal entries of two rows estimates the Jaccard
    similarity."""
    rng = np.random.default_rng(20240501)
    multipliers = rng.integers(0, 1 << 64, N_HASHES, dtype=np.uint64) | np.uint64(1)
    offsets = rng.integers(0, 1 << 64, N_HASHES, dtype=np.uint64)
    signatures = np.empty((len(texts), N_HASHES), np.uint32)
    for row, text in enumerate(texts):
        hashed = (
            _shingles(text)[:, None] * multipliers + offsets
        )  # (shingles, N_HASHES), modulo 2^64: multiply-shift hashing
        signatures[row] = hashed.min(axis=0) >> np.uint64(32)
    return signatures


def _shingles(text: str) -> np.ndarray:
    """(s,) uint64 below 2^32: hashes of the text's 2-word shingles, at least one."""
    words = [word for word in _WORD.findall(text.lower()) if not word.isdigit()]
    pairs = {f"{a} {b}" for a, b in itertools.pairwise(words)} or {text.strip().lower()}
    return np.fromiter(
        (zlib.crc32(pair.encode("utf-8", "surrogatepass")) for pair in pairs), np.uint64, len(pairs)
    )
