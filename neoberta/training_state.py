"""A training state on disk: `training.safetensors` (weights and AdamW's moments; fp32) and
`training.json` (how far the training is).

It does not depend on the number of workers or on ZeRO's stage. Nothing is pickled.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from cluster.storage import CorruptArtefactError, check_readable

TENSORS_FILE, FACTS_FILE = "training.safetensors", "training.json"


def save_training_state(
    folder: Path, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]
) -> None:
    """Write the state into an existing folder. The caller publishes the folder as a whole."""
    save_file(
        {name: value.contiguous() for name, value in tensors.items()}, str(folder / TENSORS_FILE)
    )
    (folder / FACTS_FILE).write_text(json.dumps(facts, indent=1))


def load_training_state(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """`(tensors, facts)`. Raises CorruptArtefactError."""
    check_readable(folder / TENSORS_FILE, folder / FACTS_FILE)
    try:
        return load_file(str(folder / TENSORS_FILE)), json.loads((folder / FACTS_FILE).read_text())
    except (OSError, ValueError, SafetensorError) as error:
        raise CorruptArtefactError(f"{folder}: not a training state ({error})") from error
