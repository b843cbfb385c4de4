"""The extras: what a user is told who lacks one, and that code and pyproject.toml agree."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cluster.storage import UserError
from neoberta import extras

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def names(requirements: Sequence[str]) -> set[str]:
    """The packages of some requirements, with those of our own extras that they name."""
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.name == "neoberta":
            found.update(*(of_extra(extra) for extra in requirement.extras))
        else:
            found.add(canonicalize_name(requirement.name))
    return found


def of_extra(extra: str) -> set[str]:
    return names(PROJECT["optional-dependencies"][extra])


def lacking(*modules: str):
    return lambda name: None if name in modules else find_spec(name)


def test_what_is_missing_is_named_with_its_extra(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lacking("optuna", "deepspeed"))
    assert extras.missing("study") == ["optuna"]
    assert extras.missing("pretrain") == ["optuna", "deepspeed"]
    with pytest.raises(UserError) as raised:
        extras.need("study", "a study")
    assert str(raised.value) == 'a study needs optuna: pip install "neoberta[study]"'


def test_nothing_is_said_where_all_is_there(monkeypatch):
    monkeypatch.setattr(extras, "find_spec", lambda name: object())
    for extra in extras.MODULES:
        extras.need(extra, "anything")
        assert extras.missing(extra) == []


@pytest.mark.parametrize("extra", extras.MODULES)
def test_every_module_of_an_extra_is_declared_there_and_not_in_the_core(extra: str):
    distributions = packages_distributions()
    for module in extras.MODULES[extra]:
        packages = {canonicalize_name(name) for name in distributions[module]}
        assert packages & of_extra(extra), module
        assert not packages & names(PROJECT["dependencies"]), module


def test_all_holds_every_extra_that_a_user_can_need():
    assert of_extra("all") == set().union(*map(of_extra, extras.MODULES))


def test_no_question_loads_what_it_asks_for():
    code = (
        "import sys; from neoberta.extras import MODULES, missing;"
        " [missing(extra) for extra in MODULES];"
        " loaded = set(sys.modules) & set().union(*MODULES.values());"
        " assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, timeout=60)


def test_the_extras_that_the_documentation_names_exist():
    pages = [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "Makefile", ROOT / "Dockerfile"]
    named = {
        extra
        for page in pages
        for listed in re.findall(r"(?:neoberta|\.|\.whl\))\[([a-z,]+)\]", page.read_text())
        for extra in listed.split(",")
    }
    assert {"all", "study"} <= named <= set(PROJECT["optional-dependencies"])
