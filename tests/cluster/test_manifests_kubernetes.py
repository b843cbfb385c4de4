"""The Kubernetes manifests as kustomize builds them: against Kubernetes' and KubeRay's schemas,
Ray's autoscaler, our rules."""

import json
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import typer.main
import yaml
from kuberay_schema import SCHEMAS
from manifest_files import (
    APPLIED,
    JOBS,
    KUBERNETES,
    MANIFESTS,
    OVERLAYS,
    ROOT,
    built,
    one,
    pinned,
    pod_templates,
    project_version,
    ray_specs,
    yaml_files,
)

from cluster import compat

KUBERNETES_VERSION = "1.33"
YAML_RULES = ROOT / "tests" / "cluster" / "yamllint.yaml"
POD_MONITORS = "monitoring.coreos.com/v1"
RAY_CLIENT_PORT = 10001


@pytest.mark.parametrize(
    "path", yaml_files(), ids=lambda path: path.relative_to(MANIFESTS).as_posix()
)
def test_yaml_is_well_written(path: Path) -> None:
    from yamllint import linter
    from yamllint.config import YamlLintConfig

    problems = list(linter.run(path.read_text(), YamlLintConfig(file=str(YAML_RULES))))
    assert not problems, problems


@pytest.mark.parametrize("folder", APPLIED)
def test_every_object_fits_its_schema(folder: str) -> None:
    """The validators raise where an object does not fit."""
    assert built(folder)
    for item in built(folder):
        if item["kind"] in SCHEMAS:
            jsonschema.validate(item, SCHEMAS[item["kind"]])
        elif item["apiVersion"] != POD_MONITORS:
            kubernetes_validate.validate(item, KUBERNETES_VERSION, strict=True)
        for template in pod_templates(item):
            metadata = {"name": "x", **template.get("metadata", {})}
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": metadata,
                "spec": template["spec"],
            }
            kubernetes_validate.validate(pod, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize(
    "mistake",
    [
        {"rayVersoin": "2.60.0"},
        {"authOptions": {"mode": "Token"}},
        {"enableInTreeAutoscaling": "yes"},
    ],
    ids=str,
)
def test_the_written_schema_refuses(mistake: dict[str, Any]) -> None:
    cluster = one("overlays/cpu", "RayCluster")
    wrong = cluster | {"spec": cluster["spec"] | mistake}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, SCHEMAS["RayCluster"])


@pytest.mark.skipif(
    "KUBERAY_CRDS" not in os.environ,
    reason="set KUBERAY_CRDS to a folder with KubeRay's ray.io_*.yaml",
)
@pytest.mark.parametrize("folder", [*OVERLAYS, *JOBS])
def test_kuberays_own_definitions_agree(folder: str) -> None:
    definitions = [
        yaml.safe_load(path.read_text())
        for path in Path(os.environ["KUBERAY_CRDS"]).glob("ray.io_*.yaml")
    ]
    ours = [item for item in built(folder) if item["apiVersion"] == "ray.io/v1"]
    assert ours
    for item in ours:
        (crd,) = [one for one in definitions if one["spec"]["names"]["kind"] == item["kind"]]
        (version,) = [one for one in crd["spec"]["versions"] if one["name"] == "v1"]
        jsonschema.Draft202012Validator(_closed(version["schema"]["openAPIV3Schema"])).validate(
            item
        )


def _closed(schema: Any, *, is_top: bool = True) -> Any:
    """A CRD's schema as JSON Schema that refuses unknown fields, as Kubernetes does."""
    if isinstance(schema, list):
        return [_closed(one, is_top=False) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value, is_top=False) for name, value in schema.items()}
    if closed.get("x-kubernetes-int-or-string"):
        closed.pop("type", None)
    if is_top:
        closed["properties"]["metadata"] = {"type": "object"}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault(
            "additionalProperties", bool(closed.get("x-kubernetes-preserve-unknown-fields"))
        )
    return closed


