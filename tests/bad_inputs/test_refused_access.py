"""Files and folders that this user may not read or write: one line with the path and the remedy,
exit code 2; none of them is called damaged or absent."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_models import save_tiny_model

from cluster.storage import UserError
from meta.answers import load_answers
from meta.metamodel.stored import shipped_folder
from ray_jobs.commands.characterize import run_characterize

ROOT = Path(__file__).resolve().parents[2]
DROPPED = "-dac_override,-dac_read_search"
"""Root's right to read and write everything."""

TRY_ALL = """
import contextlib, io, json, os, sys
from pathlib import Path
from ray_jobs import cli

def run(arguments):
    said = io.StringIO()
    sys.argv = ["neoberta", *arguments]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as ended:
            return ended.code, said.getvalue()
        except BaseException as error:
            return 1, f"traceback: {error!r}"

def python(what, *arguments):
    import neoberta
    try:
        getattr(neoberta, what)(*arguments[:1], **dict(zip(["cache", "encoders"], arguments[1:])))
    except Exception as error:
        return (2 if type(error).__name__ == "UserError" else 1), f"neoberta: {error}"
    return 0, ""

found = {}
for path, mode, arguments in json.loads(sys.stdin.read()):
    before = os.stat(path).st_mode
    os.chmod(path, mode)
    try:
        call = python if arguments[0] in ("characterize()", "load_answers()") else run
        arguments[0] = arguments[0].removesuffix("()")
        found[f"{path} {mode:o}"] = call(*arguments) if call is python else run(arguments)
    finally:
        os.chmod(path, before)
print(json.dumps(found))
"""


def run_without_roots_rights(code: str, given: object, cwd: Path) -> str:
    """What the code prints, in a process to which modes apply also where root runs the tests."""
    command = [sys.executable, "-c", code]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root reads everything, and there is no setpriv to drop that right")
        command = ["setpriv", f"--bounding-set={DROPPED}", f"--inh-caps={DROPPED}", *command]
    done = subprocess.run(
        command,
        input=json.dumps(given),
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if "setpriv: " in done.stderr:
        pytest.skip(f"the right of root to read everything cannot be dropped: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A table, what a run on it has made, a model, a copy of a metamodel, a study."""
    rows = [f"{'red' if i % 2 else 'blue'} paint, tin {i};{'ab'[i % 2]}" for i in range(24)]
    (tmp_path / "train.csv").write_text("\n".join(["text;label", *rows]) + "\n")
    run_characterize(train=tmp_path / "train.csv", encoders=("lsa:4",), out=str(tmp_path / "out"))
    save_tiny_model(tmp_path / "model")
    shutil.copytree(shipped_folder() / "accuracy", tmp_path / "metamodel")
    (tmp_path / "study" / "probes").mkdir(parents=True)
    (tmp_path / "study.yaml").write_text("name: one\n")
    return tmp_path


@pytest.mark.slow
def test_what_may_not_be_read_or_written_is_called_that(place: Path) -> None:
    (segment,) = (place / "out" / "embeddings").rglob("*.safetensors")
    table = ["characterize", "--train", "train.csv", "--encoder", "lsa:4"]
    again = [*table, "--out", "out"]
    cases: list[tuple[Path, int, list[str]]] = [
        (place / "train.csv", 0, again),
        (segment, 0, again),
        (segment.parent, 0, again),
        (place / "out" / "embeddings", 0, again),
        (place / "out", 0, again),
        (place / "out", 0o555, again),
        (place / "out" / "answers.json", 0, ["load_answers()", "out"]),
        (place / "metamodel" / "card.json", 0, [*table, "--metamodel", "metamodel", "--out", "b"]),
        (place / "metamodel" / "trees.ubj", 0, [*table, "--metamodel", "metamodel", "--out", "b"]),
        (place / "metamodel", 0, [*table, "--metamodel", "metamodel", "--out", "b"]),
        *(
            (place / "model" / name, 0, ["encoders", "hf:model"])
            for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
        ),
        (place / "model" / "model.safetensors", 0, ["encoders", "neoberta:model"]),
        (place / "model", 0, ["encoders", "hf:model"]),
        (place / "study" / "probes", 0, ["results", "--out", "study"]),
        (place / "study", 0, ["results", "--out", "study"]),
        (place / "study.yaml", 0, ["fit", "study.yaml"]),
        (place / "study", 0o555, ["characterize()", "train.csv", "study", "lsa:4"]),
    ]
    given = [(str(path), mode, list(arguments)) for path, mode, arguments in cases]
    found = json.loads(run_without_roots_rights(TRY_ALL, given, place))
    for path, mode, _ in cases:
        code, said = found[f"{path} {mode:o}"]
        assert code == 2, (path, said)
        (line,) = [line for line in said.splitlines() if line.startswith("neoberta: ")]
        assert "(Permission denied)" in line and path.name in line, (path, line)
        verb = "cannot be read" if mode == 0 else "cannot (be written|write there)"
        assert re.search(verb, line), line
        assert not any(word in line for word in ("damaged", "no such", "no probe", "missing"))


def test_a_link_to_nothing_and_a_folder_for_a_file_are_called_that(
    neoberta, tmp_path: Path
) -> None:
    (tmp_path / "train.csv").symlink_to("moved.csv")
    done = neoberta("characterize", "--train", "train.csv")
    assert done.returncode == 2
    assert "train.csv: a link to moved.csv, which is not there" in done.stderr
    (tmp_path / "answers.json").mkdir()
    with pytest.raises(UserError, match=r"answers\.json: is a folder, and a file is expected"):
        load_answers(str(tmp_path))


def test_a_file_system_that_is_read_only(neoberta, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a read-only file system can only be mounted with the right to mount")
    try:
        rows = [f"{'red' if i % 2 else 'blue'} paint {i},{'ab'[i % 2]}" for i in range(24)]
        (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]) + "\n")
        for out in (disk, disk / "new"):
            table = ("--train", "train.csv", "--encoder", "lsa:4")
            done = neoberta("characterize", *table, "--out", str(out))
            assert done.returncode == 2 and done.stderr.count("\n") == 1
            assert f"{out}: cannot write there (Read-only file system); choose" in done.stderr
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=10)
