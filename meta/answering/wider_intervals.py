"""Where the answers hold: what of a sample the metamodel has not learnt from, and how much wider
the intervals become for it.

The metamodel itself widens for numbers outside its range (rows, classes, width of the space); here
is what it cannot see in its features: classes with a single row, and text that is not English.
"""

import re
from collections.abc import Sequence

import numpy as np

from meta.answering.q2_prediction_powered import MEAN_METRICS
from meta.metamodel.conformal import stretch
from meta.metamodel.quantile_curves import bounded
from meta.metric import MEDIAN, Metric

LANGUAGE_FACTOR = 1.5
"""Stretch for text in a language that no task of the metamodel was written in."""
MAX_NAMED = 5
"""Classes that a warning names."""
MIN_WORDS = 100
"""Fewer words than this say nothing of the language."""
MIN_FUNCTION_WORDS = 0.04
MAX_FOREIGN_LETTERS = 0.2
_FUNCTION_WORDS = frozenset(
    re.findall(
        r"\w+",
        "the of and to a in is that for it on with as was be this are by or an at from not have i"
        " you he she we they but his her which can if will has my your me do so what all no there"
        " their its how when who would one about up out more",
    )
)
_WORD = re.compile(r"[^\W\d_]+")


def looks_english(texts: Sequence[str]) -> bool:
    """Whether texts look like English running text (function words, Latin letters); True where
    there is too little to tell."""
    words = [word.casefold() for text in texts[:1000] for word in _WORD.findall(text[:1000])]
    if len(words) < MIN_WORDS:
        return True
    n_letters = sum(len(word) for word in words)
    foreign = sum(1 for word in words for letter in word if not letter.isascii()) / n_letters
    return (
        foreign <= MAX_FOREIGN_LETTERS
        and sum(word in _FUNCTION_WORDS for word in words) / len(words) >= MIN_FUNCTION_WORDS
    )


def interval_factor(
    labels: np.ndarray, label_names: Sequence[str], texts: Sequence[str], metric: Metric
) -> tuple[float, list[str]]:
    """(factor >= 1, warnings): how much the intervals of this sample are stretched beyond the
    metamodel's own, and why.

    `labels` (n,) int64. One factor for all: 1 + the share of classes with a single row, times
    `LANGUAGE_FACTOR` for other languages.
    """
    factor, warnings = 1.0, []
    single = np.flatnonzero(np.bincount(labels, minlength=len(label_names)) == 1)
    if len(single):
        factor += len(single) / len(label_names)
        named = ", ".join(f"'{_short(label_names[i])}'" for i in single[:MAX_NAMED])
        more = f" and {len(single) - MAX_NAMED} more" if len(single) > MAX_NAMED else ""
        warnings.append(
            f"a single labelled row in class {named}{more}: nothing measures how well it is told"
            f" apart, so all intervals are made {factor:.2f} times as wide; label a second row of"
            " each such class"
        )
    if not looks_english(texts):
        total = (
            ""
            if factor == 1.0
            else f" ({factor * LANGUAGE_FACTOR:.2f} times with the factor of {factor:.2f} above)"
        )
        factor *= LANGUAGE_FACTOR
        check = (
            ", and label some evaluation rows for --eval-labels" if metric in MEAN_METRICS else ""
        )
        warnings.append(
            "the texts do not look like English, all that the metamodel has seen, so all intervals"
            f" are made {LANGUAGE_FACTOR:g} times as wide{total}; compare multilingual"
            f" encoders{check}"
        )
    return factor, warnings


def widen(curve: np.ndarray, factor: float, metric: Metric) -> np.ndarray:
    """Quantiles (H, 5) over ascending horizons, stretched about the median by `factor`; still
    sorted and monotone, on the wide side where the two disagree."""
    if factor == 1.0:
        return curve
    stretched = stretch(
        metric.to_scale(curve), np.full(curve.shape[1], factor)
    )  # where it was learnt
    wide = metric.from_scale(bounded(stretched, metric))
    wide[:, :MEDIAN] = np.minimum(wide[:, :MEDIAN], curve[:, :MEDIAN])
    wide[:, MEDIAN:] = np.maximum(wide[:, MEDIAN:], curve[:, MEDIAN:])
    wide[:, MEDIAN] = curve[:, MEDIAN]
    for column in range(wide.shape[1]):
        rising = metric.is_rate
        if column == MEDIAN:
            continue
        low_side = column < MEDIAN
        values = wide[:, column]
        if (
            low_side == rising
        ):  # the end that a wider interval pulls back: no higher (lower) than what comes later
            values = (
                np.minimum.accumulate(values[::-1])[::-1]
                if rising
                else np.maximum.accumulate(values[::-1])[::-1]
            )
        else:
            values = np.maximum.accumulate(values) if rising else np.minimum.accumulate(values)
        wide[:, column] = values
    return wide


def _short(text: str, n_chars: int = 40) -> str:
    return text if len(text) <= n_chars else text[: n_chars - 1] + "…"
