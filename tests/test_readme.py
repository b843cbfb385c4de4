"""The first page is true: its code runs as it stands there, its command runs on the files that the
code has made, and what both print has the shape of what the page shows."""

import json
import shlex
from pathlib import Path

import pytest
from markdown_files import ROOT, code_blocks, lines

README = ROOT / "README.md"
QUESTIONS = (
    "1. How much data do I need?",
    "2. How well can I expect to do?",
    "3. What type of data do I need?",
    "4. Which embedding space is best?",
    "5. Which model (depth, size) is best?",
    "6. Which hyperparameters?",
)


def asked(output: str) -> list[str]:
    """The questions that lines of `output` begin with."""
    return [
        question
        for line in output.splitlines()
        for question in QUESTIONS
        if line.startswith(f"{question} ")
    ]


def test_what_the_page_shows_as_output_are_six_answers() -> None:
    (shown,) = code_blocks(README, "text")
    assert asked(shown) == list(QUESTIONS) and len(shown.splitlines()) == len(QUESTIONS)


def test_the_five_lines_are_five() -> None:
    *_, last = code_blocks(README, "python")
    assert len([line for line in last.splitlines() if line]) == 5


@pytest.mark.slow
def test_code_and_command_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The code makes two CSV files, which the command then reads; the vectors that the code has
    kept serve the command, too."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(code_blocks(README, "python")):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
    assert asked(capsys.readouterr().out) == list(QUESTIONS)
    written = {name: (tmp_path / "my-task" / name) for name in ("answers.json", "report.html")}
    assert all(path.stat().st_size > 1000 for path in written.values())
    from_python = json.loads(written["answers.json"].read_text())

    from ray_jobs.cli import app

    (command,) = [
        line
        for _, line, is_code in lines(README)
        if is_code and line.startswith("neoberta characterize ")
    ]
    app(shlex.split(command)[1:], standalone_mode=False)
    printed = capsys.readouterr().out
    assert asked(printed) == list(QUESTIONS)
    assert "my-task/answers.json" in printed and "my-task/report.html" in printed
    from_command = json.loads(written["answers.json"].read_text())
    for part in ("target", "n_train", "n_eval", "encoders", "data_needed", "label_next"):
        assert from_command[part] == from_python[part], part
