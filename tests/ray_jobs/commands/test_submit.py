"""From the command line to what a cluster's Jobs API is handed. The cluster is a recorder;
`tests/cluster` has a real one."""

import sys
from pathlib import Path

import pytest
import yaml

from cluster.submission import Submission
from ray_jobs import cli
from ray_jobs.commands.jobs import follow

URL = "http://127.0.0.1:8265"


class Recorder:
    """Takes submissions, and follows a job that ends with exit code 7."""

    sent: list[Submission]
    url = URL

    def __init__(self, url: str, *, insecure: bool = False):
        assert url == URL and not insecure

    def submit(
        self, submission: Submission, *, module: str, packages: list[Path]
    ) -> tuple[str, bool]:
        assert module == "ray_jobs.cli" and all(
            (package / "__init__.py").is_file() for package in packages
        )
        Recorder.sent.append(submission)
        return submission.job_id, True

    def dashboard_url(self, job_id: str) -> str:
        return f"{self.url}/#/jobs/{job_id}"

    def follow(self, job_id: str, write) -> int:
        write("what the job printed\n")
        return 7


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Submission]:
    Recorder.sent = []
    monkeypatch.setattr("cluster.job_client.JobClient", Recorder)
    monkeypatch.setenv("NEOBERTA_SHARED_PATHS", str(tmp_path / "shared"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shared").mkdir()
    return Recorder.sent


def neoberta(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["neoberta", *arguments])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    return caught.value.code


def write_study(folder: Path, task: str) -> Path:
    value = {
        "name": "s",
        "tasks": [task],
        "encoders": [{"ref": "lsa:8"}],
        "characterize": {"task": task},
    }
    path = folder / "mine.yaml"
    path.write_text(
        yaml.safe_dump(
            value | {"sweep": {"sizes": [16]}, "metamodel": {"observations": {"sizes": [16]}}}
        )
    )
    return path


def test_however_it_is_typed_it_is_one_job(sent, monkeypatch, tmp_path, capsys) -> None:
    spellings = [
        (
            "pilot",
            "--preset",
            "smoke",
            "--out",
            "shared/out",
            "--set",
            "seed=1",
            "--set",
            "search.n_trials=2",
            "--address",
            URL,
        ),
        (
            "pilot",
            f"--address={URL}",
            "--set=seed=1",
            f"--out={tmp_path}/shared/out",
            "--set=search.n_trials=2",
            "--preset=smoke",
        ),
    ]
    assert [neoberta(monkeypatch, *spelling) for spelling in spellings] == [7, 7], (
        "the job's exit code"
    )
    first, second = sent
    assert first == second and first.files == {}
    out = f"--out={tmp_path}/shared/out"
    assert first.arguments == (
        "pilot",
        "--preset=smoke",
        out,
        "--set=seed=1",
        "--set=search.n_trials=2",
        "--address=auto",
    )
    printed = capsys.readouterr()
    assert printed.out == "what the job printed\n" * 2
    assert f"submitted: {first.job_id}\ndashboard: {URL}/#/jobs/{first.job_id}\n" in printed.err


def test_the_configuration_travels_and_data_stays(sent, monkeypatch, tmp_path) -> None:
    task = tmp_path / "shared" / "a.csv"
    task.write_text("text,label\nfirst,a\nsecond,b\nthird,a\nfourth,b\n")
    study = write_study(tmp_path, str(task))
    for command in ("tokenizer", "pretrain", "embed", "sweep", "fit", "search", "report"):
        assert (
            neoberta(
                monkeypatch, command, "mine.yaml", "--out", "s3://bucket/study", "--address", URL
            )
            == 7
        )
        assert sent[-1].arguments == (
            command,
            "study.yaml",
            "--out=s3://bucket/study",
            "--address=auto",
        )
        assert sent[-1].files == {"study.yaml": study.read_bytes()} and sent[-1].name == command
    assert (
        neoberta(
            monkeypatch,
            "sweep",
            "mine.yaml",
            "--out=s3://b/s",
            "--probes=ridge",
            "--no-wait",
            "--address",
            URL,
        )
        == 0
    )
    assert "--probes=ridge" in sent[-1].arguments and "--no-wait" not in sent[-1].arguments


def test_characterize_writes_its_paths_in_full(sent, monkeypatch, tmp_path) -> None:
    train = tmp_path / "shared" / "train.csv"
    train.write_text("text,label\n")
    given = (
        "characterize",
        "--train",
        "shared/train.csv",
        "--encoder",
        "lsa:8",
        "--out",
        "shared/answers",
        "--target",
        "0.9",
    )
    assert neoberta(monkeypatch, *given, "--address", URL) == 7
    words = (
        "--encoder=lsa:8",
        "--metric=accuracy",
        "--target=0.9",
        f"--out={tmp_path}/shared/answers",
    )
    assert sent[0].arguments[:6] == ("characterize", f"--train={train}", *words)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pilot", "--preset=smoke"), "the cluster does not see --out"),
        (
            ("pilot", "--preset=smoke", "--out=s3://b/x", "--tasks=mine.csv"),
            "the cluster does not see task mine.csv",
        ),
        (
            ("pilot", "--preset=smoke", "--out=s3://b/x", "--set=encoders.0.ref=static:v.txt"),
            "does not see encoder static:v.txt",
        ),
        (
            ("characterize", "--train=mine.csv", "--out=s3://b/x"),
            "the cluster does not see --train",
        ),
        (
            ("characterize", "--train=shared/no.csv", "--out=s3://b/x"),
            "shared/no.csv: no such file",
        ),
        (
            ("pilot", "--preset=smoke", "--out=s3://b/x", "--tasks=shared/rel.csv"),
            "write the path in full",
        ),
        (("pilot", "--preset=smoke", "--out=s3://me:pass@b/x"), "without keys"),
        (
            ("pilot", "--preset=smoke", "--out=s3://b/x", "--job-config=job.yaml"),
            "unknown key env_var; did you mean env_vars?",
        ),
        (
            ("pilot", "--preset=smoke", "--out=s3://b/x", "--job-config=token.yaml"),
            "HF_TOKEN: looks like a secret",
        ),
        (("pilot", "--preset=smokes", "--out=s3://b/x"), "--preset smokes"),
    ],
)
def test_what_is_refused_is_one_line_and_nothing_is_sent(
    sent, monkeypatch, tmp_path, capsys, arguments, message
) -> None:
    for name in ("mine.csv", "v.txt", "shared/rel.csv"):
        (tmp_path / name).write_text("text,label\n")
    (tmp_path / "job.yaml").write_text("env_var: {A: b}\n")
    (tmp_path / "token.yaml").write_text("env_vars: {HF_TOKEN: b}\n")
    assert neoberta(monkeypatch, *arguments, "--address", URL) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1
    assert sent == []


