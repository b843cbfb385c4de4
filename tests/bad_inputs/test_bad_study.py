"""Mistakes in a study: exit code 2, one line, nothing made, and known before any work is done."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

STUDY = {
    "name": "small",
    "tasks": ["docs/library"],
    "encoders": [{"ref": "lsa:16"}],
    "characterize": {"task": "docs/section"},
}


MISTAKES = [
    ({"tasks": ["docs/libary"]}, "did you mean docs/library"),
    ({"tasks": ["nowhere.csv"]}, "nowhere.csv"),
    ({"encoders": [{"ref": "hff:bert"}]}, "hff"),
    ({"encoders": [{"ref": "hf:/nowhere/at/all"}]}, "/nowhere/at/all"),
    ({"encoders": [{"ref": "neoberta:unknown"}]}, "names no NeoBERTa of this study"),
    ({"encoders": []}, "encoders"),
    ({"sweep": {"sizes": [1]}}, "sizes are numbers of rows from 2 up"),
    ({"sweeep": {}}, "did you mean sweep"),
    ({"characterize": {"task": "docs/section", "target": "high"}}, "characterize.target"),
]
NO_MODEL = MISTAKES[3]


@pytest.fixture
def sweep(neoberta, tmp_path):
    """`neoberta sweep` of a study."""

    def run(study: dict, *arguments: str, out: str = "out"):
        (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
        return neoberta("sweep", "study.yaml", "--out", out, *arguments)

    return run


def write_csv(path: Path, rows: list[tuple[str, str]]) -> str:
    path.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    return str(path)


def check_one_line(result: subprocess.CompletedProcess[str], message: str, folder: Path) -> None:
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert len([line for line in result.stderr.splitlines() if line.startswith("neoberta: ")]) == 1
    made = {
        path.relative_to(folder).parts[1] for path in (folder / "out").rglob("*") if path.is_file()
    }
    assert made <= {"study.json", "ledger"}


@pytest.mark.parametrize(("change", "message"), MISTAKES)
def test_a_mistake_in_a_study(sweep, tmp_path, change, message):
    check_one_line(sweep(STUDY | change), message, tmp_path)


@pytest.mark.slow
def test_a_process_adds_nothing_to_that_line(tmp_path):
    """One that has loaded what loads most: the libraries that look for a model."""
    change, message = NO_MODEL
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(STUDY | change))
    command = [sys.executable, "-m", "ray_jobs.cli", "sweep", "study.yaml", "--out", "out"]
    result = subprocess.run(
        command, capture_output=True, text=True, timeout=180, cwd=tmp_path, check=False
    )
    check_one_line(result, message, tmp_path)


def test_a_task_of_one_class(sweep, tmp_path):
    task = write_csv(tmp_path / "one.csv", [(f"text {i}", "same") for i in range(20)])
    result = sweep(STUDY | {"tasks": [task]})
    assert result.returncode == 2
    assert "one.csv" in result.stderr and "class" in result.stderr
    assert not (tmp_path / "out" / "tasks").exists()


def test_an_output_that_cannot_be_written(sweep, tmp_path):
    (tmp_path / "file").write_text("in the way")
    result = sweep(STUDY, out="file")
    assert result.returncode == 2
    assert "cannot write there" in result.stderr and "--out" in result.stderr
    assert (tmp_path / "file").read_text() == "in the way"


def test_what_was_understood_is_kept_with_the_study(sweep, tmp_path):
    result = sweep(STUDY | {"tasks": ["nowhere.csv"]}, "--set", "sweep.n_seeds=3")
    assert result.returncode == 2
    assert json.loads((tmp_path / "out" / "study.json").read_text())["sweep"]["n_seeds"] == 3
