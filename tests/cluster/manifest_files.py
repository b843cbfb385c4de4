"""Where the manifests are, and what Kubernetes gets of them."""

import functools
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "cluster" / "manifests"
KUBERNETES = MANIFESTS / "kubernetes"
OVERLAYS = ("overlays/cpu", "overlays/gpu")
JOBS = ("jobs/pretrain", "jobs/sweep", "jobs/pilot")
APPLIED = (*OVERLAYS, *JOBS, "monitoring")
"""What a user applies."""


@functools.cache
def built(folder: str) -> list[dict[str, Any]]:
    """The objects that `kubectl apply -k` would send, by kustomize itself."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", KUBERNETES / folder],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0 and not done.stderr, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def one(folder: str, kind: str) -> dict[str, Any]:
    """The only object of its kind."""
    (found,) = [item for item in built(folder) if item["kind"] == kind]
    return found


def ray_specs(folder: str) -> list[dict[str, Any]]:
    """The Ray clusters of a folder, standing or a job's own."""
    clusters = [item["spec"] for item in built(folder) if item["kind"] == "RayCluster"]
    return clusters + [
        item["spec"]["rayClusterSpec"] for item in built(folder) if item["kind"] == "RayJob"
    ]


def pod_templates(item: dict[str, Any]) -> list[dict[str, Any]]:
    """Every pod template inside an object: mappings with a `spec` that has `containers`."""
    found = []
    for value in item.values() if isinstance(item, dict) else item:
        if isinstance(value, dict | list):
            found += pod_templates(value)
    if isinstance(item, dict) and "containers" in item.get("spec", {}):
        found.append(item)
    return found


def pinned(package: str) -> str:
    """The version of a package in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    (version,) = [
        line.partition("==")[2] for line in lines if line.partition("==")[0].lower() == package
    ]
    return version


def project_version() -> str:
    """Of this project, as pyproject.toml has it."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def yaml_files() -> list[Path]:
    return sorted([*MANIFESTS.rglob("*.yaml"), *MANIFESTS.rglob("*.yml")])
