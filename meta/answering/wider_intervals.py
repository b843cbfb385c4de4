"""Wider intervals for samples of a kind that the metamodel has not learnt from.

The metamodel itself makes its intervals wider where a number lies outside its range (rows, classes,
dimensions of the space). Two things do not show in its features, and are treated here: classes with
a single row, and texts that are not in English. What is measured beside the metamodel, such as how
far rows of a group are right or wrong together, adds its own noise (`add_noise`).
"""

import re
from collections.abc import Sequence

import numpy as np

from meta.answering.q2_prediction_powered import MEAN_METRICS
from meta.metamodel.conformal import stretch
from meta.metamodel.quantile_curves import Z_SCORES, bounded
from meta.metric import MEDIAN, Metric

LANGUAGE_FACTOR = 1.5
"""Intervals are stretched by this factor where the texts are not in English: no task of the
metamodel is."""
LEAST_DESIGN_EFFECT = 1.1
"""Intervals are left as they are where rows that belong together are hardly right together."""
MAX_NAMED = 5
"""A warning names at most this many classes."""
MIN_WORDS = 100
"""Fewer words do not tell the language."""
MIN_FUNCTION_WORDS = 0.04
"""English text has at least this share of function words."""
MAX_FOREIGN_LETTERS = 0.2
"""English text has at most this share of letters outside ASCII."""
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
    """Whether `texts` look like English prose, by their function words and letters. True where
    there are fewer than `MIN_WORDS` words."""
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
    """The factor (1 or more) by which all intervals of the metamodel are stretched for this sample,
    and warnings that say why.

    The factor is 1 plus the share of classes with a single row. It is multiplied by
    `LANGUAGE_FACTOR` where the texts are not in English. `labels` (n,) int64 are indices into
    `label_names`.
    """
    factor, warnings = 1.0, []
    single = np.flatnonzero(np.bincount(labels, minlength=len(label_names)) == 1)
    if len(single):
        factor += len(single) / len(label_names)
        named = ", ".join(f"'{short_name(label_names[i])}'" for i in single[:MAX_NAMED])
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


def add_noise(curve: np.ndarray, deviation: float, metric: Metric) -> np.ndarray:
    """The quantiles `curve` (H, 5) with the noise of one more independent error, which has the
    standard `deviation` on the scale of forecasts (`Metric.to_scale`). Medians stay."""
    scaled = metric.to_scale(curve)
    about = scaled - scaled[:, [MEDIAN]]
    spread = np.abs(scaled[:, [-1]] - scaled[:, [0]]) / (Z_SCORES[-1] - Z_SCORES[0])
    wider = about * np.sqrt(1 + (deviation / np.maximum(spread, 1e-9)) ** 2)
    noisy = metric.from_scale(bounded(scaled[:, [MEDIAN]] + wider, metric))
    # the two sides of an interval share one spread, so an end could get worse with the horizon
    never_worse = np.maximum.accumulate if metric.is_rate else np.minimum.accumulate
    return np.asarray(never_worse(noisy, axis=0))


def group_noise(
    design_effects: Sequence[float], n_rows: int, metric: Metric
) -> tuple[float, list[str]]:
    """The standard deviation that is added because rows of a group are right or wrong together
    (`add_noise`), and a warning. `design_effects` are those of the spaces
    (`probes.features.row_groups.design_effect`), on `n_rows` labelled rows."""
    effect = float(np.median(design_effects))
    if effect < LEAST_DESIGN_EFFECT:
        return 0.0, []
    variance = (0.25 if metric.is_rate else 1.0) * (effect - 1) / n_rows
    return float(np.sqrt(variance)), [
        f"rows of a group are right or wrong together: {n_rows} rows tell as much about the"
        f" accuracy as {n_rows / effect:.0f} separate ones, and all intervals are wider for it"
    ]


def widen(curve: np.ndarray, factor: float, metric: Metric) -> np.ndarray:
    """The quantiles `curve` (H, 5) over ascending horizons, stretched about the median by `factor`.

    The result is sorted in each row, and no quantile gets worse with the horizon. Where that and
    the stretch disagree, the wider interval is taken.
    """
    if factor == 1.0:
        return curve
    # on the scale on which the quantiles were learnt
    stretched = stretch(metric.to_scale(curve), np.full(curve.shape[1], factor))
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
        if low_side == rising:
            # The stretch moves this end to the worse side. It must not be better than at a later
            # horizon.
            values = (
                np.minimum.accumulate(values[::-1])[::-1]
                if rising
                else np.maximum.accumulate(values[::-1])[::-1]
            )
        else:
            values = np.maximum.accumulate(values) if rising else np.minimum.accumulate(values)
        wide[:, column] = values
    return wide


def short_name(text: str, n_chars: int = 40) -> str:
    """The class name `text`, cut to `n_chars` characters."""
    return text if len(text) <= n_chars else text[: n_chars - 1] + "…"
