"""Ray for the length of a `with` block: a private one on this machine, or the cluster that this
process runs on.

Invariants of the private ("embedded") Ray: It listens on loopback only, and demands a token that
only its own processes know. It has its own ports and its own temporary folder, so it neither finds
nor disturbs another Ray on the machine. It ends with the block, and by itself if this process is
killed. What Ray and its workers print goes to a file, never to the terminal.
"""

import contextlib
import functools
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import ray
from ray.exceptions import AuthenticationError

from cluster import compat
from cluster.authentication import (
    AUTH_MODE_ENV_VAR,
    TOKEN_ENV_VAR,
    TOKEN_REMEDY,
    find_token,
    is_jobs_url,
)
from cluster.environment import environment
from cluster.node_watch import terminate_when_any_ends
from cluster.resources import OBJECT_STORE_BYTES, available_cpus, local_cpus
from cluster.storage import UserError

_TEMP_PREFIX = "neoberta-ray-"
_EMBEDDED_ENV = {
    "RAY_AUTH_MODE": "token",
    # Ray's own switch for "this machine only"; workers inherit it
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    # no process that waits for a cloud's notice that this node goes away
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_TRAIN_METRICS_ENABLED": "0",  # only a dashboard would show them
}
_QUIET_ENV = {
    # Ray sets it to its own debugger and leaves it so; here it is restored with the others
    "PYTHONBREAKPOINT": "",
    # without it there is a FutureWarning at every start without a GPU
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",  # the new reporter prints failed trials also when told to be silent
    # how soon Train sees a finished or lost worker (Ray's own: 2)
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths in configurations keep their meaning
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # else five files for each trial, never read
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is an exception here, not Tune's silent early end
    # Ray's C++ core writes its own errors straight to this process's stderr
    "RAY_BACKEND_LOG_LEVEL": "fatal",
}
_TOKEN = secrets.token_hex(32)
_EMBEDDED_MARK = "NEOBERTA_EMBEDDED_RAY"


@dataclass(frozen=True)
class Session:
    """An open connection to Ray."""

    address: str
    """host:port of the cluster's GCS."""
    n_cpus: int
    """CPUs of the cluster when the session was opened."""
    is_embedded: bool
    """Whether this process started the Ray and will stop it."""
    dashboard_url: str | None = None
    """The dashboard of the cluster that this process attached to, if it has one."""


@contextlib.contextmanager
def session(
    address: str | None = None, *, n_cpus: int | None = None, log_path: Path | None = None
) -> Iterator[Session]:
    """Ray for the length of the block.

    Args:
        address: None starts an embedded Ray. "auto" attaches to the cluster that this machine is a
            node of, "host:port" to the one there. A process that is in a Ray already (that of an
            outer session, or a notebook's) stays in it and leaves it open.
        n_cpus: CPUs that the embedded Ray hands out. None: all that this process may use.
        log_path: What Ray and the workers print is appended to this file. None: it is dropped.

    Raises:
        UserError: There is no Ray at `address`.
    """
    with contextlib.ExitStack() as stack:
        if ray.is_initialized():
            yield _describe(is_embedded=False)
            return
        dashboard_url = None
        stack.enter_context(environment(_QUIET_ENV))
        handler = stack.enter_context(_quiet(log_path))
        stack.enter_context(compat.errors_into_log())
        take_sigterm = stack.enter_context(_sigterm_kept())
        if address is None:
            stack.enter_context(_embedded(n_cpus or local_cpus(), log_path))
        else:
            dashboard_url = stack.enter_context(_attached(address, log_path))
        logging.getLogger("ray").handlers = [handler]  # ray.init cleared them
        route_logs()
        take_sigterm()
        yield _describe(is_embedded=address is None, dashboard_url=dashboard_url)


def is_embedded() -> bool:
    """Whether this process is in a Ray that it started itself, and that ends with it."""
    return os.environ.get(_EMBEDDED_MARK) == str(os.getpid())


def route_logs() -> None:
    """Remove the console handlers of Ray's libraries, so that all their messages go to the
    session's log. A library adds them when it is first imported, so call this after such an import,
    within a session."""
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.startswith("ray."):
            logger.propagate = True
            for handler in list(logger.handlers):
                if isinstance(handler, logging.StreamHandler) and not isinstance(
                    handler, logging.FileHandler
                ):
                    logger.removeHandler(handler)


def _describe(is_embedded: bool, dashboard_url: str | None = None) -> Session:
    return Session(
        ray.get_runtime_context().gcs_address, available_cpus(), is_embedded, dashboard_url
    )


