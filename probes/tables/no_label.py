"""What people and programs write where a row has no label.

`nan`, `N/A`, `null` and the like are programs' words for nothing. `None` and `NA` are that too,
unless they look like a class: written as all the others are (all in capitals, all with a first
capital, all in small letters), and no rarer than the rarest of them, as the `NONE` beside `FAVOR`
and `AGAINST` of a stance task. -1 is no label beside three or more classes 0, 1, 2, ...; beside 0
and 1 alone it may be a class (negative, neutral, positive), and is taken for one. A label that the
user wants kept is always a class.
"""

from collections.abc import Collection, Mapping

NOTHING = frozenset({"nan", "-nan", "n/a", "#n/a", "#na", "<na>", "null", "<null>", "\\n", "nat"})
WORDS = frozenset({"none", "na"})
NUMBERS = frozenset({"-1", "-100"})
"""Of Hugging Face data sets and Snorkel, and of PyTorch's losses."""
CODES = NOTHING | WORDS | NUMBERS
MIN_NUMBERED = 3


def is_code(label: str) -> bool:
    """Whether the label, cleaned, is one of the codes."""
    return label.casefold() in CODES


def codes_among(counts: Mapping[str, int], keep: Collection[str]) -> tuple[set[str], set[str]]:
    """(labels that mean no label, labels that could, but count as a class) of the labels that
    labelled rows have, with the rows of each. `keep`: labels that are classes, in small letters."""
    codes = {label for label in counts if is_code(label)}
    others = {label: n for label, n in counts.items() if label not in codes}
    unlabelled: set[str] = set()
    doubtful: set[str] = set()
    for code in codes:
        if code.casefold() in keep:
            continue
        (doubtful if _is_class(code, counts[code], others) else unlabelled).add(code)
    return unlabelled, doubtful


def _is_class(code: str, n_rows: int, others: Mapping[str, int]) -> bool:
    key = code.casefold()
    if not others or key in NOTHING:
        return False
    if key in WORDS:
        is_alike = all(_style(other) == _style(code) for other in others)
        return is_alike and n_rows >= min(others.values())
    are_numbered = all(other.isdecimal() for other in others)
    return not (are_numbered and len(others) >= MIN_NUMBERED) and _are_whole_numbers(others)


def _are_whole_numbers(labels: Collection[str]) -> bool:
    return all(label.lstrip("+-").isdecimal() for label in labels)


def _style(label: str) -> str:
    """How the letters of a label are written; empty where it has none."""
    if label.isupper():
        return "capitals"
    if label.islower():
        return "small letters"
    return "first capital" if label[:1].isupper() else ""
