"""Splits a docstring into summary, paragraphs, sections and parameters. It reads the styles of
numpydoc, Google and Sphinx."""

import re
from typing import NamedTuple

_SECTION_NAMES = {
    "parameters": "parameters",
    "other parameters": "parameters",
    "args": "parameters",
    "arguments": "parameters",
    "keyword args": "parameters",
    "keyword arguments": "parameters",
    "returns": "returns",
    "return": "returns",
    "yields": "yields",
    "raises": "raises",
    "warns": "raises",
    "notes": "notes",
    "note": "notes",
    "explanation": "notes",
    "warnings": "notes",
    "warning": "notes",
    "examples": "examples",
    "example": "examples",
    "see also": "see also",
    "references": "references",
    "attributes": "attributes",
    "methods": "methods",
    "shape": "shape",
}
_UNDERLINE = re.compile(r"^\s*[-=~]{3,}\s*$")
_GOOGLE_HEADER = re.compile(r"^(\s*)([A-Za-z][A-Za-z ]{2,18}):{1,2}\s*$")
_SPHINX_FIELD = re.compile(
    r"^:(param|parameter|arg|returns?|raises?|rtype|type|yields?)\b([^:]*):\s*", re.MULTILINE
)
_NUMPY_ITEM = re.compile(r"^(\*{0,2}\w[\w, *]*?)\s*(?::\s*(.*))?$")
_GOOGLE_ITEM = re.compile(r"^[`*]*(\w+)[`*]*\s*(?:\((.*?)\))?\s*:\s+(.*)$")


class Parameter(NamedTuple):
    """One documented parameter. `type` is as it was written, and empty where none was written."""

    name: str
    type: str
    description: str


def summary(docstring: str) -> str:
    """The first paragraph as one line. Empty where the docstring begins with a section or a
    doctest."""
    first = docstring.strip().split("\n\n", 1)[0]
    lines = first.splitlines()
    if any(_UNDERLINE.match(line) for line in lines):  # a title of reStructuredText
        lines = [
            line for line in docstring.strip().split("\n\n", 1)[-1].split("\n\n", 1)[0].splitlines()
        ]
        if any(_UNDERLINE.match(line) for line in lines):
            return ""
    if (
        not lines
        or lines[0].lstrip().startswith((">>>", "..", ":", "@"))
        or _GOOGLE_HEADER.match(lines[0])
    ):
        return ""
    return clean(" ".join(line.strip() for line in lines))


def paragraphs(docstring: str) -> list[str]:
    """The cleaned prose paragraphs before the first section, the summary first."""
    prose = sections(docstring).get("", "")
    return [text for block in re.split(r"\n\s*\n", prose) if (text := clean(block))]


def sections(docstring: str) -> dict[str, str]:
    """Section name (canonical, lower case; "" for the text before the first) -> its raw text,
    dedented. The first section of a name wins."""
    lines = docstring.splitlines()
    found: dict[str, list[str]] = {"": []}
    current, skip = found[""], False
    for position, line in enumerate(lines):
        if skip:
            skip = False
            continue
        below = lines[position + 1] if position + 1 < len(lines) else ""
        google = _GOOGLE_HEADER.match(line)
        if _UNDERLINE.match(below) and line.strip():
            name, skip = line.strip().lower(), True
        elif google and (google.group(2).lower() in _SECTION_NAMES):
            name = google.group(2).lower()
        else:
            current.append(line)
            continue
        current = []
        found.setdefault(_SECTION_NAMES.get(name, name), current)
    return {name: _dedent(body) for name, body in found.items()}


def parameters(docstring: str) -> list[Parameter]:
    """The documented parameters, in order, descriptions cleaned; those without a description are
    left out."""
    block = sections(docstring).get("parameters", "")
    items = _indented_items(block) if block else _sphinx_items(docstring)
    return [item for item in items if item.description]


def items_of(block: str) -> list[str]:
    """The descriptions of a section written as a list of `name : type` items with indented text
    (numpydoc Returns, Raises), or the section as one cleaned text where it is plain prose."""
    items = [item.description for item in _indented_items(block)]
    return [text for text in items if text] or [text for text in [clean(block)] if text]


def _indented_items(block: str) -> list[Parameter]:
    items: list[tuple[str, str, list[str]]] = []
    for line in block.splitlines():
        is_head = bool(line.strip()) and not line[0].isspace()
        google = _GOOGLE_ITEM.match(line) if is_head else None
        numpy = _NUMPY_ITEM.match(line) if is_head else None
        if google and (google.group(2) is not None or len(google.group(3).split()) > 3):
            items.append((google.group(1), google.group(2) or "", [google.group(3)]))
        elif numpy:
            items.append((numpy.group(1), numpy.group(2) or "", []))
        elif items:
            items[-1][2].append(line)
    return [
        Parameter(name.strip(), kind.strip(), clean("\n".join(lines)))
        for name, kind, lines in items
    ]


def _sphinx_items(docstring: str) -> list[Parameter]:
    pieces = _SPHINX_FIELD.split(docstring)[1:]
    items = []
    for field, head, body in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
        if field in ("param", "parameter", "arg") and head.split():
            *kind, name = head.split()
            items.append(Parameter(name, " ".join(kind), clean(body.split("\n\n")[0])))
    return items


def _dedent(lines: list[str]) -> str:
    filled = [line for line in lines if line.strip()]
    margin = min((len(line) - len(line.lstrip()) for line in filled), default=0)
    return "\n".join(line[margin:] for line in lines).strip("\n")


_MARKUP = (
    (
        re.compile(r":[a-z:+]+:`~?([^`<]*?)(?:\s*<[^`]*>)?`"),
        r"\1",
    ),  # :class:`~a.B`, :ref:`text <target>`
    (re.compile(r"\[([^\]]+)\]\([^)\s]*\)"), r"\1"),  # [text](target)
    (re.compile(r"\[`~?([^\]`]+)`\]"), r"\1"),  # [`Class`]
    (re.compile(r"`([^`<]+?)\s*<[^`>]*>`_{1,2}"), r"\1"),  # `text <target>`__
    (re.compile(r"`{1,3}"), ""),
    (re.compile(r"\*{1,2}(\w[^*]*?)\*{1,2}"), r"\1"),  # emphasis
    (re.compile(r"</?\w+[^>]*>"), ""),  # <Tip>, html
    (re.compile(r"https?://\S+"), "URL"),
    (re.compile(r"\s+"), " "),
)
_DROPPED_LINE = re.compile(r"^\s*(>>>|\.\.\.(\s|$)|\.\. |:\w+:|[-=~+|]{3,}|```|\$ )")


def clean(text: str) -> str:
    """The text as one line of prose, without doctests, directives and markup, with single
    spaces."""
    kept = [line for line in text.splitlines() if not _DROPPED_LINE.match(line)]
    text = "\n".join(kept)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return text.strip()


def truncate(text: str, max_chars: int) -> str:
    """`text` cut behind the last word that fits."""
    if len(text) <= max_chars:
        return text
    return text[: max_chars + 1].rsplit(" ", 1)[0][:max_chars]
