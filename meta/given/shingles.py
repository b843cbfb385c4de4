"""Texts as sets of shingles (overlapping runs of characters), after what differs between copies of
one text is taken out. Nothing here knows a language."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHINGLE, DENSE_SHINGLE = 5, 2
"""Characters of a shingle. Where a character stands for a syllable or a word (Chinese, Japanese,
Korean), two are enough."""
MAX_START, MAX_END = 400, 200
"""Of a longer text this many characters are read at its start and at its end."""
BANDS, BAND_ROWS = 16, 4
"""Two texts are compared when all hashes of one of the bands agree. With this many bands of so many
hashes, two texts that share 80 % of their shingles are missed once in 5,000 times, 70 % once in
80."""

_DENSE_CHARACTER = re.compile("[\u3005-\u30ff\u3400-\u9fff\uac00-\ud7a3\U00020000-\U000323af]")
_RETWEET = re.compile(r"^\s*rt\s*@\w+\s*:?\s*")
_LINK = re.compile(r"(?:https?://|www\.)\S+")
_NAME = re.compile(r"(?<!\w)@\w+")
_IDENTIFIER = re.compile(r"[a-z]*\d[a-z\d]*(?:[\s.,:/+-]*[a-z]*\d[a-z\d]*)*")
"""Numbers, dates, times and identifiers: runs of digits and Latin letters that hold a digit."""


def skeleton(text: str) -> str:
    """What copies of one text share: `text` without case, links, @names and the mark of a retweet,
    and with 0 for numbers, dates and identifiers that hold a digit."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = _NAME.sub(" ", _LINK.sub(" ", _RETWEET.sub("", plain)))
    plain = " ".join(_IDENTIFIER.sub("0", plain).split())
    return plain if len(plain) <= MAX_START + MAX_END else plain[:MAX_START] + plain[-MAX_END:]


def length_in_shingles(text: str) -> int:
    """How much a skeleton says, in shingles of a text that spells words with letters. A character
    that stands for a syllable or a word counts twice."""
    return max(len(text) - SHINGLE + 1, 0) + len(_DENSE_CHARACTER.findall(text))


@dataclass(frozen=True)
class Shingles:
    """The shingles of T skeletons, one text after the other, as hashes."""

    hashes: np.ndarray
    """(S,) uint64."""
    starts: np.ndarray
    """(T,) int64 where each text begins."""

    def of(self, text: int) -> set[int]:
        """The distinct hashes of one text."""
        end = self.starts[text + 1] if text + 1 < len(self.starts) else len(self.hashes)
        return set(self.hashes[self.starts[text] : end].tolist())

    def without(self, dropped: np.ndarray) -> "Shingles":
        """Without the shingles where `dropped` (S,) bool; every text must keep one."""
        before = np.concatenate([[0], np.cumsum(~dropped)])
        return Shingles(self.hashes[~dropped], before[self.starts])

    @property
    def text_of(self) -> np.ndarray:
        """(S,) int64 the text of each shingle."""
        return np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.hashes)))


def hashed_shingles(texts: Sequence[str]) -> Shingles:
    """The shingles of skeletons; a text shorter than a shingle is one, an empty one counts as a
    space."""
    filled = [text or " " for text in texts]
    lengths = np.array([len(text) for text in filled], dtype=np.int64)
    ends = np.cumsum(lengths)
    starts = ends - lengths
    codes = np.frombuffer("".join(filled).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    length = np.where(_is_dense(codes), DENSE_SHINGLE, SHINGLE)
    hashes = np.zeros(len(codes), dtype=np.uint64)
    for at in range(SHINGLE):
        following = np.zeros(len(codes), dtype=np.uint64)
        following[: len(codes) - at] = codes[at:]
        hashes = np.where(at < length, _mixed(hashes ^ following), hashes)
    is_cut = np.repeat(ends, lengths) - np.arange(len(codes)) < length
    is_cut[starts] = False
    return Shingles(hashes, starts).without(is_cut)


def band_keys(shingles: Shingles, firsts: np.ndarray) -> np.ndarray:
    """(BANDS, n) uint64 MinHash signatures of n rows; `firsts` (n,) is where the shingles of each
    row begin. In each band, rows with equal keys probably share most of their shingles. Cost: the
    number of shingles times BANDS * BAND_ROWS."""
    keys = np.zeros((BANDS, len(firsts)), dtype=np.uint64)
    factors = np.random.default_rng(0).integers(1, 2**63, BANDS * BAND_ROWS, dtype=np.uint64)
    for number, factor in enumerate(factors):
        values = (shingles.hashes * (factor | np.uint64(1))) >> np.uint64(32)
        least = np.minimum.reduceat(values, firsts)
        keys[number // BAND_ROWS] = _mixed(keys[number // BAND_ROWS] ^ least)
    return keys


def _mixed(values: np.ndarray) -> np.ndarray:
    """`values` (uint64) with every bit spread over all others."""
    values = values * np.uint64(0x9E3779B97F4A7C15)
    return values ^ (values >> np.uint64(29))


def _is_dense(codes: np.ndarray) -> np.ndarray:
    """Whether each of the characters `codes` matches `_DENSE_CHARACTER`."""
    return (
        ((codes >= 0x3005) & (codes <= 0x30FF))
        | ((codes >= 0x3400) & (codes <= 0x9FFF))
        | ((codes >= 0xAC00) & (codes <= 0xD7A3))
        | ((codes >= 0x20000) & (codes <= 0x323AF))
    )
