"""No two files import each other, however long the way: imports inside functions count, too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs")


def module_name(path: Path, root: Path) -> str:
    """`meta/answers.py` is `meta.answers`, `meta/__init__.py` is `meta`."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def imported_names(path: Path) -> Iterator[str]:
    """Every module that a file may import; `from a import b` may mean the module a.b or a name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
            yield node.module


def import_graph(root: Path) -> dict[str, set[str]]:
    """Module -> our own modules that it imports. A package (`__init__.py`) counts for what it
    imports itself; to import a name from it counts as importing it."""
    files = {
        module_name(path, root): path
        for package in PACKAGES
        for path in (root / package).rglob("*.py")
    }
    return {
        module: {name for name in imported_names(path) if name in files and name != module}
        for module, path in files.items()
    }


def first_circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, or none: depth-first search."""
    done: set[str] = set()

    def visit(module: str, way: list[str]) -> list[str]:
        if module in way:
            return way[way.index(module) :]
        if module in done:
            return []
        for name in sorted(graph[module]):
            if circle := visit(name, [*way, module]):
                return circle
        done.add(module)
        return []

    for module in sorted(graph):
        if circle := visit(module, []):
            return circle
    return []


def test_no_file_imports_itself_by_way_of_others() -> None:
    graph = import_graph(ROOT)
    assert len(graph) > 150, "the files were found"
    circle = first_circle(graph)
    assert not circle, " -> ".join([*circle, circle[0]])


@pytest.mark.parametrize("line", ["import meta.b", "from meta.b import x", "from meta import b"])
def test_a_circle_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "a.py").write_text(f"def f():\n    {line}\n")
    (tmp_path / "meta" / "b.py").write_text("from meta.c import y\n")
    (tmp_path / "meta" / "c.py").write_text("from meta import a\n")
    assert sorted(first_circle(import_graph(tmp_path))) == ["meta.a", "meta.b", "meta.c"]
