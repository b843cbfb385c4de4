"""What the source must not contain: ways to execute or unpack what was read from storage or from a
user."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
ARCHIVES = {"zipfile", "tarfile", "zipimport"}
READ_IN_MEMORY = {"probes/tables/decode.py", "probes/tables/excel.py"}
"""These read what an archive holds in memory, up to a size, and never write it: a name in an
archive cannot lead out of a folder."""
BANNED_CALLS = {
    "eval",
    "exec",
    "os.system",
    "os.popen",
    "shutil.unpack_archive",
    "torch.load",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
}
BANNED_OPTIONS = {"shell": True, "allow_pickle": True, "verify": False}


def calls(path: Path) -> Iterator[tuple[ast.Call, str]]:
    """Every call in a file with what is called, as it is written: `eval`, `torch.load`,
    `model.eval`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node, ast.unparse(node.func)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_executes_or_unpacks_what_it_reads(path: Path) -> None:
    for call, name in calls(path):
        where = f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
        assert name not in BANNED_CALLS, where
        assert not name.endswith((".extractall", ".extract")), where
        for option in call.keywords:
            if option.arg in BANNED_OPTIONS and isinstance(option.value, ast.Constant):
                assert option.value.value != BANNED_OPTIONS[option.arg], (
                    f"{where}({option.arg}={option.value.value})"
                )
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        place = path.relative_to(ROOT).as_posix()
        if place not in READ_IN_MEMORY:
            assert not ARCHIVES & {name.partition(".")[0] for name in names}, f"{place}: archives"


def test_the_search_finds_what_it_looks_for(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text("import torch\nx = torch.load('a')\nm.eval()\neval('1')\n")
    assert {name for _, name in calls(source)} & BANNED_CALLS == {"torch.load", "eval"}
