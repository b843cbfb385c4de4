"""The parts of a sentence-transformers folder. `modules.json` lists them with their places."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.storage import UserError, access_explained

LISTING = "modules.json"
TRANSFORMER, POOLING, DENSE, NORMALIZE = "Transformer", "Pooling", "Dense", "Normalize"
"""The kinds of parts that can be read here."""


@dataclass(frozen=True)
class Module:
    """One part of the listing."""

    kind: str
    """The name of its class without the package: `Pooling`."""
    path: str
    """The path in the listing. Empty where the part lies in the folder itself."""
    folder: Path

    def settings(self, ref: str) -> dict[str, Any]:
        """The content of the part's `config.json`. Raises UserError."""
        path = self.folder / "config.json"
        value = read_json(path, ref)
        if not isinstance(value, dict):
            raise UserError(f"encoder {ref}: {path} is damaged (no object); download it again")
        return value


def list_modules(folder: Path, ref: str) -> tuple[Module, ...]:
    """The parts of a sentence-transformers folder, in order. Other folders have none. Raises
    UserError for a damaged listing."""
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
    """The folder that holds the transformer of a model folder. It is the folder itself, or a
    subfolder as older versions of sentence-transformers wrote it. Raises UserError."""
    if (folder / "config.json").exists():
        return folder
    modules = list_modules(folder, ref)
    if modules and modules[0].kind == TRANSFORMER:
        return modules[0].folder
    return folder


def read_json(path: Path, ref: str) -> Any:
    """The JSON in a file. Raises UserError for a file that is missing or damaged."""
    try:
        with access_explained(subject=f"encoder {ref}: "):
            return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoder {ref}: {path} is missing or damaged ({type(error).__name__}); download it"
            " again"
        ) from error