@pytest.mark.parametrize("folder", OVERLAYS)
def test_rays_own_autoscaler_understands_the_cluster(folder: str) -> None:
    found = compat.kuberay_autoscaling_config(one(folder, "RayCluster"))
    types = found["available_node_types"]
    assert types["headgroup"]["resources"]["CPU"] == 0
    assert types["driver"]["resources"] == types["driver"]["resources"] | {"CPU": 0, "driver": 1}
    workers = {"cpu", "gpu"} if folder.endswith("gpu") else {"cpu"}
    assert set(types) == workers | {"headgroup", "driver"} and all(
        types[name]["min_workers"] == 0 for name in workers
    )
    assert all(
        types[name]["max_workers"] >= 8 and types[name]["resources"]["CPU"] == 8 for name in workers
    )
    assert ("GPU" in types.get("gpu", {}).get("resources", {})) == folder.endswith("gpu")


@pytest.mark.parametrize("folder", [*OVERLAYS, *JOBS])
def test_kuberays_rules_beyond_its_schema(folder: str) -> None:
    """What its operator refuses (v1.7, validation.go), and what this project promises of every
    cluster."""
    (spec,) = ray_specs(folder)
    assert spec["rayVersion"] == pinned("ray")
    assert spec["authOptions"]["mode"] == "token" and spec["enableInTreeAutoscaling"]
    assert spec["autoscalerOptions"]["version"] == "v2"
    assert (
        spec["gcsFaultToleranceOptions"]["redisAddress"]
        == f"{one(folder, 'StatefulSet')['spec']['serviceName']}:6379"
    )
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        assert group["template"]["spec"].get("restartPolicy", "Never") == "Never"  # autoscaler v2
        assert not {"labels", "resources"} & set(group["rayStartParams"])
        environment = group["template"]["spec"]["containers"][0].get("env", [])
        assert not {variable["name"] for variable in environment} & {
            "REDIS_PASSWORD",
            "RAY_REDIS_ADDRESS",
            "RAY_AUTH_TOKEN",
        }
    (tag,) = {
        group["template"]["spec"]["containers"][0]["image"].partition(":")[2] for group in groups
    }
    assert (
        tag
        == f"{project_version()}-{'cpu' if folder in ('overlays/cpu', 'jobs/sweep') else 'cuda'}"
    )
    ports = groups[0]["template"]["spec"]["containers"][0]["ports"]
    assert RAY_CLIENT_PORT not in [port["containerPort"] for port in ports]


@pytest.mark.parametrize("folder", APPLIED)
def test_every_pod_is_confined(folder: str) -> None:
    """Kubernetes' restricted profile, which the namespace enforces; settings and accounts exist."""
    items = built(folder)
    names = {(item["kind"], item["metadata"]["name"]) for item in items}
    for template in (template for item in items for template in pod_templates(item)):
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        is_head = template["metadata"]["labels"].get("neoberta/role") == "head"
        assert is_head or pod["automountServiceAccountToken"] is False
        assert (
            "serviceAccountName" not in pod
            or ("ServiceAccount", pod["serviceAccountName"]) in names
        )
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert (
                "memory" in container["resources"]["limits"]
                and "cpu" in container["resources"]["requests"]
            )
            for source in container.get("envFrom", []):
                assert ("ConfigMap", source["configMapRef"]["name"]) in names
            assert ":" in container["image"] and not container["image"].endswith(":latest")
    if folder != "monitoring":
        enforced = one(folder, "Namespace")["metadata"]["labels"][
            "pod-security.kubernetes.io/enforce"
        ]
        assert enforced == "restricted" and {
            item["metadata"].get("namespace", "neoberta") for item in items
        } == {"neoberta"}


@pytest.mark.parametrize("folder", APPLIED)
def test_no_secret_is_written_down(folder: str) -> None:
    for item in built(folder):
        assert item["kind"] != "Secret"
        for name, value in _entries(item):
            if re.search("password|token|secret", name, re.IGNORECASE):
                assert isinstance(value, dict | bool), f"{name}: written down"
        containers = [
            container
            for template in pod_templates(item)
            for container in template["spec"]["containers"]
        ]
        for variable in (
            variable for container in containers for variable in container.get("env", [])
        ):
            assert set(variable["valueFrom"]) == {"secretKeyRef"}