@contextlib.contextmanager
def _embedded(n_cpus: int, log_path: Path | None) -> Iterator[None]:
    _remove_dead_folders()
    folder = Path(tempfile.mkdtemp(prefix=f"{_TEMP_PREFIX}{os.getpid()}-", dir=_short_temp_dir()))
    try:
        with environment(
            _EMBEDDED_ENV | {"RAY_AUTH_TOKEN": _TOKEN, _EMBEDDED_MARK: str(os.getpid())}
        ):
            compat.read_authentication_again()
            try:
                # workers can import what this process can
                imports = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
                with (
                    compat.embedded_node(),
                    compat.workers_without_current_folder(),
                    environment(imports),
                    _stderr_into(log_path),
                ):
                    ray.init(
                        address="local",
                        num_cpus=n_cpus,
                        include_dashboard=False,
                        object_store_memory=OBJECT_STORE_BYTES,
                        configure_logging=False,
                        log_to_driver=False,
                        _temp_dir=str(folder),
                    )
                with terminate_when_any_ends(compat.node_pids()) as on_purpose:
                    try:
                        yield
                    finally:
                        on_purpose.set()
                        ray.shutdown()
            finally:
                ray.shutdown()  # the processes that had started before ray.init failed
        compat.read_authentication_again()
    finally:
        _keep_worker_logs(folder, log_path)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _attached(address: str, log_path: Path | None) -> Iterator[str | None]:
    """Attach to the cluster at `address`. Yields the URL of its dashboard."""
    if is_jobs_url(address):
        raise ValueError(
            f"{address} is where jobs are submitted; a process attaches to host:port or auto"
        )
    mode = (
        {AUTH_MODE_ENV_VAR: "token"} if AUTH_MODE_ENV_VAR not in os.environ and find_token() else {}
    )
    with environment(mode):  # as in `ray start`: a token that is there is used
        compat.read_authentication_again()
        try:
            host, _, port = address.rpartition(":")
            if host and port.isdigit():
                # fail within seconds: Ray itself would try to connect for minutes
                socket.create_connection((host, int(port)), timeout=10).close()
            with _search_path_of_workers(), _stderr_into(log_path):
                context = ray.init(address=address, configure_logging=False, log_to_driver=False)
        except (AuthenticationError, OSError, ValueError, RuntimeError) as error:
            if isinstance(error, AuthenticationError) or TOKEN_ENV_VAR in str(error.__cause__):
                raise UserError(
                    f"--address {address}: the cluster asks for a token, or another one;"
                    f" {TOKEN_REMEDY}"
                ) from error
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"--address {address}: no Ray there ({reason}); leave --address out to run on this"
                " machine"
            ) from error
        try:
            yield f"http://{context.dashboard_url}" if context.dashboard_url else None
        finally:
            ray.shutdown()
    compat.read_authentication_again()


def _search_path_of_workers() -> contextlib.AbstractContextManager[None]:
    """How `ray.init` is called where the workers are those of a cluster. The nodes have this
    package. But where it is run from a checkout, that folder is first on the workers' path: all
    nodes may see it, and have nothing installed."""
    if Path.cwd() == Path(__file__).resolve().parents[1]:
        return contextlib.nullcontext()
    return compat.workers_without_current_folder()


@contextlib.contextmanager
def _stderr_into(log_path: Path | None) -> Iterator[None]:
    """Within the block everything that this process writes to file descriptor 2 goes into the log.
    Ray's C++ core writes there directly while Ray starts, and no setting stops it."""
    sys.stderr.flush()
    kept = os.dup(2)
    log = os.open(log_path or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    try:
        os.dup2(log, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(log)


@contextlib.contextmanager
def _quiet(log_path: Path | None) -> Iterator[logging.Handler]:
    """Within the block Ray's loggers write only to the file. Yields the handler that writes it."""
    if log_path is None:
        handler: logging.Handler = logging.NullHandler()
    else:
        log_path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(log_path, encoding="utf-8")
    handler.setLevel(logging.INFO)  # Ray Data logs its every step as DEBUG
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logger = logging.getLogger("ray")
    before = (list(logger.handlers), logger.propagate, logger.level)
    logger.handlers, logger.propagate, logger.level = [handler], False, logging.INFO
    try:
        yield handler
    finally:
        logger.handlers, logger.propagate, logger.level = before
        handler.close()


@contextlib.contextmanager
def _sigterm_kept() -> Iterator[Callable[[], object]]:
    """Yields a function to call when Ray is up. From then on SIGTERM raises SystemExit, so that
    everything is tidied up. If the program has a handler of its own, that one stays. The handler
    that `ray.init` installs would print a C++ stack trace and end the process on the spot. After
    the block the handler is the one from before."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    before = signal.getsignal(signal.SIGTERM)

    def stop(signum: int, _: object) -> None:
        sys.exit(128 + signum)

    try:
        yield functools.partial(signal.signal, signal.SIGTERM, before if callable(before) else stop)
    finally:
        signal.signal(signal.SIGTERM, before)


def _short_temp_dir() -> str:
    """A temporary folder with a short path. Ray keeps AF_UNIX sockets about 65 characters below its
    folder, and their paths must stay under 108 characters."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= 20 else "/tmp"


def _remove_dead_folders() -> None:
    """Remove the folders of sessions whose process was killed before it could tidy up."""
    for folder in Path(_short_temp_dir()).glob(f"{_TEMP_PREFIX}*"):
        pid = folder.name.removeprefix(_TEMP_PREFIX).partition("-")[0]
        if pid.isdigit() and not Path(f"/proc/{pid}").exists() and Path("/proc").is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _keep_worker_logs(folder: Path, log_path: Path | None) -> None:
    """Append to the log what the workers printed. Ray's own files are removed with the session."""
    if log_path is None:
        return
    printed = [
        path
        for path in sorted(folder.glob("session_2*/logs/worker-*"))
        if path.suffix in (".out", ".err")
    ]
    with open(log_path, "a", encoding="utf-8") as log:
        for path in printed:
            text = path.read_text(encoding="utf-8", errors="replace").strip()
            if text:
                log.write(f"--- {path.name}\n{text}\n")
