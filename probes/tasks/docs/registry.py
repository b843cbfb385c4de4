"""The tasks that can be built from documentation strings, by name."""

import difflib
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cluster.storage import UserError
from probes.tasks.docs import pairs, structure, topics
from probes.tasks.docs.docstring import clean
from probes.tasks.docs.harvest import harvest
from probes.tasks.docs.material import DOCUMENTED
from probes.tasks.docs.sample import Balance, Example, sample_splits
from probes.tasks.docs.source import DocsSource
from probes.tasks.task import Task

__all__ = [
    "DOCS_TASKS",
    "DocsSource",
    "DocsTask",
    "build_docs_task",
    "docs_task",
    "list_tasks",
    "pretraining_texts",
]


@dataclass(frozen=True)
class DocsTask:
    """The recipe of one task `docs/NAME`."""

    description: str
    family: str
    """Tasks of one family share texts or ask the same kind of question."""
    label_names: tuple[str, ...]
    """The classes, in order. Classes with too little material in the installed packages are left
    out."""
    examples: Callable[[pa.Table], Iterator[Example]]
    balance: Balance = "labels"


_SUBPACKAGES = {
    "scipy": "stats optimize signal sparse io interpolate special linalg spatial integrate ndimage",
    "sklearn": (
        "utils ensemble linear_model metrics decomposition model_selection preprocessing cluster"
        " gaussian_process"
    ),
    "torch": "_inductor distributed fx ao nn onnx optim distributions",
    "sympy": (
        "polys physics core combinatorics matrices functions solvers geometry integrals stats"
        " printing"
    ),
    "ray": "data rllib serve llm train autoscaler tune dashboard util",
}


def _subpackage_task(package: str, subpackages: tuple[str, ...]) -> DocsTask:
    return DocsTask(
        f"which subpackage of {package} a docstring comes from",
        "docs-topic",
        subpackages,
        partial(topics.subpackage_examples, package=package, subpackages=subpackages),
    )


_SECTIONS, _TYPES, _PAIR = structure.SECTION_NAMES, structure.TYPE_NAMES, pairs.PAIR_NAMES
_MATERIAL = structure.MATERIAL_NAMES
DOCS_TASKS: dict[str, DocsTask] = {
    "library": DocsTask(
        "which library a docstring comes from",
        "docs-topic",
        tuple(topics.LIBRARIES),
        topics.library_examples,
    ),
    **{
        f"{package}_part": _subpackage_task(package, tuple(names.split()))
        for package, names in _SUBPACKAGES.items()
    },
    "kind": DocsTask(
        "module, class, function or method",
        "docs-object",
        structure.KIND_NAMES,
        structure.kind_examples,
    ),
    "returns": DocsTask(
        "does the function return something",
        "docs-object",
        ("nothing", "value"),
        structure.returns_examples,
        "packages",
    ),
    "deprecated": DocsTask(
        "is the object deprecated (imbalanced)",
        "docs-object",
        ("current", "deprecated"),
        structure.deprecated_examples,
        "natural",
    ),
    "section": DocsTask(
        "which section a piece of a docstring is from",
        "docs-section",
        _SECTIONS,
        structure.section_examples,
    ),
    "material": DocsTask(
        "summary, parameter, error message or code (snippets, cut at 60 characters)",
        "docs-section",
        _MATERIAL,
        structure.material_examples,
    ),
    "parameter_type": DocsTask(
        "type of a parameter", "docs-parameter", _TYPES, structure.parameter_type_examples
    ),
    "parameter_optional": DocsTask(
        "may a parameter be left out",
        "docs-parameter",
        ("optional", "required"),
        structure.optional_examples,
        "packages",
    ),
    "error": DocsTask(
        "exception class of an error message (imbalanced)",
        "docs-error",
        structure.ERROR_NAMES,
        structure.error_examples,
        "natural",
    ),
    "body_pair": DocsTask(
        "pair: does this summary describe this function body",
        "docs-body-pair",
        _PAIR,
        pairs.summary_body_examples,
    ),
    "paragraph_pair": DocsTask(
        "pair: are summary and paragraph from one docstring",
        "docs-text-pair",
        _PAIR,
        pairs.next_paragraph_examples,
    ),
    "parameter_pair": DocsTask(
        "pair: does this parameter belong to this function",
        "docs-text-pair",
        _PAIR,
        pairs.parameter_owner_examples,
    ),
}


