"""Values in words: how the pages write a rate, a count, a duration, an interval, a name.

A number may be missing (None, or not finite): then a dash stands in its place.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import NamedTuple, TypeGuard

from meta.metric import NBSP, Metric
from meta.schema import FinetuneGain, ViewName

BLANK = "–"


def rate(value: float | None, metric: Metric = Metric.ACCURACY) -> str:
    """A value of the metric: `84.2 %`, or three decimals for a metric that is not a rate."""
    if not _is_number(value):
        return BLANK
    return metric.show(value)


def nats(value: float | None) -> str:
    """A loss in nats: three decimals."""
    return Metric.LOG_LOSS.show(value) if _is_number(value) else BLANK


def percent(value: float | None) -> str:
    """A probability or share: `61 %`; what is not quite 0 or 1 does not read as if it were."""
    if not _is_number(value):
        return BLANK
    if 0 < value < 0.01:
        return f"under 1{NBSP}%"
    return f"over 99{NBSP}%" if 0.99 < value < 1 else f"{100 * value:.0f}{NBSP}%"


def between(low: float | None, high: float | None, metric: Metric = Metric.ACCURACY) -> str:
    """An interval of the metric: `71.0 to 79.0 %`."""
    if not (_is_number(low) and _is_number(high)):
        return BLANK
    return (
        f"{100 * low:.1f} to {100 * high:.1f}{NBSP}%"
        if metric.is_rate
        else f"{low:.3f} to {high:.3f}"
    )


def count(value: float | None) -> str:
    """A count with thousands separated: `12,800`."""
    return f"{value:,.0f}" if _is_number(value) else BLANK


def points(value: float | None) -> str:
    """Points, hundredths of the metric: `1.3`."""
    return f"{value:.1f}" if _is_number(value) else BLANK


class Hundredths(NamedTuple):
    """Small differences of a metric in words."""

    one: str
    half: str
    one_to_two: str


def hundredths(metric: Metric) -> Hundredths:
    """Hundredths of the metric in its unit: points of a rate, nats of a loss."""
    if metric.is_rate:
        return Hundredths("a point", "half a point", "one to two points")
    return Hundredths("0.01 nats", "0.005 nats", "0.01 to 0.02 nats")


def gain_words(gain: FinetuneGain) -> str:
    """A difference of a rate with its interval: `+2.1 points (90 % interval: −5.0 to +6.3)`."""
    low, middle, high = (
        f"{100 * value:+.1f}".replace("-", "−") for value in (gain.q05, gain.q50, gain.q95)
    )
    beyond = "; beyond what was published" if gain.extrapolated else ""
    return f"{middle} points (90{NBSP}% interval: {low} to {high}{beyond})"


def parameters(value: float | None) -> str:
    """A number of parameters: `22.7 million`, `850 thousand`."""
    if not _is_number(value):
        return BLANK
    if value >= 1e6:
        return f"{value / 1e6:.1f} million" if value < 1e8 else f"{value / 1e6:.0f} million"
    return f"{value / 1e3:.0f} thousand" if value >= 1e3 else f"{value:.0f}"


def duration(seconds: float | None) -> str:
    """Wall-clock time: `0.4 s`, `48 s`, `3 min 20 s`, `2 h 05 min`."""
    if not _is_number(seconds):
        return BLANK
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def number(value: object) -> str:
    """A number: three significant digits, whole numbers whole. Everything else as it is."""
    if isinstance(value, bool) or not _is_number(value):
        return str(value)
    if float(value).is_integer() and abs(value) < 1e6:
        return f"{value:,.0f}"
    return re.sub(r"e([-+])0*", lambda match: "e" + match.group(1).replace("+", ""), f"{value:.3g}")


def setting(value: object) -> str:
    """A setting in a table: a number as `number` writes it, `yes` or `no` for a truth value."""
    return ("yes" if value else "no") if isinstance(value, bool) else number(value)


def view_words(view: ViewName) -> str:
    """`layer 6, mean pooling`."""
    return f"layer {view.layer}, {view.pooling} pooling"


def space_words(encoder: str, view: ViewName, names: Mapping[str, str]) -> str:
    """An embedding space in full: `hf:all-MiniLM-L6-v2, layer 6, mean pooling`."""
    return f"{display_name(encoder, names)}, {view_words(view)}"


def display_name(ref: str, names: Mapping[str, str]) -> str:
    """How the page calls the encoder `ref`: its name in `names`, or else the reference, in which a
    long path is cut to its last part."""
    if ref in names:
        return names[ref]
    family, separator, place = ref.partition(":")
    if separator and place.count("/") > 1:
        return f"{family}:{place.rstrip('/').rsplit('/', 1)[-1]}"
    return ref


def names_apart(refs: Iterable[str]) -> dict[str, str]:
    """Names for the encoders among `refs` that `display_name` would call alike: the reference in
    full."""
    listed = list(dict.fromkeys(refs))
    called = Counter(display_name(ref, {}) for ref in listed)
    return {ref: ref for ref in listed if called[display_name(ref, {})] > 1}


def rows_between(low: float | None, high: float | None, searched_up_to: int) -> str:
    """An interval of row counts. A missing end lies beyond `searched_up_to`, where nobody looked:
    `more than 3,200`."""
    beyond = f"more than {count(searched_up_to)}"
    if not _is_number(low):
        return beyond
    return f"{count(low)} to {count(high) if _is_number(high) else beyond}"


def printable(text: str) -> str:
    """A text without the characters that HTML does not allow (control characters, lone
    surrogates)."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]", "", text)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and isfinite(value)
