"""Scripts that put no space between words, and how their texts are cut: into overlapping runs of
characters."""

import re
from collections.abc import Iterator, Sequence

NGRAMS = (1, 2, 3)
"""Lengths of the runs of characters that stand for words. Japanese and Chinese words are mostly of
one to three characters; of Thai and its like these are syllables and parts of them."""
UNSPACED_SHARE = 0.1
"""Of so many texts, and more, that are mostly in such scripts, the characters are cut."""

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
    """Whether a tenth of the texts or more put no space between words. Below that share texts are
    left to their spaces, whatever single characters they hold."""
    n_texts = sum(1 for text in texts if text.strip())
    return sum(map(_is_unspaced, texts)) >= UNSPACED_SHARE * max(n_texts, 1)


def _is_unspaced(text: str) -> bool:
    """Whether there is more of such a script than of words with spaces, two characters taken for a
    word."""
    n_unspaced = sum(map(len, _RUN.findall(text)))
    return n_unspaced > 2 * len(_WORD.findall(_RUN.sub(" ", text))) if n_unspaced else False


def character_ngrams(text: str) -> Iterator[str]:
    """Those of every run of such a script in a text."""
    for run in _RUN.findall(text):
        for n in NGRAMS:
            yield from (run[start : start + n] for start in range(len(run) - n + 1))


def without_unspaced(text: str) -> str:
    """What is left to be cut at spaces."""
    return _RUN.sub(" ", text)
