"""The arrows of the house: `neoberta <- probes <- meta`, `cluster` on its own and alone with ray,
`ray_jobs` above them all."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ALLOWED = {
    "neoberta": {"neoberta"},
    "probes": {"neoberta", "probes"},
    "meta": {"neoberta", "probes", "meta"},
    "cluster": {"cluster"},
    "ray_jobs": {"neoberta", "probes", "meta", "cluster", "ray_jobs"},
}
OPEN_TO_ALL = "cluster.storage"
UPWARD = {
    "neoberta/__init__.py": {"meta.characterize", "meta.load_answers"},
    "neoberta/__main__.py": {"ray_jobs.cli.main"},
}
"""The arrows that point up: `neoberta` is the name that people install, import and call."""
WITHOUT_RAY = [
    f"cluster/{name}.py"
    for name in (
        *("__init__", "storage", "remote_storage", "local_files", "access", "errors", "retries"),
    )
]
BANNED = {"pickle", "cloudpickle", "joblib", "dill", "marshal", "shelve"}
FILES = sorted(path for package in ALLOWED for path in (ROOT / package).rglob("*.py"))


def imported(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import in a file, also of those inside functions; `from a import
    b` gives `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def within(name: str, module: str) -> bool:
    return name == module or name.startswith(f"{module}.")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_one_way(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    upward = UPWARD.get(path.relative_to(ROOT).as_posix(), set())
    for line, name in imported(path):
        top = name.partition(".")[0]
        where = f"{path.relative_to(ROOT)}:{line}: {name}"
        if top in ALLOWED and top not in ALLOWED[package] and name not in upward:
            assert within(name, OPEN_TO_ALL), f"{where}: {package} may not import {top}"
        assert top not in BANNED, f"{where}: storage holds no pickles"
        assert top != "ray" or package == "cluster", f"{where}: only cluster imports ray"
        assert top != "ray" or path.relative_to(ROOT).as_posix() not in WITHOUT_RAY, (
            f"{where}: every package loads this file"
        )
        is_private = any(part.startswith("_") for part in name.split("."))
        assert top != "ray" or not is_private or path.name == "compat.py", (
            f"{where}: private parts of Ray only in compat.py"
        )


def test_every_package_is_looked_at() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("file", UPWARD)
def test_the_arrows_that_point_up_are_there(file: str) -> None:
    up = {name for _, name in imported(ROOT / file) if name.split(".")[0] in ("meta", "ray_jobs")}
    assert up == UPWARD[file]


def test_the_arrows_that_point_up_are_lazy() -> None:
    code = (
        "import sys, neoberta, neoberta.__main__\n"
        "assert not {'meta', 'ray_jobs'} & set(sys.modules)\n"
        "from neoberta import characterize, load_answers\n"
        "import meta; assert characterize is meta.characterize\n"
        "assert load_answers is meta.load_answers and not hasattr(neoberta, 'Answers')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_what_the_open_module_imports_has_no_ray_either() -> None:
    waiting, seen = [OPEN_TO_ALL], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        names = [
            name.rpartition(".")[0] for _, name in imported(ROOT / f"{module.replace('.', '/')}.py")
        ]
        waiting += [name for name in names if within(name, "cluster") and name not in seen]
    assert {f"{module.replace('.', '/')}.py" for module in seen} == set(WITHOUT_RAY) - {
        "cluster/__init__.py"
    }


def test_the_domain_loads_no_ray() -> None:
    code = (
        "import sys, neoberta, probes, meta, ray_jobs, cluster, cluster.storage;heavy = {'ray',"
        " 'torch', 'transformers', 'xgboost', 'deepspeed', 'optuna'} & set(sys.modules);assert not"
        " heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


@pytest.mark.slow
def test_no_module_of_the_domain_loads_ray() -> None:
    """Also not by way of a library that would import it."""
    names = [path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".") for path in FILES]
    modules = [
        name.removesuffix(".__init__")
        for name in names
        if name.partition(".")[0] in ("neoberta", "probes", "meta")
    ]
    code = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules!r}]; assert"
        " 'ray' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=120)
