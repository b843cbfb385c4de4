"""The wheel in an empty environment: what answering about a CSV needs is there, and no more."""

import json
import random
from pathlib import Path

import pytest
from built_package import VERSION, CoreEnvironment

from neoberta.extras import MODULES

TOPICS = {
    "billing": ["invoice", "refund", "charge", "card", "payment", "price"],
    "delivery": ["parcel", "courier", "late", "address", "tracking", "box"],
}
OF_EXTRAS = sorted({"ray", "deepspeed", "optuna"}.union(*MODULES.values()))

pytestmark = pytest.mark.slow


def made_word(drawn: random.Random) -> str:
    """A word that no other row has: rows that differ in a number alone count once."""
    return "".join(drawn.choices("abcdefghij", k=9))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with labelled.csv, unlabelled.csv and vectors.txt."""
    folder, drawn = tmp_path_factory.mktemp("rows"), random.Random(0)

    def texts(n_rows: int) -> list[tuple[str, str]]:
        labels = drawn.choices(list(TOPICS), k=n_rows)
        return [
            (" ".join(["my", *drawn.choices(TOPICS[label], k=3), made_word(drawn)]), label)
            for label in labels
        ]

    lines = ["text,label", *(",".join(row) for row in texts(60))]
    (folder / "labelled.csv").write_text("\n".join(lines) + "\n")
    (folder / "unlabelled.csv").write_text(
        "\n".join(["text", *(text for text, _ in texts(60))]) + "\n"
    )
    words = [word for topic in TOPICS.values() for word in topic]
    (folder / "vectors.txt").write_text(
        "".join(f"{word} {' '.join(str(drawn.gauss(0, 1)) for _ in range(8))}\n" for word in words)
    )
    return folder


def test_what_the_extras_bring_is_absent(core_environment: CoreEnvironment, tmp_path: Path):
    code = (
        "from importlib.util import find_spec; import neoberta;"
        f" print([name for name in {OF_EXTRAS} if find_spec(name)], neoberta.__file__)"
    )
    done = core_environment.run("python", "-c", code, cwd=tmp_path)
    there, _, file = done.stdout.strip().partition(" ")
    assert there == "[]", done
    assert Path(file).is_relative_to(core_environment.folder)


def test_everything_but_what_runs_on_ray_can_be_imported(
    core_environment: CoreEnvironment, tmp_path: Path
):
    code = """if True:
        import importlib, json, pkgutil
        import cluster, meta, neoberta, probes, ray_jobs
        from neoberta import characterize, load_answers
        failed = {}
        for package in (cluster, meta, neoberta, probes, ray_jobs):
            for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
                try:
                    importlib.import_module(module.name)
                except ModuleNotFoundError as error:
                    failed[module.name] = error.name
        print(json.dumps(failed))
    """
    done = core_environment.run("python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    failed = json.loads(done.stdout)
    assert set(failed.values()) == {"ray", "optuna", "aiohttp"}, failed
    assert all(module.startswith("cluster.") for module in failed), failed


def test_the_version(core_environment: CoreEnvironment, tmp_path: Path):
    done = core_environment.run("neoberta", "--version", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"neoberta {VERSION}\n", "")


def test_a_csv_is_answered_with_encoders_of_every_family(
    core_environment: CoreEnvironment, rows: Path, tmp_path: Path
):
    checkpoint = """if True:
        from pathlib import Path
        from neoberta.checkpoint import save_checkpoint, untrained
        from neoberta.config import ModelConfig
        from neoberta.tokenizer import train_tokenizer
        texts = Path("labelled.csv").read_text().splitlines()
        tokenizer = train_tokenizer(texts, 320)
        shape = ModelConfig(n_layers=1, hidden_size=16, n_heads=2, max_length=32)
        Path("tiny").mkdir()
        save_checkpoint(untrained(shape, tokenizer), tokenizer, Path("tiny"), {})
    """
    done = core_environment.run("python", "-c", checkpoint, cwd=rows)
    assert done.returncode == 0, done.stderr
    encoders = ["lsa:16", "static:vectors.txt", "hf:./tiny", "neoberta:./tiny"]
    arguments = ["--train", "labelled.csv", "--eval", "unlabelled.csv", "--out", str(tmp_path)]
    named = [word for encoder in encoders for word in ("--encoder", encoder)]
    done = core_environment.run("neoberta", "characterize", *arguments, *named, cwd=rows)
    assert done.returncode == 0, done.stderr
    assert "6. Which hyperparameters?" in done.stdout
    answers = json.loads((tmp_path / "answers.json").read_text())
    assert (answers["n_train"], answers["n_eval"]) == (60, 60)
    families = {each["encoder"].partition(":")[0] for each in answers["encoders"]}
    assert families >= {"lsa", "static", "hf"}
    assert "<svg" in (tmp_path / "report.html").read_text()


def test_from_python(core_environment: CoreEnvironment, rows: Path, tmp_path: Path):
    code = f"""if True:
        import sys
        from neoberta import characterize, load_answers
        answers = characterize("labelled.csv", "unlabelled.csv", encoders="lsa:16", target=0.9)
        answers.save({str(tmp_path)!r})
        assert load_answers({str(tmp_path)!r}) == answers
        print(answers.n_train, answers.encoders[0].encoder)
    """
    done = core_environment.run("python", "-c", code, cwd=rows)
    assert (done.returncode, done.stdout) == (0, "60 lsa:16\n"), done.stderr


@pytest.mark.parametrize(
    ("command", "extra"),
    [
        (("neoberta", "pilot", "--preset", "smoke"), "pretrain"),
        (("neoberta", "embed", "study.yaml"), "study"),
        (("neoberta", "characterize", "--train", "labelled.csv", "--address", "auto"), "study"),
        (("neoberta", "jobs", "ls", "--address", "http://127.0.0.1:8265"), "study"),
        (("python", "-m", "cluster.local"), "study"),
    ],
)
def test_a_command_that_needs_more_says_which_extra(
    command: tuple[str, ...], extra: str, core_environment: CoreEnvironment, tmp_path: Path
):
    study = "name: own\ntasks: [docs/kind]\nencoders: [{ref: 'lsa:16'}]\n"
    (tmp_path / "study.yaml").write_text(study + "characterize: {task: docs/library}\n")
    done = core_environment.run(*command, cwd=tmp_path)
    assert done.returncode == 2, done
    assert done.stderr.count("\n") == 1 and f'pip install "neoberta[{extra}]"' in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study.yaml"]


def test_doctor_says_which_extras_are_missing(core_environment: CoreEnvironment, tmp_path: Path):
    shown = core_environment.run("neoberta", "doctor", cwd=tmp_path).stdout
    for extra in ("study", "pretrain", "offline", "tokens"):
        assert f"--   extra {extra} (" in shown
    assert "FAIL torch" not in shown and "compiler" not in shown
