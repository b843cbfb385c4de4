"""When two cells spell one label: Unicode forms, spaces, characters that nobody sees, whole numbers
written as floats, truth values, and letters that differ in case alone."""

import re
import unicodedata

_WHOLE = re.compile(r"([+-]?)(0|[1-9][0-9]*)(\.0*)?")
_FRACTION = re.compile(r"[+-]?[0-9]*\.[0-9]*[1-9][0-9]*")
_JOINERS = "\u200c\u200d"
"""Invisible too, but they shape words of some scripts, and emoji: names keep them."""


def clean(label: str) -> str:
    """The label as it is shown: without outer space, repeated inner space and invisible
    characters; empty where nothing else is in it."""
    seen = "".join(char for char in label if char in _JOINERS or not is_invisible(char))
    return " ".join(seen.split())


def label_key(label: str, *, keep_case: bool = False) -> str:
    """Equal for two spellings of one label. `keep_case`: not for those that differ in case."""
    form = unicodedata.normalize("NFKC", label)
    key = " ".join("".join(char for char in form if not is_invisible(char)).split())
    whole = _WHOLE.fullmatch(key)
    if whole:
        return whole_number(key)
    if not keep_case or key.casefold() in ("true", "false"):
        return key.casefold()
    return key


def whole_number(label: str) -> str:
    """`3` of `3`, `3.0` and `+3`; any other label unchanged."""
    whole = _WHOLE.fullmatch(label)
    if not whole:
        return label
    sign = "-" if whole[1] == "-" and whole[2] != "0" else ""
    return sign + whole[2]


def is_fraction(label: str) -> bool:
    """Whether the label is a number that is not whole: beside it `2.0` keeps its form."""
    return _FRACTION.fullmatch(label) is not None


def is_blank(text: str) -> bool:
    """Whether nothing in the text can be seen."""
    return all(char.isspace() or is_invisible(char) for char in text)


def is_invisible(char: str) -> bool:
    """Whether the character has no ink and takes no room."""
    if char.isascii():
        return (char < " " and not char.isspace()) or char == "\x7f"
    is_selector = "\ufe00" <= char <= "\ufe0f"  # of the look of the character before
    return is_selector or unicodedata.category(char) == "Cf"