def _entries(value: Any) -> Iterator[tuple[str, Any]]:
    """Every name and its value, at any depth."""
    if isinstance(value, dict):
        yield from value.items()
    for inner in (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    ):
        yield from _entries(inner)


@pytest.mark.parametrize("folder", [*OVERLAYS, *JOBS])
def test_network_policies_cover_every_pod_and_let_in_who_must(folder: str) -> None:
    items = built(folder)
    policies = {
        item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "NetworkPolicy"
    }
    pods = [template["metadata"]["labels"] for item in items for template in pod_templates(item)]
    for labels in pods:
        covering = [
            policy for policy in policies.values() if _selects(policy["podSelector"], labels)
        ]
        is_submitter = labels.get("neoberta/role") == "submitter"
        assert is_submitter or any("Ingress" in policy["policyTypes"] for policy in covering), (
            labels
        )
        (among_us,) = policies["neoberta-ray"]["ingress"]
        assert any(_selects(peer["podSelector"], labels) for peer in among_us["from"])
    for rule in (rule for policy in policies.values() for rule in policy.get("ingress", [])):
        assert rule["from"] and all(
            "podSelector" in peer and "ipBlock" not in peer for peer in rule["from"]
        )
    head = next(labels for labels in pods if labels.get("neoberta/role") == "head")
    worker = next(labels for labels in pods if labels.get("neoberta/role") == "worker")
    (rule,) = policies["neoberta-redis"]["ingress"]
    assert [
        any(_selects(peer["podSelector"], labels) for peer in rule["from"])
        for labels in (head, worker)
    ] == [True, False]


def _selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    conditions = selector.get("matchExpressions", [])
    assert all(condition["operator"] == "In" for condition in conditions)
    return wanted.items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in conditions
    )


@pytest.mark.parametrize("folder", JOBS)
def test_a_jobs_command_is_one_that_the_command_line_takes(folder: str) -> None:
    from ray_jobs.cli import app
    from ray_jobs.study import load_preset, load_study

    job = one(folder, "RayJob")["spec"]
    program, name, *arguments = shlex.split(job["entrypoint"])
    assert program == "neoberta" and name == folder.rpartition("/")[2]
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    given = command.make_context(name, arguments).params
    assert given["address"] == "auto" and given["out"] == "$NEOBERTA_OUT"
    assert "NEOBERTA_OUT" in one(folder, "ConfigMap")["data"]
    if name == "pilot":
        load_preset(given["preset"])
    else:
        in_image = Path("/home/ray/studies")  # the Dockerfile copies ray_jobs/configs there
        load_study(ROOT / "ray_jobs" / "configs" / Path(given["config"]).relative_to(in_image))
    offered = [
        group.get("resources", {}).get("driver", "0")
        for group in job["rayClusterSpec"]["workerGroupSpecs"]
    ]
    assert json.loads(job["entrypointResources"])["driver"] <= max(map(int, offered))
    assert job["shutdownAfterJobFinishes"] and "RayCluster" not in [
        item["kind"] for item in built(folder)
    ]


def test_gpus_are_there_when_training_starts() -> None:
    from ray_jobs.study import load_preset

    n_workers = max(run.n_workers for run in load_preset("full").neobertas.values())
    for folder, least in (("jobs/pretrain", n_workers), ("jobs/pilot", 1)):
        groups = one(folder, "RayJob")["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        assert [group["minReplicas"] for group in groups if group["groupName"] == "gpu"] == [least]


def test_what_patches_aim_at_is_there() -> None:
    """kustomize refuses a patch without a target, and `test` operations hold the positions that
    patches count on."""
    bounds = {
        group["groupName"]: group["maxReplicas"]
        for group in ray_specs("overlays/cpu")[0]["workerGroupSpecs"]
    }
    assert bounds == {"driver": 4, "cpu": 50}
    operations = yaml.safe_load((KUBERNETES / "overlays/cpu/more-workers.yaml").read_text())
    assert [operation["op"] for operation in operations] == ["test", "replace"]
