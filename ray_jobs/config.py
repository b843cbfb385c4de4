"""Reading of YAML and `--set key=value` into a checked Pydantic model. Every mistake is one line
that names the place and the remedy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cluster.storage import UserError, access_explained
from neoberta.near_miss import did_you_mean_file, nearest


class StrictModel(BaseModel):
    """A configuration whose unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file. Raises UserError."""
    try:
        with access_explained():
            text = path.read_text(encoding="utf-8")
        value = _copy(yaml.safe_load(text))  # a copy ends only where no alias holds itself
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror}); give the path of a YAML file"
            f"{did_you_mean_file(path)}"
        ) from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        n_lines = len(path.read_text(encoding="utf-8").splitlines())
        place = (
            f"{path}:{min(mark.line + 1, n_lines)}" if mark else str(path)
        )  # a mark may lie behind the last line
        raise UserError(f"{place}: not valid YAML ({getattr(error, 'problem', error)})") from error
    except RecursionError:
        raise UserError(
            f"{path}: an alias that holds itself, or nested too deeply; write the values out"
        ) from None
    if not isinstance(value, dict):
        raise UserError(
            f"{path}: must be a mapping of keys to values, found {type(value).__name__}"
        )
    return value


def apply_overrides(value: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`value` with each `a.b.c=VALUE` (VALUE in YAML; numbers index lists) set. Raises
    UserError."""
    result = _copy(value)
    for override in overrides:
        dotted, equals, text = override.partition("=")
        if not equals or not dotted:
            raise UserError(
                f"--set {override}: must read key=value, for example --set sweep.n_seeds=8"
            )
        node: Any = result
        *parents, last = dotted.split(".")
        for part in parents:
            node = (
                node[_index(node, part, override)]
                if isinstance(node, list)
                else node.setdefault(part, {})
            )
            if not isinstance(node, dict | list):
                raise UserError(f"--set {override}: {part} is a value, not a section")
        try:
            parsed = _copy(yaml.safe_load(text))
        except yaml.YAMLError as error:
            raise UserError(f"--set {override}: the value is not valid YAML") from error
        except RecursionError:
            raise UserError(
                f"--set {override:.60}: an alias that holds itself, or nested too deeply"
            ) from None
        node[_index(node, last, override) if isinstance(node, list) else last] = parsed
    return result


def validate(model: type[Model], value: dict[str, Any], source: str) -> Model:
    """`value` as `model`. Raises UserError with the first problem: the key, what it got, and the
    nearest known key."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(model, problem["loc"][:-1])
            near = nearest(str(problem["loc"][-1]), known)
            hint = f"did you mean {near}?" if near else f"known keys: {', '.join(known)}"
            raise UserError(f"{source}: unknown key {place}; {hint}") from None
        message = problem["msg"].removeprefix("Value error, ")
        raise UserError(
            f"{source}: {place or 'the configuration'}: {message} (got {_short(problem['input'])})"
        ) from None
    except UserError as error:  # raised by a validator, whose message names the value
        raise UserError(f"{source}: {error}") from None


def _known_keys(model: type[BaseModel], location: Sequence[Any]) -> list[str]:
    """The keys that the section at `location` may have."""
    for part in location:
        if not isinstance(part, str) or part not in model.model_fields:
            continue
        for candidate in _models_in(model.model_fields[part].annotation):
            model = candidate
    return list(model.model_fields)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [
        model for argument in getattr(annotation, "__args__", ()) for model in _models_in(argument)
    ]


def _index(node: list[Any], part: str, override: str) -> int:
    if part.isdigit() and int(part) < len(node):
        return int(part)
    raise UserError(f"--set {override}: {part} must be a position from 0 to {len(node) - 1}")


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
