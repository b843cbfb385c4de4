"""The head of a sentence-transformers folder: what it does with the last hidden states (pooling,
dense layers, normalisation).

It is read from `modules.json` and the folders that this file names. The library and its classes are
not used. A head with parts that are not known here is not applied at all, and the folder has no
`sentence` view then.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from cluster.storage import UserError, check_readable, file_digest
from probes.encoders.pooling import pool, text_mask
from probes.encoders.prompts import SETTINGS as PROMPT_SETTINGS
from probes.encoders.reference import SENTENCE
from probes.encoders.sentence_modules import (
    DENSE,
    LISTING,
    NORMALIZE,
    POOLING,
    TRANSFORMER,
    Module,
    list_modules,
    read_json,
    transformer_folder,
)

_INPUTS = "sentence_bert_config.json"
_KNOWN_SETTINGS = frozenset(
    {
        *("max_seq_length", "do_lower_case", "prompts", "default_prompt_name"),
        *("__version__", "similarity_fn_name", "model_type"),
        *("transformer_task", "modality_config", "module_output_name", "unpad_inputs"),
    }
)
"""Settings that are applied here, and settings that do not change the vector of a text."""
_POOLING_KEYS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
_POOLING_NAMES = {"cls", "mean", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"}
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "torch.nn.modules.linear.Identity": lambda x: x,
    "torch.nn.modules.activation.Tanh": torch.tanh,
    "torch.nn.modules.activation.ReLU": torch.relu,
    "torch.nn.modules.activation.GELU": torch.nn.functional.gelu,
}


@dataclass(frozen=True)
class Dense:
    """One linear layer of a head: `weight` (out, in), `bias` (out,) float32."""

    weight: torch.Tensor
    bias: torch.Tensor
    activation: str

    def __call__(self, vectors: torch.Tensor) -> torch.Tensor:
        weight, bias = self.weight.to(vectors.device), self.bias.to(vectors.device)
        return _ACTIVATIONS[self.activation](torch.nn.functional.linear(vectors, weight, bias))


@dataclass(frozen=True)
class SentenceHead:
    """Computes the vector of a text from the last hidden states, as the folder's authors meant
    it."""

    pooling: str
    steps: tuple[Dense | str, ...]
    """Dense layers and `normalize`, in order."""
    identity: dict[str, str]
    """Digests of the files it was read from, by name."""

    def __call__(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """(B, T, D) right-padded, `lengths` (B,) -> (B, d) float32."""
        vectors = self._pool(hidden, lengths)
        for step in self.steps:
            vectors = (
                torch.nn.functional.normalize(vectors, dim=-1)
                if isinstance(step, str)
                else step(vectors)
            )
        return vectors

    def _pool(self, hidden: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        if self.pooling == "mean_sqrt_len":
            return pool(hidden, lengths, "mean") * lengths[:, None].sqrt()
        if self.pooling == "weightedmean":  # the k-th token weighs k (SGPT)
            n_tokens = hidden.shape[1]
            weights = text_mask(lengths, n_tokens) * torch.arange(
                1, n_tokens + 1, device=hidden.device
            )
            return torch.bmm(
                (weights / weights.sum(1, keepdim=True))[:, None, :], hidden.float()
            ).squeeze(1)
        return pool(hidden, lengths, self.pooling)


def read_sentence_head(
    folder: Path, ref: str, *, prompt: str = ""
) -> tuple[SentenceHead | None, tuple[str, ...]]:
    """The head of a sentence-transformers folder whose texts have `prompt` before them; None for
    other folders and for heads with parts that are not known here. And what must be said: what the
    folder declares that is not done. Raises UserError for damaged files."""
    head, notes = None, []
    try:
        head = _read_head(folder, ref, prompt)
    except _NotKnownHere as why:
        notes.append(f"its authors' own vector (pooling={SENTENCE}) is left out: {why}")
    not_done = [f"{name} = {value!r}" for name, value in _settings_not_known(folder, ref)]
    if not_done:
        notes.append(f"declared in its folder and not done here: {', '.join(not_done)}")
    said = (f"{ref}: {'; '.join(notes)}",) if notes else ()
    return head, said


class _NotKnownHere(Exception):
    """Raised for a head with parts that are not known here. The message says which."""


def _read_head(folder: Path, ref: str, prompt: str) -> SentenceHead | None:
    """The head of the folder. None where it has none. Raises _NotKnownHere."""
    modules = list_modules(folder, ref)
    transformer = transformer_folder(folder, ref)
    pooling: str | None = None
    steps: list[Dense | str] = []
    identity: dict[str, str] = {}
    for module in modules:
        settings_path = module.folder / "config.json"
        if module.kind == TRANSFORMER and module.folder == transformer:
            continue
        if module.kind == POOLING and pooling is None and not steps:
            settings = module.settings(ref)
            pooling = _pooling_of(settings)
            if pooling is None:
                raise _NotKnownHere(
                    "it pools in several ways at once, or in one that is not known here"
                )
            if prompt and settings.get("include_prompt") is False:
                raise _NotKnownHere("it leaves the tokens of the prompt out of its pooling")
            identity[f"{module.path}/config.json"] = file_digest(settings_path)
        elif module.kind == DENSE and pooling is not None:
            dense = _read_dense(module, ref)
            if dense is None:
                raise _NotKnownHere(f"the activation of {module.path} is not known here")
            steps.append(dense)
            identity[f"{module.path}/config.json"] = file_digest(settings_path)
            identity[f"{module.path}/model.safetensors"] = file_digest(
                module.folder / "model.safetensors"
            )
        elif module.kind == NORMALIZE:
            steps.append("normalize")
        else:
            raise _NotKnownHere(f"its part {module.kind} is not known here")
    if pooling is None:
        return None
    if _lowers_case(transformer, ref):
        raise _NotKnownHere("it is for texts in lower case, and texts are read as they are")
    identity[LISTING] = file_digest(folder / LISTING)
    return SentenceHead(pooling, tuple(steps), identity)


def _pooling_of(settings: dict[str, Any]) -> str | None:
    """The one pooling that is asked for; None for several at once (they are concatenated) and for
    unknown ones."""
    named = settings.get("pooling_mode")
    if isinstance(named, str):
        short = {"lasttoken": "last", "mean_sqrt_len_tokens": "mean_sqrt_len"}
        return short.get(named, named) if named in _POOLING_NAMES else None
    asked = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
    return _POOLING_KEYS.get(asked[0]) if len(asked) == 1 else None


def _read_dense(module: Module, ref: str) -> Dense | None:
    activation = module.settings(ref).get("activation_function", "torch.nn.modules.activation.Tanh")
    if activation not in _ACTIVATIONS:
        return None
    weights = module.folder / "model.safetensors"
    if not weights.exists():
        raise UserError(
            f"encoder {ref}: {module.folder} has no model.safetensors (pickled weights can execute"
            " code and are refused); load the folder with sentence-transformers where you trust it"
            " and save it again"
        )
    check_readable(weights, subject=f"encoder {ref}: ")
    try:
        tensors = load_file(weights)
        weight = tensors["linear.weight"].float()
        return Dense(
            weight, tensors.get("linear.bias", torch.zeros(len(weight))).float(), activation
        )
    except (SafetensorError, KeyError, OSError) as error:
        raise UserError(
            f"encoder {ref}: {weights} is damaged ({type(error).__name__}); copy or download it"
            " again"
        ) from error


def _lowers_case(transformer: Path, ref: str) -> bool:
    """Whether the folder asks for texts in lower case."""
    return bool(_settings(transformer / _INPUTS, ref).get("do_lower_case"))


def _settings_not_known(folder: Path, ref: str) -> list[tuple[str, Any]]:
    """The settings of a folder that are not known here, and may change the vectors."""
    if not list_modules(folder, ref):
        return []
    found = {
        **_settings(transformer_folder(folder, ref) / _INPUTS, ref),
        **_settings(folder / PROMPT_SETTINGS, ref),
    }
    return [(name, value) for name, value in found.items() if value and name not in _KNOWN_SETTINGS]


def _settings(path: Path, ref: str) -> dict[str, Any]:
    value = read_json(path, ref) if path.exists() else {}
    return value if isinstance(value, dict) else {}
