"""The command line as a user meets it: its exit code, and one line on stderr. Called in this
process (the fixture `neoberta`), and in a real one where that could print more."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from neoberta.extras import MODULES, missing


def run(*arguments: str, cwd=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ray_jobs.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=cwd,
        check=False,
    )


MISTAKES = [
    (("pilto",), "Did you mean 'pilot'"),
    (("pilot", "--presett", "smoke"), "No such option"),
    (("pilot", "--preset", "desktop"), "smoke, laptop, full"),
    (("pilot", "--preset", "labtop"), "did you mean laptop?"),
    (("characterize", "--train", "rows.csv", "--metric", "acuracy"), "did you mean accuracy?"),
    (("pilot", "--dry-run", "--tasks", "./rows.csv"), "no such file or folder"),
    (("characterize",), "Missing option '--train'"),
    (("sweep", "nowhere.yaml"), "nowhere.yaml"),
    (("results", "--out", "nowhere"), "no probe results"),
    (("results",), "see neoberta results --help"),
    (("jobs", "ls"), "see neoberta jobs ls --help"),
    (("pilot", "--dry-run", "--tasks", "nowhere.csv"), "task nowhere.csv: no such file"),
    (
        ("pilot", "--dry-run", "--set", "encoders.0.ref=lsa:abc"),
        "lsa:abc: lsa takes a dimension or the folder",
    ),
    (("encoders", "lsa:abc"), "lsa takes a dimension"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(neoberta, arguments, message, tmp_path):
    check_one_line(neoberta(*arguments), message, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "message"), [MISTAKES[0], MISTAKES[-2]])
def test_a_process_adds_nothing_to_that_line(arguments, message, tmp_path):
    """One that stops at its arguments, and one that has loaded the study."""
    check_one_line(run(*arguments, cwd=tmp_path), message, tmp_path)


def check_one_line(result: subprocess.CompletedProcess[str], message: str, folder: Path) -> None:
    assert result.returncode == 2
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert list(folder.iterdir()) == []


def test_the_plan_of_the_full_preset_is_printed_and_nothing_is_run(neoberta, tmp_path):
    result = neoberta("pilot", "--preset", "full", "--dry-run")
    assert result.returncode == 0, result.stderr
    assert "answerdotai/ModernBERT-base" in result.stdout
    assert "glue/mnli" in result.stdout
    assert "core-hours" in result.stdout
    assert list(tmp_path.iterdir()) == []


def test_a_dry_run_reads_the_files_of_tasks_and_tells_what_it_saw(neoberta, tmp_path):
    rows = [f"a bird sang song {i},{('lark', 'Lark', 'crow', '')[i % 4]}" for i in range(40)]
    (tmp_path / "birds.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "same.csv").write_text("\n".join(["text,label", *rows]))
    (tmp_path / "one.csv").write_text("\n".join(["text,label", *rows[::4]]))
    command = ("pilot", "--preset", "smoke", "--dry-run", "--tasks")
    result = neoberta(*command, "birds.csv")
    assert result.returncode == 0, result.stderr
    assert "'Lark' is also written 'lark'" in result.stderr
    assert "10 rows have no label (empty; the first is row 4): left out" in result.stderr
    for refused, message in (("one.csv", "only one class"), ("same.csv", "are the same task")):
        result = neoberta(*command, "birds.csv", "--tasks", refused)
        assert result.returncode == 2 and message in result.stderr.splitlines()[-1]


def test_encoders_are_shown_in_spite_of_a_mistake_in_one(neoberta):
    result = neoberta("encoders", "lsa:64", "foo:1", "lsa:32")
    assert (
        result.returncode == 2
        and result.stderr.count("\n") == 1
        and "foo:1: unknown family" in result.stderr
    )
    assert "lsa:64" in result.stdout and "lsa:32" in result.stdout


def test_the_command_line_starts_without_ray():
    code = "import sys, ray_jobs.cli; sys.exit('ray' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_forms_of_an_encoder_are_shown_as_they_are_written(neoberta):
    """Brackets are not markup."""
    shown = neoberta("encoders")
    assert shown.returncode == 0
    assert "[@revision]" in shown.stdout and "#layer=6,pooling=mean" in shown.stdout
    assert all(f"cross_{pooling}" in shown.stdout for pooling in ("cls", "mean", "max", "last"))


def test_the_version_is_that_of_the_package():
    shown = run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"neoberta {version('neoberta')}\n")


def test_doctor_names_every_extra_that_is_there():
    shown = run("doctor").stdout
    for extra in MODULES:
        mark = "--  " if missing(extra) else "ok  "
        assert f"{mark} extra {extra} (" in shown
    assert ("C++ compiler" in shown) == (not missing("pretrain"))
