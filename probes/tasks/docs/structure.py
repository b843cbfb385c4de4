"""Tasks that ask what a piece of documentation is about: the kind of object, the section, the type
of a parameter, the kind of error, and so on."""

import re
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from probes.tasks.docs.docstring import (
    clean,
    items_of,
    paragraphs,
    parameters,
    sections,
    summary,
    truncate,
)
from probes.tasks.docs.material import MAX_TEXT_CHARS, MIN_WORDS, WITH_PARAMETERS, select
from probes.tasks.docs.sample import Example

KIND_NAMES = ("module", "class", "function", "method")
SECTION_NAMES = ("summary", "notes", "parameters", "returns", "raises")
MATERIAL_NAMES = ("summary", "parameter", "error", "code")
TYPE_NAMES = ("bool", "int", "float", "str", "array", "callable", "dict", "list")
ERROR_NAMES = (
    "ValueError",
    "AssertionError",
    "TypeError",
    "RuntimeError",
    "AttributeError",
    "ImportError",
    "KeyError",
)

CURRENT_PER_DEPRECATED = 8
MAX_SNIPPET_CHARS = 60

_KIND_WORDS = re.compile(r"\b(module|class|function|method|package)(e?s)?\b", re.IGNORECASE)
_TYPES = {
    "bool": r"bool(ean)?s?|true or false",
    "int": r"int(eger)?s?",
    "float": r"floats?|double|real number",
    "str": r"str(ing)?s?",
    "array": r"(numpy\.|np\.)?(nd)?array([-_ ]?like)?|tensors?|torch\.tensors?",
    "callable": r"callables?|func(tion)?s?|lambda",
    "dict": r"dict(ionary|ionaries)?s?|mappings?",
    "list": r"lists?|sequences?|iterables?|tuples?",
}
_TYPE_PATTERNS = {
    name: re.compile(rf"^[`~:\w]*?({pattern})\b", re.IGNORECASE) for name, pattern in _TYPES.items()
}
_TYPE_WORDS = re.compile(rf"\b({'|'.join(_TYPES.values())})\b", re.IGNORECASE)
_DEFAULT_WORDS = re.compile(
    r"\(?\*?\b(optional(ly)?|(by )?defaults?|if (not"
    r" (given|provided|specified|set)|none|omitted))\b[^.;)]*[.;)]?",
    re.IGNORECASE,
)
_ERROR_WORDS = re.compile(r"\b\w*(Error|Exception)\b")
_SENTENCE_END = re.compile(r"(?<=[.;!])\s+")
_DEPRECATION_WORDS = re.compile(r"deprecat|obsolete", re.IGNORECASE)


def kind_examples(table: pa.Table) -> Iterator[Example]:
    """Summary of a docstring -> whether it documents a module, a class, a function or a method."""
    for row in select(table, limit=14_000):
        text = _KIND_WORDS.sub("object", summary(row["docstring"]))
        yield from _example(text, row["kind"], row)


def section_examples(table: pa.Table) -> Iterator[Example]:
    """A piece of a docstring -> the section it was taken from; one piece of a docstring for each
    section."""
    for row in select(table, kinds=("class", "function", "method"), limit=12_000):
        found = sections(row["docstring"])
        pieces = {
            name: (items_of(found[name]) or [""])[0] for name in SECTION_NAMES if name in found
        }
        described = parameters(row["docstring"])
        pieces["parameters"] = described[0].description if described else ""
        pieces["notes"] = clean(found.get("notes", "").split("\n\n")[0])
        pieces["summary"] = summary(row["docstring"])
        for name, text in pieces.items():
            yield from _example(truncate(_ERROR_WORDS.sub("error", text), 300), name, row)


def material_examples(table: pa.Table) -> Iterator[Example]:
    """A short snippet of a source file -> summary, description of a parameter, error message or
    code."""
    for row in select(table, kinds=("function", "method"), limit=8000):
        # one snippet of each object, because the parts of an object are about the same thing
        part = MATERIAL_NAMES[zlib.crc32(row["qualname"].encode()) % len(MATERIAL_NAMES)]
        if part == "summary":
            yield from _example(truncate(summary(row["docstring"]), MAX_SNIPPET_CHARS), part, row)
        elif part == "code":
            yield from _example(
                truncate(" ".join(row["body"].split()), MAX_SNIPPET_CHARS), part, row
            )
        elif described := parameters(row["docstring"]):
            yield from _example(
                truncate(described[0].description, MAX_SNIPPET_CHARS), "parameter", row
            )
    for row in select(table, kinds=("error",), limit=2500):
        yield from _example(
            truncate(clean(row["docstring"].replace("{}", "it")), MAX_SNIPPET_CHARS), "error", row
        )


