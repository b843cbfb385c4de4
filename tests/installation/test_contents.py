"""What the wheel and the sdist are made of: all of the packages, and nothing else."""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from built_package import ROOT, VERSION, Built

PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs")
ESSENTIAL = {
    *(f"{package}/py.typed" for package in PACKAGES),
    *(f"meta/shipped/{metric}/trees.ubj" for metric in ("accuracy", "macro_f1", "auroc")),
    "meta/shipped/log_loss/trees.ubj",
    "meta/shipped/accuracy/view_prior.json",
    "meta/shipped/observations.parquet",
    "meta/encoder_prior.json",
    "meta/task_kinds.json",
    *(f"meta/report/{page}.html.j2" for page in ("base", "parts", "answers")),
    *(f"meta/report/{page}.html.j2" for page in ("characterize", "pilot")),
    "meta/report/report.css",
    *(f"ray_jobs/configs/{preset}.yaml" for preset in ("smoke", "laptop", "full")),
    "cluster/manifests/kubernetes/base/ray-cluster.yaml",
    *(f"cluster/manifests/launcher/{place}.yaml" for place in ("aws", "gcp", "on-premise")),
}

pytestmark = pytest.mark.slow


def package_files() -> set[str]:
    """Every file of the packages in this checkout."""
    return {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def in_sdist(sdist: Path) -> set[str]:
    """Its files, without the folder that they all lie in."""
    with tarfile.open(sdist) as archive:
        return {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}


def test_the_wheel_holds_the_packages_whole_and_nothing_else(built: Built):
    shipped = set(zipfile.ZipFile(built.wheel).namelist())
    described = {name for name in shipped if name.startswith(f"neoberta-{VERSION}.dist-info/")}
    assert shipped - described == package_files()
    assert shipped >= ESSENTIAL
    assert {name.partition("/")[2] for name in described} == {
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    }


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_tests(built: Built):
    shipped = in_sdist(built.sdist)
    described = {name for name in shipped if name.startswith("neoberta.egg-info/")}
    assert shipped - described == package_files() | {
        "LICENSE",
        "MANIFEST.in",
        "PKG-INFO",
        "README.md",
        "constraints.txt",
        "pyproject.toml",
        "setup.cfg",
    }
    assert shipped >= ESSENTIAL


def test_an_index_would_take_them(built: Built):
    command = [sys.executable, "-m", "twine", "check", "--strict", built.wheel, built.sdist]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
