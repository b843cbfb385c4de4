"""What this package relies on in Ray 2.60 beyond its public API. No other module touches
`ray._private`.

Each entry names a behaviour of Ray, and the test that notices when it changes:

- `ENABLE_RAY_CLUSTER = False` makes every process of a local Ray bind 127.0.0.1.
  test_session: ports on loopback only
- `RayParams` and `Node.start_api_server` are looked up on their modules when `ray.init` runs.
  test_session: no dashboard
- Without the dashboard's packages the node's agent serves no HTTP. So there is no Jobs API to
  attack, and the start is faster. test_session: ports
- Child processes get PR_SET_PDEATHSIG: they die with the driver, also by SIGKILL.
  test_session: orphans
- `AuthenticationTokenLoader` and `Config` cache the environment until they are told to read it
  again. test_session: two in a row
- Tune calls a Callback in the driver's process. It pickles the Callback only for a restore.
  test_tune: on_done with a lock
- Ray Data takes `max_task_retries` among the untyped arguments. It never replaces a dead actor.
  test_data: kills_its_process
- `TorchTrainer._create_default_callbacks` names Train's callbacks. One of them asks a dashboard.
  test_train: no_cleaner
- An `external` node provider may be a function. The fake provider has
  `_create_node_with_resources_and_labels`. test_local
- A driver prints what it hears of dead workers by `print_to_stdstream`. test_session: dead_worker
- `_global_node.all_processes` holds the Popen of the raylet. A raylet ends when one of its agents
  ends. test_session: lost_node
- A driver tells the workers to look for modules in its current folder first, unless the job's
  runtime environment has a `working_dir`. test_session: own_modules
- `RAY_AIR_NEW_OUTPUT=0` and `verbose=0` silence Tune. Ray's C++ core obeys
  `RAY_BACKEND_LOG_LEVEL`. test_session: quiet
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
import ray.job_config
from ray._private.services import ProcessInfo
from ray._raylet import (  # type: ignore[attr-defined]  # Ray's stub of it lacks both
    AuthenticationTokenLoader,
    Config,
)

_AGENTS = ("DashboardAgent", "dashboard/agent.py", "RuntimeEnvAgent", "runtime_env/agent/main.py")
"""Parts of the command lines of a raylet's agents. An agent changes its command line when it names
itself, so both forms are here."""


@contextlib.contextmanager
def embedded_node() -> Iterator[None]:
    """Within the block `ray.init(address="local")` starts only what a private Ray needs (GCS,
    raylet and its agents), and binds loopback. Otherwise Ray also starts an autoscaler monitor, a
    log monitor and a dashboard, and listens on every interface. These are three Python processes,
    which cost a small machine seconds."""
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


@contextlib.contextmanager
def workers_without_current_folder() -> Iterator[None]:
    """Within the block `ray.init` puts neither the current folder nor that of the script first on
    the workers' search path for modules. Files there may have the names of packages: the workers
    would load a user's `datasets.py` or `cluster.py` instead."""
    with mock.patch.object(
        ray.job_config.JobConfig, "_runtime_env_has_working_dir", lambda _: True
    ):
        yield


def node_pids() -> list[int]:
    """The processes that the Ray started by this process cannot lose: its raylet and then, on
    Linux, the raylet's two agents. Empty if this process started no Ray."""
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
    """Within the block messages about dead workers and retries go to the logger `ray.errors`.
    Otherwise Ray prints them to standard output, in the middle of a command's own lines."""
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
    """Make this process see the present RAY_AUTH_MODE and RAY_AUTH_TOKEN. Ray reads them once, when
    it is imported."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def local_node_provider(provider_config: dict[str, Any], cluster_name: str) -> Any:
    """The node provider of `cluster.local`: Ray's fake multi-node provider, whose nodes are
    processes of this machine.

    Two things are changed, so that it behaves as the provider of a cloud does. A node that was
    killed is gone, and is replaced. Node types may have memory: the fake provider would take it for
    a custom resource and refuse it, though a node finds out its memory by itself.
    """
    from ray.autoscaler._private.fake_multi_node.node_provider import FakeMultiNodeProvider

    # the base class has no annotations: hence the ignored errors
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
    """Ray Train's callbacks without the one that gives the resources of a dead controller back to
    the cluster. An embedded Ray ends with its driver, so nothing is left to give back. The cleaner
    also asks the dashboard whether the controller lives. Where there is no dashboard the question
    times out, and each run ends 10 s later."""
    return [
        callback
        for callback in callbacks
        if type(callback).__name__ != "PlacementGroupCleanerCallback"
    ]


def kuberay_autoscaling_config(ray_cluster: dict[str, Any]) -> dict[str, Any]:
    """The node types, with their bounds and resources, that the autoscaler in a KubeRay head pod
    reads from a RayCluster. Tests hold the manifests against it. Raises ValueError or KeyError for
    a RayCluster that it could not scale."""
    from ray.autoscaler._private.kuberay import autoscaling_config

    return autoscaling_config._derive_autoscaling_config_from_ray_cr(ray_cluster)