def parameter_type_examples(table: pa.Table) -> Iterator[Example]:
    """Description of a parameter -> its type. Words that name a type are masked."""
    for row in select(
        table, kinds=("class", "function", "method"), containing=WITH_PARAMETERS, limit=9000
    ):
        for parameter in parameters(row["docstring"]):
            label = type_of(parameter.type)
            if label:
                text = _TYPE_WORDS.sub("value", _DEFAULT_WORDS.sub("", parameter.description))
                yield from _example(text, label, row)


def optional_examples(table: pa.Table) -> Iterator[Example]:
    """Name and description of a parameter -> whether it may be left out. Words that say so are
    removed."""
    for row in select(
        table, kinds=("class", "function", "method"), containing=WITH_PARAMETERS, limit=9000
    ):
        for parameter in parameters(row["docstring"]):
            if parameter.type:
                is_optional = bool(re.search(r"optional|default|=|\bNone\b", parameter.type))
                text = f"{parameter.name}: {_DEFAULT_WORDS.sub('', parameter.description)}"
                yield from _example(clean(text), "optional" if is_optional else "required", row)


def error_examples(table: pa.Table) -> Iterator[Example]:
    """Message of an error that is raised -> its exception class."""
    for row in select(table, kinds=("error",), limit=20_000):
        if row["qualname"] in ERROR_NAMES:
            yield from _example(
                _ERROR_WORDS.sub("error", clean(row["docstring"])), row["qualname"], row
            )


def deprecated_examples(table: pa.Table) -> Iterator[Example]:
    """Text of a docstring -> whether the object is deprecated. Sentences that say so are
    removed."""
    marked = table.filter(table["deprecated"])
    current = table.filter(pc.invert(table["deprecated"]))
    positive = select(marked, kinds=("class", "function", "method"))
    # the others from the same packages, in the same proportions: the package must not tell
    negative: list[dict[str, Any]] = []
    for package, n_marked in sorted(Counter(row["package"] for row in positive).items()):
        limit = CURRENT_PER_DEPRECATED * n_marked
        negative.extend(
            select(current, kinds=("class", "function", "method"), packages=[package], limit=limit)
        )
    for row in positive + negative:
        text = clean(" ".join(paragraphs(row["docstring"])))
        sentences = _SENTENCE_END.split(truncate(text, MAX_TEXT_CHARS))
        text = " ".join(
            sentence for sentence in sentences if not _DEPRECATION_WORDS.search(sentence)
        )
        yield from _example(
            truncate(text, 400), "deprecated" if row["deprecated"] else "current", row
        )


def returns_examples(table: pa.Table) -> Iterator[Example]:
    """Summary of a function or method -> whether it returns something. The word itself is
    masked."""
    for row in select(table, kinds=("function", "method"), limit=16_000):
        text = re.sub(
            r"\b(re)?(return|yield)\w*\b", "", summary(row["docstring"]), flags=re.IGNORECASE
        )
        if row["body"]:
            text = clean(text).lstrip(" ,:-")
            yield from _example(
                text[:1].upper() + text[1:], "value" if row["returns_value"] else "nothing", row
            )


def type_of(written: str) -> str:
    """The one of TYPE_NAMES that a written type names. Empty where it names none of them, or
    several."""
    first = re.split(
        r",\s*(?:optional|default)|\boptional\b|\bdefault|\bof\b|=", written, maxsplit=1
    )[0].strip(" `*,(")
    if re.search(r"\bor\b|\||\bUnion\b|/", first):
        return ""
    found = [name for name, pattern in _TYPE_PATTERNS.items() if pattern.match(first)]
    return found[0] if len(found) == 1 else ""


def _example(text: str, label: str, row: dict[str, Any]) -> Iterator[Example]:
    text = truncate(text.strip(" :,-"), MAX_TEXT_CHARS)
    if len(text.split()) >= MIN_WORDS:
        yield Example(text, label, row["split"], row["package"], row["file"])
