"""Messages about a folder that is no model folder: what it is instead, and which folder can be
used. A message names only folders that were found to hold a model."""

import json
from pathlib import Path
from typing import Any

from cluster.storage import UserError
from probes.encoders.sentence_modules import TRANSFORMER, list_modules

ADAPTER = "adapter_config.json"
_NOT_READ = {
    "*.onnx": "ONNX",
    "*.gguf": "GGUF",
    "*.msgpack": "Flax",
    "*.tflite": "TFLite",
    "openvino*.xml": "OpenVINO",
    "tf_model*.h5": "TensorFlow",
}
"""Formats of weights that are not read here, by the files they lie in."""
_PICKLED = ("pytorch_model*.bin", "*model*.pt", "*model*.pth", "*.ckpt")
"""How files of pickled weights are called. Beside them trainers pickle other things: optimisers,
their arguments."""
_DEPTH = 2
"""How many levels of folders below the given one are searched. The hub's cache has two:
`snapshots/REVISION`."""


def no_config(folder: Path, ref: str, why: str = "has no config.json") -> str:
    """The message about a folder that has no `config.json` of a model: why it is none, and what to
    do."""
    if (folder / ADAPTER).is_file():
        return _adapter(folder)
    family = ref.partition(":")[0]
    inside = [path for path in _folders(folder, _DEPTH) if _is_model(path)]
    if inside:
        newest = max(inside, key=_order)
        more = f" (the last of {len(inside)} models in it)" if len(inside) > 1 else ""
        return f"{folder} {why}; did you mean {family}:{newest}?{more}"
    modules = _modules(folder)
    if modules and modules[0] != TRANSFORMER:
        return (
            f"{folder} is a model of sentence-transformers that begins with {modules[0]}, and only"
            " those that begin with a transformer are read; choose another model"
        )
    parent = folder.resolve().parent
    if _is_model(parent):
        return f"{folder} {why}; did you mean {family}:{parent}?"
    return f"{folder} {why}; it is not a transformers model folder"


def no_weights(folder: Path) -> str:
    """The message about a folder without safetensors and without pickled weights."""
    if (folder / ADAPTER).is_file():
        return _adapter(folder)
    if any(next(folder.glob(pattern), None) for pattern in _PICKLED):
        return (
            f"{folder} has only pickled weights, which can execute code and are refused; convert"
            " them where you trust them: AutoModel.from_pretrained(folder)"
            ".save_pretrained(new_folder), which writes model.safetensors"
        )
    others = sorted(path.name for path in folder.glob("*.safetensors"))
    if any("-of-" in name for name in others):
        return (
            f"{folder} has parts of the weights ({others[0]}), and no model.safetensors.index.json,"
            " which says what is in which; download it too"
        )
    if others:
        return (
            f"{folder} has no model.safetensors, but {others[0]}; if that is the whole model, give"
            " it that name"
        )
    for pattern, name in _NOT_READ.items():
        if next(folder.rglob(pattern), None) is not None:
            return (
                f"{folder} has its weights as {name} only, which is not read; give the folder of"
                " the model that it was made from (model.safetensors)"
            )
    return f"{folder} has no weights (model.safetensors)"


def _adapter(folder: Path) -> str:
    settings = _json(folder / ADAPTER)
    kind = settings.get("peft_type") or "PEFT"
    base = settings.get("base_model_name_or_path") or "BASE"
    return (
        f"{folder} holds an adapter ({kind}) of {base}, not a model; merge it first:"
        f" PeftModel.from_pretrained(AutoModel.from_pretrained({str(base)!r}),"
        f" {str(folder)!r}).merge_and_unload().save_pretrained(NEW), save the tokenizer in NEW too,"
        " and give NEW"
    )


def _modules(folder: Path) -> list[str]:
    """The kinds of parts that a sentence-transformers folder lists."""
    try:
        return [module.kind for module in list_modules(folder, "")]
    except UserError:
        return []


def _folders(folder: Path, depth: int) -> list[Path]:
    try:
        here = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []
    return [*here, *(path for one in here for path in _folders(one, depth - 1) if depth > 1)]


def _is_model(folder: Path) -> bool:
    """Whether the folder holds a model of transformers. Further parts of sentence-transformers have
    a `config.json` too, but without a `model_type`."""
    return bool(_json(folder / "config.json").get("model_type")) and (
        (folder / "model.safetensors").exists()
        or (folder / "model.safetensors.index.json").exists()
    )


def _order(folder: Path) -> tuple[int, str]:
    """A key to sort folders by. `checkpoint-1000` comes after `checkpoint-500`."""
    number = folder.name.rpartition("-")[2]
    return (int(number) if number.isdecimal() else -1, str(folder))


def _json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Empty where there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
