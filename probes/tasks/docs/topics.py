"""Tasks that ask where a text comes from: which library, which part of a library. The names that
would say so are masked."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from probes.tasks.docs.docstring import clean, paragraphs, truncate
from probes.tasks.docs.material import MIN_WORDS, select
from probes.tasks.docs.sample import Example

LIBRARIES = (
    "aiohttp",
    "fontTools",
    "matplotlib",
    "networkx",
    "pandas",
    "ray",
    "scipy",
    "sklearn",
    "sqlalchemy",
    "sympy",
    "torch",
    "transformers",
)
_ALIASES = {
    "sklearn": ("scikit",),
    "torch": ("pytorch",),
    "numpy": ("np",),
    "pandas": ("pd",),
    "fontTools": ("fonttool", "ttlib", "ttx"),
    "huggingface_hub": ("huggingface", "hub", "hf"),
    "xgboost": ("xgb",),
    "networkx": ("nx",),
    "matplotlib": ("mpl", "pyplot"),
}
_PATH = re.compile(r"[A-Za-z][\w.-]*")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")  # of a CamelCase or snake_case name
_RELATED = ("huggingface_hub", "numpy", "optuna", "xgboost")
"""Libraries that are too much like others to be classes. Their names are masked too."""
MAX_TOPIC_CHARS = 400
"""Texts are cut at this length, because a whole page of documentation gives its library away."""


def library_examples(table: pa.Table) -> Iterator[Example]:
    """Text of a docstring -> the library it documents."""
    names = _names(*LIBRARIES, *_RELATED)
    for row in select(table, packages=LIBRARIES, limit=9000):
        text = _prose(row["docstring"], names, "library")
        if text:
            yield Example(text, row["package"], row["split"], row["package"], row["file"])


def subpackage_examples(
    table: pa.Table, package: str, subpackages: Sequence[str]
) -> Iterator[Example]:
    """Text of a docstring -> the subpackage of `package` it comes from."""
    names = _names(package, *subpackages)
    for row in select(table, packages=[package]):
        label = row["module"].split(".")[1] if "." in row["module"] else ""
        text = _prose(row["docstring"], names, "it") if label in subpackages else ""
        if text:
            yield Example(text, label, row["split"], package, row["file"])


def _mask(text: str, names: frozenset[str], replacement: str) -> str:
    """`text` with every word replaced that holds one of `names`, alone or in `a.dotted.path`,
    `snake_case` or `CamelCase`."""

    def mask_path(path: re.Match[str]) -> str:
        parts = {*path[0].lower().split("."), *(part.lower() for part in _PART.findall(path[0]))}
        return replacement if parts & names else path[0]

    return _PATH.sub(mask_path, text)


def _names(*names: str) -> frozenset[str]:
    """The words in lower case by which names are recognised, aliases included."""
    every = [alias for name in names for alias in (name, *_ALIASES.get(name, ()))]
    return frozenset(
        part
        for name in every
        for part in (name.strip("_").lower(), name.strip("_").lower().replace("_", ""))
    )


def _prose(docstring: str, names: frozenset[str], replacement: str) -> str:
    prose = truncate(clean(" ".join(paragraphs(docstring[:2000]))), 2 * MAX_TOPIC_CHARS)
    text = truncate(_mask(prose, names, replacement), MAX_TOPIC_CHARS)
    return text if len(text.split()) >= MIN_WORDS else ""
