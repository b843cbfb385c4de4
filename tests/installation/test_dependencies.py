"""What pyproject.toml and constraints.txt declare against what the code imports and what is
installed."""

import ast
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    *PROJECT["dependencies"],
    *(line for extra in PROJECT["optional-dependencies"].values() for line in extra),
]
FROM_TORCH = {"setuptools"}
"""torch itself pins its upper bound, and pip brings it."""


def third_party_modules() -> dict[str, str]:
    """Top-level module that the packages import -> a file that does."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                named = (
                    [alias.name for alias in node.names]
                    if isinstance(node, ast.Import)
                    else [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else []
                )
                for name in named:
                    top = name.partition(".")[0]
                    if top not in PACKAGES and top not in sys.stdlib_module_names:
                        found[top] = path.relative_to(ROOT).as_posix()
    return found


def required(lines: list[str], extra: str = "") -> Iterator[Requirement]:
    """Those of some requirements that count here, for a package that was asked for with
    `extra`."""
    for requirement in map(Requirement, lines):
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def test_whatever_the_code_imports_is_declared():
    declared = {canonicalize_name(Requirement(line).name) for line in DECLARED}
    distributions = packages_distributions()
    for module, file in third_party_modules().items():
        packages = {canonicalize_name(name) for name in distributions[module]}
        assert packages & declared, f"{file} imports {module}, of {packages}: not declared"


def test_constraints_pin_everything_that_the_extras_install():
    waiting = list(required(DECLARED))
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if name != "neoberta" and (name, extra) not in seen:
                seen.add((name, extra))
                waiting += required(distribution(name).requires or [], extra)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {canonicalize_name(line.partition("==")[0]) for line in lines}
    assert {name for name, _ in seen} - pinned == FROM_TORCH
    assert lines == sorted(lines, key=str.lower) and len(lines) == len(pinned)
