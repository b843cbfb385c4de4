"""Prometheus and Grafana: they ask for metrics that exist, at ports that are there."""

import importlib.resources
import json
import re
from typing import Any

import jsonschema
from manifest_files import KUBERNETES, built, pod_templates

from cluster.prometheus import Counter
from ray_jobs import counters

POD_MONITOR_SPEC = {
    "type": "object",
    "required": ["selector", "podMetricsEndpoints"],
    "additionalProperties": False,
    "properties": {
        "selector": {"type": "object", "required": ["matchLabels"]},
        "podMetricsEndpoints": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["port"],
                "additionalProperties": False,
                "properties": {
                    "port": {"type": "string"},
                    "interval": {"type": "string", "pattern": "^[0-9]+s$"},
                    "relabelings": {"type": "array"},
                },
            },
        },
    },
}


def dashboard() -> dict[str, Any]:
    return json.loads((KUBERNETES / "monitoring" / "neoberta-dashboard.json").read_text())


def test_pod_monitors_find_the_pods_and_their_ports() -> None:
    templates = [template for item in built("overlays/gpu") for template in pod_templates(item)]
    monitors = [item["spec"] for item in built("monitoring") if item["kind"] == "PodMonitor"]
    found = set()
    for spec in monitors:
        jsonschema.validate(spec, POD_MONITOR_SPEC)
        selected = [
            one
            for one in templates
            if spec["selector"]["matchLabels"].items() <= one["metadata"]["labels"].items()
        ]
        found |= {one["metadata"]["labels"]["neoberta/role"] for one in selected}
        for template in selected:
            ports = {
                port["name"]
                for container in template["spec"]["containers"]
                for port in container["ports"]
            }
            assert {endpoint["port"] for endpoint in spec["podMetricsEndpoints"]} <= ports
    assert found == {"head", "worker"}


def test_the_dashboard_asks_for_metrics_that_exist() -> None:
    """Ours by our own list, Ray's by the source of its own dashboards and of the agent that reports
    nodes."""
    modules = importlib.resources.files("ray.dashboard.modules")
    folders = [modules / "metrics" / "dashboards", modules / "reporter"]
    rays = "\n".join(
        file.read_text()
        for folder in folders
        for file in folder.iterdir()
        if file.name.endswith(".py")
    )
    ours = {f"ray_{own.name}_total" for own in vars(counters).values() if isinstance(own, Counter)}
    asked = {
        name
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
        for name in _names(target["expr"])
    }
    assert ours <= asked
    unknown = {
        name
        for name in asked - ours
        if name not in rays and f'"{name.removeprefix("ray_")}"' not in rays
    }
    assert not unknown and len(asked - ours) > 5


def _names(expression: str) -> list[str]:
    return re.findall(r"\bray_\w+", expression)


def test_the_dashboard_is_laid_out_and_ships_to_grafana() -> None:
    places, ids = set(), set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places and at["x"] + at["w"] <= 24 and panel["id"] not in ids
        places |= cells
        ids.add(panel["id"])
    (config,) = [item for item in built("monitoring") if item["kind"] == "ConfigMap"]
    assert json.loads(config["data"]["neoberta-dashboard.json"]) == dashboard()
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
