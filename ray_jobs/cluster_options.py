"""The options that say where a command runs. One decorator gives them to every command that can run
on a cluster."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from cluster.authentication import is_jobs_url

_OPTIONS = {
    "address": Annotated[
        str | None,
        typer.Option(
            help=(
                "'auto' attaches to the Ray cluster this runs on; http(s)://head:8265 submits this"
                " very command to one as a job. Default: an embedded Ray."
            )
        ),
    ],
    "shared_path": Annotated[
        list[Path] | None,
        typer.Option(
            envvar="NEOBERTA_SHARED_PATHS",
            help="Submitting: a folder that all nodes and this machine see alike. Repeatable.",
        ),
    ],
    "job_config": Annotated[
        Path | None,
        typer.Option(
            help=(
                "Submitting: YAML with env_vars, pip, driver_cpus, driver_memory_bytes, metadata."
                " No secrets."
            ),
            readable=False,
        ),
    ],
    "wait": Annotated[
        bool,
        typer.Option("--wait/--no-wait", help="Submitting: follow the job, or return at once."),
    ],
    "insecure": Annotated[
        bool, typer.Option("--insecure", help="Submitting: also without a token or encryption.")
    ],
}
_DEFAULTS = {
    "address": None,
    "shared_path": None,
    "job_config": None,
    "wait": True,
    "insecure": False,
}


@dataclass(frozen=True)
class ClusterOptions:
    """Where a command runs. It also holds the command itself, so that it can be sent there."""

    address: str | None = None
    shared_paths: tuple[Path, ...] = ()
    """Folders that the cluster's nodes see under the same names."""
    job_config: Path | None = None
    wait: bool = True
    insecure: bool = False
    command: str = ""
    """The command's name."""
    parameters: dict[str, tuple[str | None, Any]] = field(default_factory=dict)
    """Name of each parameter of the command -> (its option, its value). The option of an argument
    is None."""

    @property
    def submits(self) -> bool:
        """Whether the command is to be sent to a cluster instead of being run in this process."""
        return is_jobs_url(self.address)

    def arguments(self, **replaced: Any) -> tuple[str, ...]:
        """The arguments that run the command on the cluster (`--address auto`), in one spelling
        however the user typed them. `replaced` gives other values for some parameters. A parameter
        without a value is left out."""
        words = [self.command]
        for name, (option, given) in self.parameters.items():
            value = replaced.get(name, given)
            for one in value if isinstance(value, list | tuple) else [value]:
                if one is None or one is False or one == "":
                    continue
                words.append(
                    str(one) if option is None else option if one is True else f"{option}={one}"
                )
        return (*words, "--address=auto")


def runs_on_cluster(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with the options --address, --shared-path, --job-config, --no-wait and --insecure
    in the place of its parameter `cluster: ClusterOptions`."""
    own = [
        parameter
        for parameter in inspect.signature(command).parameters.values()
        if parameter.name != "cluster"
    ]

    @functools.wraps(command)
    def wrapper(ctx: typer.Context, **values: Any) -> None:
        address, shared, job_config, wait, insecure = (values.pop(name) for name in _OPTIONS)
        options = {
            parameter.name: (
                parameter.opts[0] if parameter.param_type_name == "option" else None,
                values[parameter.name],
            )
            for parameter in ctx.command.params
            if parameter.name in values
        }
        name = ctx.info_name or ""
        cluster = ClusterOptions(
            address, tuple(shared or ()), job_config, wait, insecure, name, options
        )
        command(**values, cluster=cluster)

    given = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS[name], annotation=annotation
        )
        for name, annotation in _OPTIONS.items()
    ]
    context = inspect.Parameter(
        "ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context
    )
    wrapper.__signature__ = inspect.Signature([context, *own, *given])  # type: ignore[attr-defined]
    wrapper.__annotations__ = {
        parameter.name: parameter.annotation for parameter in [context, *own, *given]
    }
    return wrapper
