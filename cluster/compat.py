"""What this package relies on in Ray 2.60 beyond its public API. The only module that touches
`ray._private`.

| behaviour relied on | held by | |---|---| | `ENABLE_RAY_CLUSTER = False` makes every process of a
local Ray bind 127.0.0.1 | test_session: ports on loopback only | | `RayParams` and
`Node.start_api_server` are looked up on their modules when `ray.init` runs | test_session: no
dashboard | | without dashboard packages the node's agent serves no HTTP (no Jobs API to attack, a
faster start) | test_session: ports | | children get PR_SET_PDEATHSIG: they die with the driver,
also by SIGKILL | test_session: orphans | | `AuthenticationTokenLoader` and `Config` cache the
environment until told to read it again | test_session: two in a row | | Tune calls a Callback in
the driver's process, pickles it only for a restore | test_tune: on_done with a lock | | Ray Data
takes `max_task_retries` among the untyped arguments; never replaces a dead actor | test_data:
kills_its_process | | `TorchTrainer._create_default_callbacks` names Train's callbacks, one asks a
dashboard | test_train: no_cleaner | | an `external` node provider may be a function; the fake one
has `_create_node_with_resources_and_labels` | test_local | | a driver prints what it hears of dead
workers by `print_to_stdstream` | test_session: dead_worker | | `_global_node.all_processes` holds
the raylet's Popen; a raylet ends with an agent of its | test_session: lost_node | |
`RAY_AIR_NEW_OUTPUT=0` and `verbose=0` silence Tune; the C++ core obeys `RAY_BACKEND_LOG_LEVEL` |
test_session: quiet |
"""

import contextlib
import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import ray._private.node
import ray._private.parameter
import ray._private.ray_constants
import ray._private.utils
import ray._private.worker
from ray._private.services import ProcessInfo
from ray._raylet import (  # type: ignore[attr-defined]  # Ray's stub of it lacks both
    AuthenticationTokenLoader,
    Config,
)

_AGENTS = ("DashboardAgent", "dashboard/agent.py", "RuntimeEnvAgent", "runtime_env/agent/main.py")
"""In the command lines of a raylet's agents, after and before they name themselves."""


@contextlib.contextmanager
def embedded_node() -> Iterator[None]:
    """Within the block `ray.init(address="local")` starts only what a private Ray needs (GCS,
    raylet and its agents) and binds loopback. Without it Ray also starts an autoscaler monitor, a
    log monitor and a dashboard (three Python processes: seconds of a small machine's time) and
    listens on every interface."""
    parameters = functools.partial(
        ray._private.parameter.RayParams,
        no_monitor=True,
        include_log_monitor=False,  # type: ignore[arg-type]  # Ray writes str, and means bool
        dashboard_agent_listen_port=0,
    )
    with (
        mock.patch.object(ray._private.ray_constants, "ENABLE_RAY_CLUSTER", False),
        mock.patch.object(ray._private.parameter, "RayParams", parameters),
        mock.patch.object(ray._private.node.Node, "start_api_server", _no_api_server),
        mock.patch.object(ray._private.utils, "get_dashboard_dependency_error", _no_dashboard),
    ):
        yield


def node_pids() -> list[int]:
    """The processes that the Ray which this process started cannot lose: its raylet, then (on
    Linux) the raylet's two agents. Empty if it started none."""
    node = ray._private.worker._global_node
    processes: list[ProcessInfo] = (
        node.all_processes.get(ray._private.ray_constants.PROCESS_TYPE_RAYLET, [])
        if node is not None
        else []
    )
    found = [info.process.pid for info in processes]
    for raylet in list(found):
        with contextlib.suppress(OSError):
            for child in Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split():
                command = Path(f"/proc/{child}/cmdline").read_text(errors="replace")
                if any(agent in command for agent in _AGENTS):
                    found.append(int(child))
    return found


@contextlib.contextmanager
def errors_into_log() -> Iterator[None]:
    """Within the block what a driver hears of dead workers and retries goes to the logger
    `ray.errors` instead of to standard output, where it would stand in the middle of a command's
    own lines."""
    with mock.patch.object(ray._private.worker, "print_to_stdstream", _log_lines):
        yield


def _log_lines(message: dict[str, Any], *_: Any, **__: Any) -> None:
    for line in message["lines"]:
        logging.getLogger("ray.errors").warning("%s", line)


def _no_api_server(node: Any, **_: Any) -> None:
    node._webui_url = None


def _no_dashboard() -> ImportError:
    return ImportError("an embedded Ray has no dashboard")


def read_authentication_again() -> None:
    """Make this process see the present RAY_AUTH_MODE and RAY_AUTH_TOKEN: Ray reads them once, when
    it is imported."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def local_node_provider(provider_config: dict[str, Any], cluster_name: str) -> Any:
    """Ray's fake multi-node provider (nodes are processes of this machine) for `cluster.local`, as
    a cloud's would behave: a node that was killed is gone, and is replaced; node types may have
    memory, which it would take for a custom resource and refuse (a node finds its memory out by
    itself)."""
    from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

    # nothing of the base class is annotated: hence the ignored errors
    class LocalNodeProvider(FakeMultiNodeProvider):
        def non_terminated_nodes(self, tag_filters: dict[str, str]) -> list[str]:
            with self.lock:
                nodes: dict[str, dict[str, Any]] = self._nodes
                for node_id, node in list(nodes.items()):
                    if "node" in node and node["node"].dead_processes():
                        self.terminate_node(node_id)  # type: ignore[no-untyped-call]
                alive: list[str] = super().non_terminated_nodes(  # type: ignore[no-untyped-call]
                    tag_filters
                )
                return alive

        def _create_node_with_resources_and_labels(
            self, node_config: Any, tags: Any, count: int, resources: dict[str, float], labels: Any
        ) -> None:
            others = {name: amount for name, amount in resources.items() if name != "memory"}
            super()._create_node_with_resources_and_labels(  # type: ignore[no-untyped-call]
                node_config, tags, count, others, labels
            )

    return LocalNodeProvider(provider_config, cluster_name)


def without_cleaner(callbacks: list[Any]) -> list[Any]:
    """Ray Train's callbacks without the one that gives a dead controller's resources back to the
    cluster. An embedded Ray ends with its driver: nothing is left to give back. And the cleaner
    asks the dashboard, which is not there, whether the controller lives: each run would end 10 s
    later, when its question times out."""
    return [
        callback
        for callback in callbacks
        if type(callback).__name__ != "PlacementGroupCleanerCallback"
    ]


def kuberay_autoscaling_config(ray_cluster: dict[str, Any]) -> dict[str, Any]:
    """What the autoscaler in a KubeRay head pod makes of a RayCluster: node types with their bounds
    and resources. Raises ValueError or KeyError for one that it could not scale."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    return autoscaling_config._derive_autoscaling_config_from_ray_cr(ray_cluster)
