"""Which weights an encoder has, whatever its folder is called.

A name proves nothing: a fine-tuned copy is often saved under the name of its original, and so are
`_name_or_path` in its `config.json` and the title of its model card, which a copy inherits. What
can be known without a network are the numbers in the tensors, and that a folder is the one into
which the hub's client downloaded a model of a name.
"""

import hashlib
from pathlib import Path

import torch

HUB_FOLDER = "models--"
"""How the folders begin in which the hub's client keeps models: `models--ORG--NAME`."""


def weights_identity(model: torch.nn.Module) -> str:
    """16 hex digits: hash of the shapes and float32 values of all parameters.

    Their names and their order do not count, because versions of transformers rename them. Nor does
    a pooler, because it comes after the hidden states and many checkpoints lack theirs.
    """
    found = []
    for name, tensor in model.named_parameters():
        if "pooler" not in name:
            values = tensor.detach().to("cpu", torch.float32).contiguous().numpy()
            found.append(f"{tuple(values.shape)} {hashlib.sha256(values.data).hexdigest()}")
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


def hub_id_of(folder: Path) -> str:
    """The hub name of the model in `folder`, where this is the place of a snapshot that the hub's
    client keeps: `models--ORG--NAME/snapshots/REVISION`. Empty for any other folder."""
    for snapshots in folder.resolve().parents:
        model = snapshots.parent
        if snapshots.name == "snapshots" and model.name.startswith(HUB_FOLDER):
            is_kept_by_the_client = (model / "blobs").is_dir()
            name = model.name.removeprefix(HUB_FOLDER).replace("--", "/")
            return name if is_kept_by_the_client else ""
    return ""
