"""What becomes of a submitted command: its entry point, what travels with it, its name, and what is
refused. No Ray."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.authentication import check_jobs_url, find_token, is_jobs_url
from cluster.storage import UserError
from cluster.submission import (
    Submission,
    check_id,
    exit_code,
    fill_working_dir,
    is_in_shared_folder,
    next_id,
)

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a" * 64

# --- the job --------------------------------------------------------------------------------------


def test_the_entry_point_survives_the_shell() -> None:
    arguments = ("sweep", "study.yaml", "--set=tasks=['a b.csv', \"$HOME\"]", "--out=/x;y")
    command = Submission("sweep", arguments).entrypoint("ray_jobs.cli")
    assert shlex.split(command) == ["python", "-m", "ray_jobs.cli", *arguments]
    child = subprocess.run(
        command.replace("python -m ray_jobs.cli", "printf '%s\\n'"),
        check=True,
        shell=True,
        text=True,
        capture_output=True,
    )
    assert child.stdout.splitlines() == list(arguments)


def test_the_name_is_what_the_job_does() -> None:
    job = Submission("sweep", ("sweep", "study.yaml"), {"study.yaml": b"name: a"})
    assert (
        job.job_id
        == Submission("sweep", ("sweep", "study.yaml"), {"study.yaml": b"name: a"}).job_id
    )
    others = [
        Submission("sweep", ("sweep", "study.yaml", "--out=x"), {"study.yaml": b"name: a"}),
        Submission("sweep", ("sweep", "study.yaml"), {"study.yaml": b"name: b"}),
        Submission(
            "sweep", ("sweep", "study.yaml"), {"study.yaml": b"name: a"}, env_vars={"A": "1"}
        ),
        Submission("sweep", ("sweep", "study.yaml"), {"study.yaml": b"name: a"}, pip=("x==1",)),
    ]
    assert len({job.job_id, *(other.job_id for other in others)}) == 5
    assert (
        Submission(
            "sweep", ("sweep", "study.yaml"), {"study.yaml": b"name: a"}, driver_cpus=4
        ).job_id
        == job.job_id
    )
    assert check_id(job.job_id).startswith("neoberta-sweep-")


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({}, ("j", False)),
        ({"j": False}, ("j", True)),
        ({"j": True}, ("j-2", False)),
        ({"j": True, "j-2": False}, ("j-2", True)),
        ({"j": True, "j-2": True, "other": False}, ("j-3", False)),
    ],
)
def test_the_same_command_finds_its_own_job_or_runs_anew(ended, expected) -> None:
    assert next_id("j", ended) == expected


@pytest.mark.parametrize("bad", ["", "../jobs", "a/b", "a?b", "-x", "a b", "a\n"])
def test_what_is_no_id_reaches_no_url(bad) -> None:
    with pytest.raises(UserError, match="not the id of a job"):
        check_id(bad)


@pytest.mark.parametrize(
    ("status", "driver", "expected"),
    [
        ("SUCCEEDED", 0, 0),
        ("FAILED", 2, 2),
        ("FAILED", -9, 137),
        ("FAILED", None, 1),
        ("STOPPED", None, 130),
    ],
)
def test_exit_codes(status, driver, expected) -> None:
    assert exit_code(status, driver) == expected


# --- what travels ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_source_travels_and_runs_and_nothing_else_does(tmp_path: Path) -> None:
    packages = [ROOT / name for name in ("neoberta", "probes", "meta", "cluster", "ray_jobs")]
    fill_working_dir(tmp_path, packages, {"study.yaml": b"name: x"})
    assert {path.name for path in tmp_path.iterdir()} == {
        "study.yaml",
        *(package.name for package in packages),
    }
    names = [path.name for path in tmp_path.rglob("*")]
    assert "__pycache__" not in names and not [
        name for name in names if name.startswith(".") or name.endswith(".pyc")
    ]
    assert (tmp_path / "meta" / "shipped").is_dir() and (
        tmp_path / "ray_jobs" / "configs" / "smoke.yaml"
    ).is_file()
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 20e6
    code = (
        "import ray_jobs.cli, meta.answers, probes.sweep.block, cluster.storage, neoberta.config,"
        " sys; print(ray_jobs.__file__)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True
    )
    assert Path(child.stdout.strip()).is_relative_to(tmp_path.resolve())


def test_what_the_cluster_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, private = tmp_path / "shared", tmp_path / "private"
    shared.mkdir()
    private.mkdir()
    assert is_in_shared_folder(shared / "out", [shared]) and is_in_shared_folder(shared, [shared])
    assert not is_in_shared_folder(private / "out", [shared]) and not is_in_shared_folder(
        tmp_path / "shared2", [shared]
    )
    assert not is_in_shared_folder(shared / ".." / "private", [shared]) and not is_in_shared_folder(
        shared, []
    )
    (shared / "link").symlink_to(private)
    assert not is_in_shared_folder(shared / "link" / "out", [shared]), "a link that leads out of it"
    monkeypatch.chdir(shared)
    assert is_in_shared_folder(Path("out"), [shared])


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "openai_api_key", "DB_PASSWORD"],
)
def test_secrets_are_refused_by_their_names(name) -> None:
    for where in ("env_vars", "metadata"):
        with pytest.raises(UserError, match=f"{name}: looks like a secret") as caught:
            Submission("sweep", (), **{where: {name: "hush-hush"}})
        assert "hush-hush" not in str(caught.value)


def test_what_only_looks_alike_is_not_refused() -> None:
    variables = {
        "TOKENIZERS_PARALLELISM": "false",
        "RAY_AUTH_TOKEN_PATH": "/run/token",
        "MONKEY": "1",
        "AWS_REGION": "x",
    }
    assert Submission("sweep", (), env_vars=variables).env_vars == variables


@pytest.mark.parametrize(
    "parts",
    [
        {"arguments": ("--out=s3://key:hush-hush@bucket/x",)},
        {"arguments": (), "files": {"study.yaml": b"tasks: [https://me:hush-hush@host/a.csv]"}},
        {"arguments": (), "env_vars": {"PROXY": "http://me:hush-hush@proxy"}},
        {"arguments": (), "pip": ("x @ https://me:hush-hush@index/x.whl",)},
    ],
)
def test_passwords_in_uris_are_refused(parts) -> None:
    with pytest.raises(UserError, match="a URI with a password") as caught:
        Submission("sweep", **parts)
    assert "hush-hush" not in str(caught.value)


# --- the token and the address --------------------------------------------------------------------


def test_the_token_is_looked_for_where_ray_looks(tmp_path: Path) -> None:
    assert find_token({}, tmp_path) is None
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("home\n")
    (tmp_path / "file").write_text("file\n")
    assert find_token({}, tmp_path) == "home"
    assert find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "file")}, tmp_path) == "file"
    assert (
        find_token(
            {"RAY_AUTH_TOKEN": "own", "RAY_AUTH_TOKEN_PATH": str(tmp_path / "file")}, tmp_path
        )
        == "own"
    )
    with pytest.raises(UserError, match=r"RAY_AUTH_TOKEN_PATH=.*nowhere: cannot be read"):
        find_token({"RAY_AUTH_TOKEN_PATH": str(tmp_path / "nowhere")}, tmp_path)


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8265", "http://localhost:8265/", "http://[::1]:8265", "https://127.3.2.1"],
)
def test_loopback_needs_nothing(url) -> None:
    check_jobs_url(url, None)


@pytest.mark.parametrize(
    ("url", "token", "message"),
    [
        ("http://head:8265", TOKEN, "not encrypted"),
        ("http://10.0.0.5:8265", None, "not encrypted"),
        ("http://localhost.evil.org:8265", TOKEN, "not encrypted"),
        ("http://127.0.0.1.evil.org:8265", TOKEN, "not encrypted"),
        ("https://head:8265", None, "no token"),
        ("https://me:hush-hush@head", TOKEN, "no passwords in an address"),
        ("http://127.0.0.1:8265@evil.org", TOKEN, "no passwords in an address"),
        ("http://127.0.0.1:port", TOKEN, "not an address"),
        ("http://", TOKEN, "not an address"),
        ("http://127.0.0.1:8265/api?x=1", TOKEN, "not an address"),
    ],
)
def test_what_nothing_is_sent_to(url, token, message) -> None:
    with pytest.raises(UserError, match=message) as caught:
        check_jobs_url(url, token)
    assert "hush-hush" not in str(caught.value) and TOKEN not in str(caught.value)


def test_what_the_user_answers_for() -> None:
    check_jobs_url("https://head:8265", TOKEN)
    check_jobs_url("http://head:8265", None, insecure=True)
    check_jobs_url("https://head:8265", None, insecure=True)
    assert is_jobs_url("https://head") and is_jobs_url("http://head:8265")
    assert not is_jobs_url(None) and not is_jobs_url("auto") and not is_jobs_url("10.0.0.5:6379")
