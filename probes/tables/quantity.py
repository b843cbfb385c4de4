"""Labels that are a quantity: a score, a price, an age. What is forecast here are classes.

A few numbers with fractions may be classes (stars in half steps). Many are none, and are refused.
Many whole numbers may be the numbers of classes, and are only told, unless they are 0, 1, 2, ... or
1, 2, 3, ... without a gap: so classes are numbered, and ages are not.
"""

import re
from collections.abc import Collection, Mapping

from probes.tables.table import some

MAX_FRACTIONS = 25
"""Different numbers, some with fractions, that may still be classes."""
MIN_FRACTIONS, MAX_SHARE = 5, 0.4
"""Fewer are no classes either, where there are so many of them and more than this share of the
rows."""
MANY_NUMBERS = 30
"""Different whole numbers from which on they are told."""
MAX_NUMBERED = 200
"""Classes that are numbered without a gap, at most."""
_NUMBER = re.compile(r"[+-]?[0-9]*[.,]?[0-9]+(e[+-]?[0-9]+)?", re.IGNORECASE)


def quantity(counts: Mapping[str, int]) -> str | None:
    """Why these labels (label -> rows) can only be a quantity. None where they can be classes."""
    labels, n_rows = sorted(counts), sum(counts.values())
    if not _have_fractions(labels):
        return None
    is_a_few = len(labels) < MIN_FRACTIONS or len(labels) <= MAX_SHARE * n_rows
    if len(labels) > MAX_FRACTIONS or not is_a_few:
        return (
            f"{len(labels)} different numbers with fractions ({some(labels, 2)}) are a quantity,"
            " not classes; group them into a few classes, or choose another column with"
            " --label-column"
        )
    return None


def quantity_note(counts: Mapping[str, int]) -> str | None:
    """What to say of labels that may be a quantity. None where they do not look so."""
    labels = list(counts)
    if _have_fractions(labels):
        return f"labels are {len(labels)} numbers with fractions: each counts as a class"
    if len(labels) < MANY_NUMBERS or not all(label.lstrip("+-").isdecimal() for label in labels):
        return None
    numbers = sorted(map(int, labels))
    is_numbered = numbers[0] in (0, 1) and numbers[-1] - numbers[0] + 1 == len(numbers)
    if is_numbered and len(numbers) <= MAX_NUMBERED:
        return None
    return (
        f"labels are {len(labels)} different whole numbers ({numbers[0]} to {numbers[-1]}), and"
        " each counts as a class: where they are a quantity, group them into a few classes"
    )


def _have_fractions(labels: Collection[str]) -> bool:
    """Whether all are numbers and some have fractions; with a decimal comma as well."""
    are_numbers = all(map(_NUMBER.fullmatch, labels))
    return are_numbers and any(float(label.replace(",", ".")) % 1 for label in labels)
