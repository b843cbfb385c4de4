"""A project with files that are called like packages of ours: the command works there, and so does
`from neoberta import ...`, and the project's own imports mean its own files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neoberta.own_packages import NAMES, ROOT, with_own_packages_first

ROWS = [
    {"text": f"{'red' if i % 2 else 'blue'} paint, tin {i}", "label": "ab"[i % 2]}
    for i in range(24)
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with cluster.py, meta.py and a package probes. Each prints when it runs."""
    for file in ("cluster.py", "meta.py", "probes/__init__.py", "probes/metrics.py"):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(f"print('the user file {file} runs'); own = {file!r}\n")
    return tmp_path


def run(project: Path, *arguments: str, path: tuple[str, ...] = ()) -> str:
    """Everything that `python ARGUMENTS` prints in the folder; `path` is put before what the tests'
    own PYTHONPATH needs."""
    places = os.pathsep.join([*path, str(ROOT)])
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=project,
        env=os.environ | {"PYTHONPATH": places},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.parametrize("path", [(), (".",)], ids=["", "PYTHONPATH=."])
def test_the_command_runs_none_of_the_users_files(project: Path, path: tuple[str, ...]) -> None:
    printed = run(project, "-m", "neoberta", "encoders", "lsa:8", path=path)
    assert "user file" not in printed and "lsa:8" in printed


def test_a_script_gets_answers_and_its_own_modules(project: Path) -> None:
    """Also where the user's modules are imported after ours, and where Ray is not installed."""
    (project / "script.py").write_text(
        f"""if True:
        import sys
        sys.modules["ray"] = None  # it cannot be imported
        from neoberta import characterize, load_answers
        import neoberta
        assert neoberta.characterize is characterize
        answers = characterize({ROWS}, encoders="lsa:4")
        answers.save("out")
        assert load_answers("out") == answers, "one class, each time"
        answers.report("out/report.html"), str(answers), answers.to_frame()
        import cluster, meta, probes.metrics
        print([cluster.own, meta.own, probes.metrics.own], load_answers("out").n_train)
        """
    )
    *printed, own_modules = run(project, "script.py").splitlines()
    assert own_modules == "['cluster.py', 'meta.py', 'probes/metrics.py'] 24"
    (warning,) = [line for line in printed if "hide NeoBERTa's packages" in line]
    assert all(str(project / name) in warning for name in ("cluster.py", "meta.py", "probes hide"))
    assert f"{project / 'script.py'}:4" in warning, "where the user imports"
    (warned,) = [i for i, line in enumerate(printed) if line == warning]
    assert not any("user file" in line for line in printed[: warned + 1])


def test_modules_of_the_user_that_are_loaded_already_stay_loaded(project: Path) -> None:
    """One of them hides nothing else: the package `meta` is found, and needs `cluster`."""
    (project / "meta.py").unlink()
    code = (
        "import cluster, probes.metrics, sys; before = dict(sys.modules)\n"
        "from meta import load_answers\n"
        "try: load_answers('nowhere')\n"
        "except Exception as error: print(type(error).__name__, error)\n"
        "import cluster as again; assert again is cluster and again.own\n"
        "assert all(sys.modules[name] is module for name, module in before.items())\n"
        "assert not {'cluster.storage', 'probes.tables'} & set(sys.modules)"
    )
    printed = run(project, "-c", code)
    assert (
        printed.count("user file") == 3 and "UserError" in printed and "no answers.json" in printed
    )


def test_without_such_files_nothing_is_said_or_exchanged(tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()  # data, and no package
    code = (
        "from neoberta import load_answers; import meta, meta.answers, cluster.storage\n"
        "assert load_answers is meta.answers.load_answers"
    )
    assert run(tmp_path, "-c", code) == ""


def test_only_folders_that_hide_a_package_go_behind_ours(project: Path, tmp_path: Path) -> None:
    harmless, stdlib, root = str(tmp_path / "none"), os.path.dirname(json.__path__[0]), str(ROOT)
    hiding = str(project)
    assert with_own_packages_first([stdlib, root, hiding]) == [stdlib, root, hiding]
    assert with_own_packages_first([hiding, harmless, stdlib, root]) == [
        harmless,
        stdlib,
        root,
        hiding,
    ]
    assert with_own_packages_first([harmless, stdlib]) == [harmless, stdlib], "an editable install"
    assert with_own_packages_first([hiding, stdlib]) == [stdlib, root, hiding]


def test_every_package_has_its_name_here() -> None:
    assert set(NAMES) == {path.parent.name for path in ROOT.glob("*/py.typed")}
