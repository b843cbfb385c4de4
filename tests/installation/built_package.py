"""A built package, and an environment that has nothing but it."""

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "pilot-*")


@dataclass(frozen=True)
class Built:
    """What `python -m build` makes."""

    wheel: Path
    sdist: Path


@dataclass(frozen=True)
class CoreEnvironment:
    """A virtual environment with the wheel and no extra."""

    folder: Path

    def run(self, program: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """One of its programs, which sees neither this checkout nor this environment."""
        return subprocess.run(
            [self.folder / "bin" / program, *arguments],
            capture_output=True,
            text=True,
            timeout=600,
            cwd=cwd,
            env=outside(os.environ),
            check=False,
        )


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what would let a process import from elsewhere than its own
    packages."""
    return {name: value for name, value in environment.items() if not name.startswith("PYTHON")}


def build(folder: Path, out: Path) -> Built:
    """Build from a copy in `folder`, since setuptools writes beside the sources."""
    shutil.copytree(ROOT, folder, ignore=NOT_SOURCE)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", out, folder]
    subprocess.run(command, check=True, timeout=300, capture_output=True, env=outside(os.environ))
    (wheel,), (sdist,) = out.glob("*.whl"), out.glob("*.tar.gz")
    return Built(wheel, sdist)


def install(wheel: Path, folder: Path) -> CoreEnvironment:
    """As docs/install.md says: torch first, so that pip takes the build that is pinned."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
    environment, constraints = CoreEnvironment(folder), ROOT / "constraints.txt"
    (torch,) = [line for line in constraints.read_text().splitlines() if line.startswith("torch==")]
    for asked in ([torch], ["--constraint", str(constraints), str(wheel)]):
        # what is imported is compiled then; compiling all of it would take longer than the tests
        options = ("--quiet", "--disable-pip-version-check", "--no-compile")
        done = environment.run("python", "-m", "pip", "install", *options, *asked, cwd=folder)
        assert done.returncode == 0, done.stderr
    return environment