def docs_task(name: str) -> DocsTask:
    """The recipe of `docs/<name>`. `name` has no prefix. Raises UserError for an unknown name."""
    if name not in DOCS_TASKS:
        nearest = difflib.get_close_matches(name, DOCS_TASKS, n=1)
        hint = f"did you mean docs/{nearest[0]}? Known" if nearest else "known"
        raise UserError(f"docs/{name}: no such task; {hint}: {', '.join(DOCS_TASKS)}")
    return DOCS_TASKS[name]


def build_docs_task(
    name: str,
    source: DocsSource | None = None,
    n_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Task:
    """The task `docs/<name>` (name without the prefix), the same for the same package versions.
    Raises UserError for an unknown name and when the source's packages have too little of what the
    task is made of."""
    source = source or DocsSource()
    recipe = docs_task(name)
    examples = recipe.examples(harvest(source, n_workers, progress))
    label_names, splits = sample_splits(
        examples, recipe.label_names, recipe.balance, source.max_rows_per_task
    )
    if not splits:
        packages = ", ".join(source.versions)
        raise UserError(
            f"docs/{name}: too little material in the packages {packages}; add packages or choose"
            " another task"
        )
    info = {
        "description": recipe.description,
        "domain": "Python documentation",
        "language": "en",
        "source": source.key,
    }
    return Task(f"docs/{name}", label_names, splits, recipe.family, info)


def list_tasks(docs: DocsSource | None = None) -> list[dict[str, Any]]:
    """One row a task: name (without `docs/`), description, n_classes (at most), rows (at most).
    Reads no package."""
    source = docs or DocsSource()
    return [
        {
            "name": name,
            "description": task.description,
            "n_classes": len(task.label_names),
            "rows": source.max_rows_per_task,
        }
        for name, task in DOCS_TASKS.items()
    ]


def pretraining_texts(
    source: DocsSource | None = None,
    max_texts: int | None = None,
    n_workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[str]:
    """Docstrings of the train files alone, as plain paragraphs, at least 40 characters, in a fixed
    pseudo-random order that does not depend on `max_texts`. Docstrings that begin like an earlier
    one, or like one of a validation or test file, are left out, so that no test docstring is
    pretrained on."""
    table = harvest(source or DocsSource(), n_workers, progress)
    table = table.filter(pc.is_in(table["kind"], pa.array(DOCUMENTED)))
    is_train = pc.equal(table["split"], "train")
    seen = {
        _beginning(docstring)
        for docstring in table.filter(pc.invert(is_train))["docstring"].to_pylist()
    }
    columns = (
        table.filter(is_train)[name].to_pylist() for name in ("file", "qualname", "docstring")
    )
    rows = sorted(
        (_order(file, qualname), docstring)
        for file, qualname, docstring in zip(*columns, strict=True)
    )
    texts: list[str] = []
    for _, docstring in rows:
        if max_texts is not None and len(texts) >= max_texts:
            break
        beginning = _beginning(docstring)
        if beginning not in seen:
            seen.add(beginning)
            text = "\n".join(part for block in docstring.split("\n\n") if (part := clean(block)))
            if len(text) >= 40:
                texts.append(text)
    return texts


def _beginning(docstring: str) -> str:
    """The first 160 letters, without case, digits and spaces. Texts are compared by them."""
    return re.sub(r"[\W\d_]+", "", docstring[:400]).lower()[:160]


def _order(file: str, qualname: str) -> int:
    return zlib.crc32(f"{file}:{qualname}".encode())