def test_no_address_that_others_can_listen_to(sent, monkeypatch, capsys) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "t" * 64)
    assert (
        neoberta(
            monkeypatch, "pilot", "--preset=smoke", "--out=s3://b/x", "--address=http://head:8265"
        )
        == 2
    )
    assert "not encrypted" in capsys.readouterr().err
    assert sent == []


def test_the_plan_is_printed_here(sent, monkeypatch, capsys) -> None:
    assert neoberta(monkeypatch, "pilot", "--preset=smoke", "--dry-run", "--address", URL) == 0
    assert "Plan of the study smoke" in capsys.readouterr().out and sent == []


def test_the_job_config_arrives(sent, monkeypatch, tmp_path) -> None:
    (tmp_path / "job.yaml").write_text(
        "{driver_cpus: 2, env_vars: {AWS_REGION: x}, pip: [a==1], metadata: {team: t}}"
    )
    assert (
        neoberta(
            monkeypatch,
            "pilot",
            "--preset=smoke",
            "--out=s3://b/x",
            "--job-config=job.yaml",
            "--address",
            URL,
        )
        == 7
    )
    [job] = sent
    assert (job.driver_cpus, job.env_vars, job.pip, job.metadata) == (
        2,
        {"AWS_REGION": "x"},
        ("a==1",),
        {"team": "t"},
    )


def test_leaving_and_losing_a_job(monkeypatch, capsys) -> None:
    from cluster.job_client import LostContactError

    for error, code, said in (
        (KeyboardInterrupt(), 130, "detached"),
        (LostContactError("no answer"), 1, "no answer"),
    ):

        def interrupted(*_, error=error):
            raise error

        monkeypatch.setattr(Recorder, "follow", interrupted)
        assert follow(Recorder(URL), "neoberta-x") == code
        printed = capsys.readouterr().err
        assert (
            said in printed and f"neoberta jobs logs neoberta-x --follow --address {URL}" in printed
        )
