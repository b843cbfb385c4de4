"""Tasks that ask where a text comes from: which library, which part of a library. The names that would say so are masked."""

import re
from collections.abc import Iterator, Sequence

import pyarrow as pa

from probes.tasks.docs.docstring import clean, paragraphs, truncate
from probes.tasks.docs.material import MIN_WORDS, select
from probes.tasks.docs.sample import Example

LIBRARIES = (
    "aiohttp datasets deepspeed fontTools huggingface_hub matplotlib networkx numpy optuna pandas pydantic ray rich scipy sklearn"
    " sqlalchemy sympy torch transformers xgboost"
).split()
_ALIASES = {
    "sklearn": ("scikit-learn", "scikit"),
    "torch": ("pytorch",),
    "numpy": ("np",),
    "pandas": ("pd",),
    "fontTools": ("ttx",),
}
MAX_TOPIC_CHARS = 280
"""Short texts: a whole page of documentation always gives its library away."""


def library_examples(table: pa.Table) -> Iterator[Example]:
    """Text of a docstring -> the library it documents."""
    names = [name for library in LIBRARIES for name in (library, *_ALIASES.get(library, ()))]
    mask = _mask(names)
    for row in select(table, packages=LIBRARIES, limit=2500):
        text = _prose(row["docstring"], mask, "library")
        if text:
            yield Example(text, row["package"], row["split"], row["package"], row["file"])


def subpackage_examples(table: pa.Table, package: str, subpackages: Sequence[str]) -> Iterator[Example]:
    """Text of a docstring -> the subpackage of `package` it comes from."""
    mask = _mask([package, *_ALIASES.get(package, ()), *(name.strip("_") for name in subpackages)])
    for row in select(table, packages=[package]):
        label = row["module"].split(".")[1] if "." in row["module"] else ""
        text = _prose(row["docstring"], mask, "it") if label in subpackages else ""
        if text:
            yield Example(text, label, row["split"], package, row["file"])


def _mask(names: Sequence[str]) -> re.Pattern[str]:
    """Matches each of the names as a word, also within a dotted or underscored path, which goes as a whole."""
    alternatives = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    return re.compile(
        rf"[\w.]*(?<![A-Za-z])(?:{alternatives})(?![a-z])[\w.]*\w|(?<![A-Za-z])(?:{alternatives})(?![a-z])", re.IGNORECASE
    )


def _prose(docstring: str, mask: re.Pattern[str], replacement: str) -> str:
    text = clean(" ".join(paragraphs(docstring)))
    text = truncate(mask.sub(replacement, text), MAX_TOPIC_CHARS)
    return text if len(text.split()) >= MIN_WORDS else ""
