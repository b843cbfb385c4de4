"""Made-up words, for texts that must differ by more than a number: those that do not are
near-copies."""

import random

SYLLABLES = ("ba", "de", "fi", "go", "lu", "ma", "ne", "pi", "ro", "su", "ta", "ve", "wi", "zo")


def made_words(number: int, n_words: int = 4) -> str:
    """`n_words` words that belong to `number`."""
    drawn = random.Random(number)
    return " ".join("".join(drawn.choices(SYLLABLES, k=3)) for _ in range(n_words))
