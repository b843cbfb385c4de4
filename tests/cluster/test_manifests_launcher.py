"""The cluster launcher's files through Ray's own preparation and validation, for AWS against a
made-up one, and our rules."""

import importlib.resources
import json
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from manifest_files import MANIFESTS, pinned, project_version

LAUNCHER = MANIFESTS / "launcher"
NAMES = ("aws", "gcp", "on-premise")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((LAUNCHER / f"{name}.yaml").read_text())


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_rays_own_schema_and_defaults(name: str) -> None:
    from ray.autoscaler import sdk

    schema = json.loads(
        (importlib.resources.files("ray.autoscaler") / "ray-schema.json").read_text()
    )
    filled = sdk.fillout_defaults(read(name))
    jsonschema.validate(filled, schema)
    types = filled["available_node_types"]
    assert filled["head_node_type"] in types
    assert sum(one.get("min_workers", 0) for one in types.values()) <= filled["max_workers"]
    given = read(name)
    for commands in (
        "setup_commands",
        "initialization_commands",
        "head_start_ray_commands",
        "worker_start_ray_commands",
    ):
        assert (
            filled[commands] == given[commands]
        )  # none of Ray's defaults: they install a nightly and open the dashboard


def test_ray_prepares_the_on_premise_cluster_to_the_end() -> None:
    from ray.autoscaler import sdk

    ready = sdk.bootstrap_config(read("on-premise"), no_config_cache=True)
    (only,) = ready["available_node_types"].values()
    assert only["max_workers"] == ready["max_workers"] == len(ready["provider"]["worker_ips"])


@pytest.mark.slow
def test_ray_prepares_the_aws_cluster_against_a_made_up_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that `ray up` does before it starts an instance: node types, keys, subnets, security
    group, images."""
    from moto import mock_aws
    from moto.ec2.models import instance_types
    from ray.autoscaler import sdk

    monkeypatch.setenv("HOME", str(tmp_path))  # it writes an SSH key there
    (tmp_path / ".ssh").mkdir()
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "made-up")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    wanted = {
        one["node_config"]["InstanceType"] for one in read("aws")["available_node_types"].values()
    }
    catalogue = {
        name: facts for name, facts in instance_types.INSTANCE_TYPES.items() if name in wanted
    }
    monkeypatch.setattr(
        instance_types, "INSTANCE_TYPES", catalogue
    )  # all of them take it minutes on a busy machine
    with mock_aws():
        ready = sdk.bootstrap_config(read("aws"), no_config_cache=True)
    types = ready["available_node_types"]
    assert {name: one["resources"].get("CPU") for name, one in types.items()} == {
        "head": 0,
        "driver": 0,
        "cpu": 16,
        "gpu": 8,
    }
    for name, one in types.items():
        is_spot = one["node_config"].get("InstanceMarketOptions") == {"MarketType": "spot"}
        assert is_spot == (name in ("cpu", "gpu"))
        assert one["node_config"]["MetadataOptions"]["HttpTokens"] == "required"
        assert (
            one["node_config"]["ImageId"]
            and one["node_config"]["SecurityGroupIds"]
            and one["node_config"]["SubnetIds"]
        )
        assert one["node_config"]["IamInstanceProfile"]["Name"] == (
            "neoberta-head" if name == "head" else "neoberta-worker"
        )


def test_spot_workers_and_a_head_that_stays_on_google_cloud() -> None:
    types = read("gcp")["available_node_types"]
    assert {
        name
        for name, one in types.items()
        if {"preemptible": True} in one["node_config"].get("scheduling", [])
    } == {"cpu"}


@pytest.mark.parametrize("name", NAMES)
def test_every_file_keeps_our_promises(name: str) -> None:
    """Token on every start, dashboard on loopback, no tasks on the head, no client port; the token
    travels as a file."""
    config = read(name)
    assert config["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
    starts = {}
    for role in ("head", "worker"):
        stop, start = config[f"{role}_start_ray_commands"]
        assert stop == "ray stop" and start.startswith("RAY_AUTH_MODE=token ray start ")
        starts[role] = dict(part.lstrip("-").partition("=")[::2] for part in shlex.split(start)[3:])
    assert (
        starts["head"]["dashboard-host"] == "127.0.0.1"
        and starts["worker"]["address"] == "$RAY_HEAD_IP:6379"
    )
    assert all(
        "ray-client-server-port" not in start and start["metrics-export-port"] == "8080"
        for start in starts.values()
    )
    if name == "on-premise":
        assert (
            starts["head"]["num-cpus"] == "0"
            and json.loads(starts["head"]["resources"])["driver"] > 0
        )
    else:
        types = config["available_node_types"]
        assert types["head"]["resources"]["CPU"] == 0 and types["driver"]["resources"]["driver"] > 0
        assert sum(one.get("max_workers", 0) for one in types.values()) == config["max_workers"]
    text = (LAUNCHER / f"{name}.yaml").read_text()
    assert not re.search(r"RAY_AUTH_TOKEN|secret|password|AKIA", text)
    assert set(re.findall(r"neoberta:([\w.-]+)", text)) <= {
        f"{project_version()}-cpu",
        f"{project_version()}-cuda",
    }
    for package in re.findall(r"--constraint /home/ray/constraints.txt ([\w-]+)", text):
        assert pinned(package)


def test_the_options_of_ray_start_exist() -> None:
    """Ray's command line itself parses them; nothing is started."""
    from ray.scripts.scripts import start

    for name in NAMES:
        for role in ("head", "worker"):
            command = read(name)[f"{role}_start_ray_commands"][1]
            arguments = shlex.split(command.partition("ray start ")[2])
            assert start.make_context("start", arguments).params["head"] == (role == "head")


def test_prometheus_scrapes_the_nodes_that_ray_lists() -> None:
    files = importlib.resources.files("ray.dashboard.modules.metrics")
    theirs = yaml.safe_load((files / "export" / "prometheus" / "prometheus.yml").read_text())
    ours = yaml.safe_load((LAUNCHER / "prometheus.yml").read_text())
    assert ours["scrape_configs"] == theirs["scrape_configs"]
