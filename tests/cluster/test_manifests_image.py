"""The image and the package: what can be said of them without building an image."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from manifest_files import ROOT

DOCKERFILE = ROOT / "Dockerfile"


def stages() -> dict[str, list[str]]:
    """Target -> its instructions, those of the targets that it stands on first."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text())
    found: dict[str, list[str]] = {}
    for line in (
        line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")
    ):
        start = re.fullmatch(r"FROM (\S+) AS (\S+)", line)
        if start:
            name = start[2]
            found[name] = [*found.get(start[1], []), line]
        else:
            found[name].append(line)
    return found


def test_hadolint_has_nothing_to_say() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run(
        [hadolint, DOCKERFILE], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_the_image_is_pinned_and_not_roots(target: str) -> None:
    lines = stages()[target]
    assert re.search(r"python:3\.11\.\d+-", lines[0])
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users == ["1000:1000"]  # the one of the Kubernetes manifests
    installs = [line for line in lines if "pip install" in line]
    assert installs and all("constraints.txt" in line for line in installs)
    assert (
        "python -m cluster.deepspeed_engine" in installs[-1]
    )  # its operator, compiled where TORCH_EXTENSIONS_DIR says
    assert any("TORCH_EXTENSIONS_DIR=/home/ray/torch_extensions" in line for line in lines)
    assert (
        "COPY --chown=1000:1000 ray_jobs/configs studies" in lines and "WORKDIR /home/ray" in lines
    )
    assert not any(line.startswith("ADD") or "http" in line for line in lines)


def test_nothing_but_the_source_goes_into_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    needed = {
        line.split()[-2]
        for line in stages()["cpu"]
        if line.startswith("COPY --chown") and "." not in line.split()[-2]
    }
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert all((ROOT / name).exists() for name in allowed)
    assert {name.partition("/")[0] for name in needed} | {
        "pyproject.toml",
        "constraints.txt",
    } <= allowed
