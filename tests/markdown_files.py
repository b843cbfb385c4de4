"""The project's documents as the tests of them see them: prose, code, links, headings."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^\s*```")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE_SPAN = re.compile(r"`([^`]+)`")


def documents() -> list[Path]:
    """Every document at the root and in docs/."""
    return sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def lines(path: Path) -> Iterator[tuple[int, str, bool]]:
    """(number, line, whether it is inside a block of code) of a document; fences are left out."""
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if FENCE.match(line):
            is_code = not is_code
        else:
            yield number, line, is_code


def code_blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks that say ```language."""
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def code(path: Path) -> Iterator[tuple[int, str]]:
    """(number, code) of every line in a block and every span between backticks."""
    for number, line, is_code in lines(path):
        if is_code:
            yield number, line.strip()
        else:
            yield from ((number, span) for span in CODE_SPAN.findall(line))


def links(path: Path) -> Iterator[tuple[int, str]]:
    """(number, target) of every link and picture in prose."""
    for number, line, is_code in lines(path):
        if not is_code:
            yield from ((number, target) for target in LINK.findall(line))


def anchors(path: Path) -> set[str]:
    """What `#...` may name in a document: its headings, as renderers of Markdown write them."""
    headings = [line for _, line, is_code in lines(path) if line.startswith("#") and not is_code]
    return {
        re.sub(r"[^\w\- ]", "", heading.lstrip("#").strip().lower()).replace(" ", "-")
        for heading in headings
    }
