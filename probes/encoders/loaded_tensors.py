"""What transformers says of the tensors after it has loaded a model: those of the model that the
weights lack, those of other sizes, and those that the model has no use for.

A model with missing tensors would work, with random numbers in their place. So it is refused.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cluster.storage import UserError

_NUMBER = re.compile(r"(?<=\.)\d+(?=\.)")


def check_tensors(model: Any, found: dict[str, Any], folder: Path, ref: str) -> tuple[str, ...]:
    """`found` is the `loading_info` of transformers. Returns what must be said: layers in the
    weights that the model leaves out. Raises UserError for missing tensors and for other sizes."""
    if found["mismatched_keys"]:
        name, there, asked = min(found["mismatched_keys"])
        raise UserError(
            f"encoder {ref}: {folder}: config.json and the weights disagree on the sizes of"
            f" {len(found['mismatched_keys'])} tensors ({name}: {tuple(there)} in the weights,"
            f" {tuple(asked)} by config.json); copy all files of the model from one place again"
        )
    missing = sorted(key for key in found["missing_keys"] if _is_needed(model, key))
    unexpected = sorted(found["unexpected_keys"])
    if missing:
        raise UserError(
            f"encoder {ref}: {folder} lacks {len(missing)} of the model's tensors ({missing[0]},"
            f" ...){_remedy(missing, unexpected)}"
        )
    cut = _layers_left_out(model, unexpected)
    if cut:
        return (
            f"{ref}: its weights have more layers than config.json asks for: {cut[0]} and"
            f" {len(cut) - 1} more tensors are not used",
        )
    return ()


def has_two_sides(model: Any) -> bool:
    """Whether a model has an encoder and a decoder. Its configuration says no where the encoder
    alone was saved (T5EncoderModel), and transformers makes the decoder nevertheless."""
    has_both = hasattr(model, "encoder") and hasattr(model, "decoder")
    return bool(model.config.is_encoder_decoder or has_both)


def _is_needed(model: Any, key: str) -> bool:
    """A pooler is on top of the hidden states, and many published checkpoints come without theirs.
    Of a model with encoder and decoder only the encoder is used, and some come without the
    other."""
    is_decoder = has_two_sides(model) and key.startswith("decoder.")
    return "pooler" not in key and not is_decoder


def _remedy(missing: list[str], unexpected: list[str]) -> str:
    """The names may all be there, behind what a wrapper of the model put before them."""
    wrapped = (key for key in unexpected if key.endswith(f".{missing[0]}"))
    name = next(wrapped, None)
    if name is None:
        return "; copy all files of the model from one place again"
    before = name.removesuffix(missing[0])
    return (
        f"; the weights call it {name}, as where what wraps a model was saved: save the model"
        f" inside with save_pretrained, or take {before!r} off the names"
    )


def _layers_left_out(model: Any, unexpected: Iterable[str]) -> list[str]:
    """Unused tensors that are called like the model's own but for the number of the layer."""
    known = {_NUMBER.sub("*", key) for key in model.state_dict() if _NUMBER.search(key)}
    prefix = f"{model.base_model_prefix}."
    return [key for key in unexpected if _NUMBER.sub("*", key.removeprefix(prefix)) in known]
