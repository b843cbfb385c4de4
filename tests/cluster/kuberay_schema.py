"""The part of KubeRay's API (ray.io/v1, version 1.7) that the manifests use, as JSON Schema: names,
types and choices, nothing else allowed. Pod templates are objects here; tests check them against
Kubernetes' own schemas."""

from typing import Any


def _object(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _choice(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


TEXT, FLAG, COUNT, POSITIVE = (
    {"type": "string"},
    {"type": "boolean"},
    {"type": "integer", "minimum": 0},
    {"type": "integer", "minimum": 1},
)
TEXTS = {"type": "object", "additionalProperties": TEXT}
POD_TEMPLATE = {"type": "object", "required": ["spec"]}
SECRET = _object(
    ("valueFrom",),
    valueFrom=_object(
        ("secretKeyRef",), secretKeyRef=_object(("name", "key"), name=TEXT, key=TEXT)
    ),
)

HEAD_GROUP = _object(("template",), rayStartParams=TEXTS, resources=TEXTS, template=POD_TEMPLATE)
WORKER_GROUP = _object(
    ("groupName", "minReplicas", "maxReplicas", "template"),
    groupName=TEXT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    idleTimeoutSeconds=COUNT,
    resources=TEXTS,
    rayStartParams=TEXTS,
    template=POD_TEMPLATE,
)
RAY_CLUSTER_SPEC = _object(
    ("headGroupSpec", "rayVersion", "authOptions"),
    rayVersion=TEXT,
    authOptions=_object(("mode",), mode=_choice("disabled", "token"), secretName=TEXT),
    enableInTreeAutoscaling=FLAG,
    autoscalerOptions=_object(
        version=_choice("v1", "v2"),
        upscalingMode=_choice("Default", "Aggressive", "Conservative"),
        idleTimeoutSeconds=COUNT,
        securityContext={"type": "object"},
        resources={"type": "object"},
    ),
    gcsFaultToleranceOptions=_object(redisAddress=TEXT, redisPassword=SECRET),
    headGroupSpec=HEAD_GROUP,
    workerGroupSpecs={"type": "array", "items": WORKER_GROUP},
)
RAY_JOB_SPEC = _object(
    ("entrypoint", "rayClusterSpec"),
    entrypoint=TEXT,
    entrypointResources=TEXT,
    submissionMode=_choice("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    backoffLimit=COUNT,
    preRunningDeadlineSeconds=POSITIVE,
    activeDeadlineSeconds=POSITIVE,
    shutdownAfterJobFinishes=FLAG,
    ttlSecondsAfterFinished=COUNT,
    submitterPodTemplate=POD_TEMPLATE,
    rayClusterSpec=RAY_CLUSTER_SPEC,
)


def _kind(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = _object(
        ("name", "namespace"),
        name={"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,45}[a-z0-9])?$"},
        namespace=TEXT,
    )
    return _object(
        ("spec",),
        apiVersion={"const": "ray.io/v1"},
        kind={"const": kind},
        metadata=metadata,
        spec=spec,
    )


SCHEMAS = {
    "RayCluster": _kind("RayCluster", RAY_CLUSTER_SPEC),
    "RayJob": _kind("RayJob", RAY_JOB_SPEC),
}
"""kind -> schema of the whole object."""
