"""The parts that a sentence-transformers folder lists in `modules.json`, and where they lie."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.storage import UserError, access_explained

LISTING = "modules.json"
TRANSFORMER, POOLING, DENSE, NORMALIZE = "Transformer", "Pooling", "Dense", "Normalize"
"""The kinds of parts that are known here."""


@dataclass(frozen=True)
class Module:
    """One part, in the order of the listing."""

    kind: str
    """The class's name without its package: `Pooling`."""
    path: str
    """As the listing has it: empty where the part lies in the folder itself."""
    folder: Path

    def settings(self, ref: str) -> dict[str, Any]:
        """Its `config.json`. Raises UserError."""
        path = self.folder / "config.json"
        value = read_json(path, ref)
        if not isinstance(value, dict):
            raise UserError(f"encoder {ref}: {path} is damaged (no object); download it again")
        return value


def list_modules(folder: Path, ref: str) -> tuple[Module, ...]:
    """The parts of a sentence-transformers folder; none of other folders. Raises UserError for a
    damaged listing."""
    listing = folder / LISTING
    if not listing.exists():
        return ()
    value = read_json(listing, ref)
    if not isinstance(value, list) or not all(isinstance(part, dict) for part in value):
        raise UserError(
            f"encoder {ref}: {listing} is damaged (no list of parts); download it again"
        )
    modules = []
    for part in value:
        path = str(part.get("path") or "")
        if Path(path).is_absolute() or ".." in Path(path).parts:
            raise UserError(f"encoder {ref}: {listing} names {path}, outside the folder")
        kind = str(part.get("type", "")).rpartition(".")[2]
        modules.append(Module(kind, path, folder / path))
    return tuple(modules)


def transformer_folder(folder: Path, ref: str) -> Path:
    """Where the transformer of a model folder lies: in the folder itself, or, as older versions of
    sentence-transformers had it, in the subfolder that the listing names. Raises UserError."""
    if (folder / "config.json").exists():
        return folder
    modules = list_modules(folder, ref)
    if modules and modules[0].kind == TRANSFORMER:
        return modules[0].folder
    return folder


def read_json(path: Path, ref: str) -> Any:
    """Raises UserError for a file that is not there or damaged."""
    try:
        with access_explained(subject=f"encoder {ref}: "):
            return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoder {ref}: {path} is missing or damaged ({type(error).__name__}); download it"
            " again"
        ) from error
