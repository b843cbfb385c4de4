"""Texts in scripts that put no space between words. They are cut into overlapping runs of
characters."""

import re
from collections.abc import Iterator, Sequence

NGRAMS = (1, 2, 3)
"""Lengths of the runs of characters that stand for words. Japanese and Chinese words are mostly of
one to three characters; of Thai and its like these are syllables and parts of them."""
UNSPACED_SHARE = 0.1
"""Texts are cut into characters where at least this share of them is mostly in such scripts."""

_SCRIPTS = (
    *("\u3005-\u3007", "\u3040-\u30ff", "\u31f0-\u31ff", "\uff66-\uff9f"),  # kana and marks
    *("\u3400-\u4dbf", "\u4e00-\u9fff", "\uf900-\ufaff", "\U00020000-\U000323af"),  # Han
    *("\u0e00-\u0e7f", "\u0e80-\u0eff"),  # Thai, Lao
    *("\u1000-\u109f", "\uaa60-\uaa7f", "\ua9e0-\ua9ff"),  # Myanmar
    *("\u1780-\u17ff", "\u1980-\u19df", "\u1a20-\u1aaf"),  # Khmer, New Tai Lue, Tai Tham
    *("\u1b00-\u1b7f", "\ua980-\ua9df"),  # Balinese, Javanese
)
_WORD = re.compile(r"[^\W\d_]+")
_RUN = re.compile(f"[{''.join(_SCRIPTS)}]+")


def are_unspaced(texts: Sequence[str]) -> bool:
    """Whether at least a tenth of the texts put no space between words. With fewer, texts are cut
    only at spaces."""
    n_texts = sum(1 for text in texts if text.strip())
    return sum(map(_is_unspaced, texts)) >= UNSPACED_SHARE * max(n_texts, 1)


def _is_unspaced(text: str) -> bool:
    """Whether a text is mostly in such a script. Two of its characters count as much as one word
    between spaces."""
    n_unspaced = sum(map(len, _RUN.findall(text)))
    return n_unspaced > 2 * len(_WORD.findall(_RUN.sub(" ", text))) if n_unspaced else False


def character_ngrams(text: str) -> Iterator[str]:
    """The runs of one to three characters of every part of a text that is in such a script."""
    for run in _RUN.findall(text):
        for n in NGRAMS:
            yield from (run[start : start + n] for start in range(len(run) - n + 1))


def without_unspaced(text: str) -> str:
    """A text without its parts in such scripts. The rest is cut at spaces."""
    return _RUN.sub(" ", text)
