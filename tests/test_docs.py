"""What the documents name is there: links, files, modules, make targets, commands and options. So a
file that moves, or a command that changes its name, cannot leave a riddle behind."""

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from markdown_files import ROOT, anchors, code, documents, lines, links

DOCUMENTS = documents()
NAMING = [path for path in DOCUMENTS if path.name != "CHANGELOG.md"]
"""The changelog tells of the past: what it names may have gone."""
PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs", "benchmarks")
PLACE = re.compile(rf"(?<![\w./-])((?:{'|'.join(PACKAGES)}|tests|examples)/[\w./*-]*)")
DOCUMENT = re.compile(r"(?<![\w./-])(docs/[\w./-]+\.(?:md|png))")
FILE_NAME = re.compile(r"(?<![\w./*<>-])([a-z]\w*\.(?:py|yaml|ipynb))$")
DOTTED = re.compile(rf"(?<![\w./-])((?:{'|'.join(PACKAGES)})(?:\.[A-Za-z_]\w*)+)")
TARGET = re.compile(r"(?:^|[;&] ?)make ([a-z][a-z-]*)")
COMMAND = re.compile(r"(?:^|[;&|] ?|\.venv/bin/)neoberta ([a-z][a-z-]*)(?=\s|$)(.*)")
MAX_WIDTH = 120
EACH = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix()
)
EACH_NAMING = pytest.mark.parametrize(
    "path", NAMING, ids=lambda path: path.relative_to(ROOT).as_posix()
)


@EACH
def test_links_lead_somewhere(path: Path) -> None:
    for number, target in links(path):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), f"{path.name}:{number}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{path.name}:{number}: no heading for {target}"


@EACH_NAMING
def test_files_and_folders_are_there(path: Path) -> None:
    for number, written in code(path):
        places = [*PLACE.findall(written), *DOCUMENT.findall(written), *FILE_NAME.findall(written)]
        for place in places:
            pattern = place.rstrip("/") if "/" in place else f"**/{place}"
            assert any(ROOT.glob(pattern)), f"{path.name}:{number}: {place} is not there"


@EACH_NAMING
def test_modules_and_their_names_are_there(path: Path) -> None:
    for number, line, _ in lines(path):
        without_targets = re.sub(r"\]\([^)]*\)", "]", line).replace("benchmarks.NAME", "")
        for dotted in DOTTED.findall(without_targets):
            assert is_defined(dotted), f"{path.name}:{number}: {dotted} is not there"


@EACH_NAMING
def test_make_targets_are_there(path: Path) -> None:
    targets = set(
        re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    )
    for number, written in code(path):
        for target in TARGET.findall(written):
            assert target in targets, f"{path.name}:{number}: make {target}"


@EACH_NAMING
def test_commands_and_options_are_there(path: Path) -> None:
    for number, written in code(path):
        for name, rest in COMMAND.findall(written):
            options = options_of(name, rest)
            assert options is not None, f"{path.name}:{number}: neoberta {name}{rest}"
            for option in re.findall(r"(?<!\S)\[?(--[a-z][a-z-]*)", rest.partition(" #")[0]):
                assert option in options, f"{path.name}:{number}: neoberta {name} has no {option}"


@EACH
def test_prose_is_narrow(path: Path) -> None:
    """Tables, quotations and code may be wider."""
    for number, line, is_code in lines(path):
        if not is_code and not line.lstrip().startswith(("|", ">")):
            assert len(line) <= MAX_WIDTH, f"{path.name}:{number}: {len(line)} columns"


def test_the_glossary_is_alphabetical_and_says_where() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    _, *sections = text.split("\n## ")
    assert len(sections) == 2
    for section in sections:
        entries = re.findall(r"^\* \*\*(.+?)\.\*\*(.*?)(?=^\* |\Z)", section, re.MULTILINE | re.S)
        names = [re.sub(r"[^a-z0-9 ]", "", name.lower()) for name, _ in entries]
        assert len(names) > 40 and names == sorted(set(names))
        for name, meaning in entries:
            assert re.search(r"(`[\w/.]+`|\]\(\S+\))\s*$", meaning), f"{name}: no place at its end"


def test_decisions_are_dated_listed_and_complete() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text(encoding="utf-8")
    pages = sorted(folder.glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        title, date = text.splitlines()[0].removeprefix("# "), text.splitlines()[2][:10]
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", date), page.name
        assert f"| {date} | [{title}]({page.name}) |" in index, page.name
        for part in ("**Context.**", "**Decision.**", "**Consequences.**"):
            assert text.count(part) == 1, f"{page.name}: {part}"
        assert 10 <= len(text.splitlines()) <= 25, page.name


def test_a_release_is_named_alike_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert citation["authors"] == [{"name": "The NeoBERTa contributors"}]
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["[Unreleased]", f"[{version}] - {citation['date-released']}"]


def test_hooks_are_local_and_their_tools_are_of_the_set_up() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    tools = {re.match(r"[\w-]+", line).group() for line in project["optional-dependencies"]["test"]}
    for hook in hooks[0]["hooks"]:
        assert hook["language"] == "system" and hook["entry"].split()[0] in tools, hook["id"]


def is_defined(dotted: str) -> bool:
    """Whether `package.module.Name.attribute` is a module, or a name that one defines."""
    parts = dotted.split(".")
    for n_parts in range(len(parts), 0, -1):
        base = ROOT.joinpath(*parts[:n_parts])
        for file in (base.with_suffix(".py"), base / "__init__.py"):
            if file.is_file():
                return is_in(parts[n_parts:], ast.parse(file.read_text(encoding="utf-8")))
    return False


def is_in(names: list[str], node: ast.Module | ast.ClassDef) -> bool:
    """Whether `names` lead to something defined in a module or class, or offered by its
    `__all__`."""
    if not names:
        return True
    for child in node.body:
        found = set()
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            found = {child.name}
        elif isinstance(child, ast.Assign):
            walked = [name for target in child.targets for name in ast.walk(target)]
            found = {name.id for name in walked if isinstance(name, ast.Name)}
            if "__all__" in found:
                found |= set(ast.literal_eval(child.value))
        elif isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            found = {child.target.id}
        elif isinstance(child, ast.ImportFrom):
            found = {alias.asname or alias.name for alias in child.names}
        if names[0] in found:
            return len(names) == 1 or (isinstance(child, ast.ClassDef) and is_in(names[1:], child))
    return False


@cache
def command_line() -> dict[str, set[str]]:
    """Every command of the program, such as `cache ls`, with its options."""
    from typer.main import get_command

    from ray_jobs.cli import app

    known = {}
    for name, command in get_command(app).commands.items():  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        for below, part in inner.items() if inner else [("", command)]:
            options = {text for each in part.params for text in (*each.opts, *each.secondary_opts)}
            known[f"{name} {below}".strip()] = options
    return known


def options_of(name: str, rest: str) -> set[str] | None:
    """The options of the command that is written as `name` and `rest`; None where there is no such
    command. A group may be named alone."""
    known = command_line()
    if name in known:
        return known[name]
    groups = {group: options for group, options in known.items() if group.startswith(f"{name} ")}
    first, *_ = [*rest.split(), ""]
    if not groups or (first and not first.startswith("-") and f"{name} {first}" not in groups):
        return None
    return groups.get(f"{name} {first}", set.union(*groups.values()))
