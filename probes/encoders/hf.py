"""Encoders from model folders in transformers' format: trained (`hf:`, `neoberta:`) and untrained
(`random:`)."""

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedModel

from cluster.storage import UserError, digest
from neoberta.precision import Precision
from probes.encoders.errors import loading
from probes.encoders.folder_parts import too_many_tokens
from probes.encoders.model_folder import (
    ENCODING_VERSION,
    check_model_folder,
    configured_max_length,
    find_model_folder,
    folder_identity,
    weight_files,
)
from probes.encoders.prompts import choose_prompt, read_prompts
from probes.encoders.sentence_head import read_sentence_head
from probes.encoders.sentence_modules import transformer_folder
from probes.encoders.transformer import Identity, TransformerEncoder, precision_here


def load_hf(
    name: str,
    ref: str,
    *,
    family: str,
    precision: Precision,
    max_length: int,
    prompt: str | None = None,
    trust_remote_code: bool = False,
) -> TransformerEncoder:
    """The encoder in a model folder or on the hub. `prompt` is put before every text: the name of a
    prompt of the folder, or a text. None means the folder's default. Raises UserError."""
    whole = find_model_folder(name, ref, with_code=trust_remote_code)
    check_model_folder(whole, ref, trust_remote_code=trust_remote_code)
    folder = transformer_folder(whole, ref)
    prompt, prompt_notes = choose_prompt(read_prompts(whole, ref), prompt, ref)
    head, head_notes = read_sentence_head(whole, ref, prompt=prompt)
    with _quiet(), loading(ref):
        model, found = AutoModel.from_pretrained(
            folder,
            dtype=torch.float32,
            trust_remote_code=trust_remote_code,
            use_safetensors=True,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # refused below, with their names
        )
        tokenizer = _load_tokenizer(folder, trust_remote_code)
    if found["mismatched_keys"]:
        name, there, asked = min(found["mismatched_keys"])
        raise UserError(
            f"encoder {ref}: {folder}: config.json and the weights disagree on the sizes of"
            f" {len(found['mismatched_keys'])} tensors ({name}: {tuple(there)} in the weights,"
            f" {tuple(asked)} by config.json); copy all files of the model from one place again"
        )
    # A pooler is on top of the hidden states, and many published checkpoints come without theirs.
    missing = sorted(key for key in found["missing_keys"] if "pooler" not in key)
    if missing:
        raise UserError(
            f"encoder {ref}: {folder} lacks {len(missing)} of the model's tensors ({missing[0]},"
            " ...)"
        )
    model = _encoder_side(model)
    _check_tokenizer(model, tokenizer, folder, ref)
    n_tokens = _max_length(model, tokenizer, folder, max_length)
    identity = folder_identity(folder, weight_files(folder, ref), with_code=trust_remote_code)
    identity |= head.identity if head is not None else {}
    with loading(ref):
        return TransformerEncoder(
            model,
            tokenizer,
            _identity(
                *(ref, family, identity, n_tokens, precision),
                prompt=prompt,
                notes=(*prompt_notes, *head_notes),
            ),
            sentence_head=head,
        )


def load_untrained(
    name: str, ref: str, *, precision: Precision, max_length: int, seed: int = 0
) -> TransformerEncoder:
    """An untrained encoder: the architecture and tokenizer of a model folder with random weights.
    The same `seed` gives the same weights. Raises UserError."""
    folder = find_model_folder(name, ref)
    check_model_folder(folder, ref, needs_weights=False)
    folder = transformer_folder(folder, ref)
    with _quiet(), loading(ref), torch.random.fork_rng(devices=[]):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        config.dtype = torch.float32
        torch.manual_seed(seed)
        model = AutoModel.from_config(config, trust_remote_code=False)
        tokenizer = _load_tokenizer(folder)
    model = _encoder_side(model)
    _check_tokenizer(model, tokenizer, folder, ref)
    n_tokens = _max_length(model, tokenizer, folder, max_length)
    identity = {**folder_identity(folder, []), "weights": _weights_digest(model)}
    with loading(ref):
        return TransformerEncoder(
            model, tokenizer, _identity(ref, "random", identity, n_tokens, precision)
        )


def _identity(
    ref: str,
    family: str,
    files: dict[str, str],
    n_tokens: int,
    precision: Precision,
    *,
    prompt: str = "",
    notes: tuple[str, ...] = (),
) -> Identity:
    """What names the encoder. Precision and prompt are part of it, since bf16 moves vectors by
    1e-2: encoders that differ in them never share a cache."""
    used = precision_here(precision)
    rounding = {} if used == "fp32" else {"precision": used}
    prompted = {"prompt": prompt} if prompt else {}
    fingerprint = digest(
        {"version": ENCODING_VERSION, "files": files, "max_length": n_tokens, **rounding} | prompted
    )
    return Identity(ref, family, fingerprint, n_tokens, used, prompt, notes)


def _load_tokenizer(folder: Path, trust_remote_code: bool = False) -> Any:
    return AutoTokenizer.from_pretrained(
        folder, trust_remote_code=trust_remote_code, local_files_only=True
    )


def _check_tokenizer(model: Any, tokenizer: Any, folder: Path, ref: str) -> None:
    """Check a loaded tokenizer against the embedding matrix. The size of some tokenizers
    (SentencePiece and its like) is known only then. Raises UserError."""
    n_rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    if n_rows is None or (folder / "tokenizer.json").exists():
        return
    n_tokens = max(tokenizer.get_vocab().values(), default=-1) + 1
    if n_tokens > n_rows:
        raise UserError(too_many_tokens(ref, str(folder), n_tokens, n_rows))


def _encoder_side(model: Any) -> PreTrainedModel:
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    # a causal model would otherwise keep keys and values of every layer
    model.config.use_cache = False
    return cast(PreTrainedModel, model)


def _max_length(model: Any, tokenizer: Any, folder: Path, max_length: int) -> int:
    """How many tokens the model can read, at most `max_length`. Its positions, its tokenizer and
    the setting of sentence-transformers each limit it."""
    limits = [max_length, tokenizer.model_max_length, configured_max_length(folder)]
    n_positions = getattr(model.config, "max_position_embeddings", None)
    if n_positions is not None and n_positions > 0:
        limits.append(n_positions - _position_offset(model))
    return int(min(limit for limit in limits if limit is not None))


def _position_offset(model: torch.nn.Module) -> int:
    """How many positions a RoBERTa-like model never uses. Its first position comes after the index
    of the padding token."""
    for name, module in model.named_modules():
        if (
            name.endswith("position_embeddings")
            and isinstance(module, torch.nn.Embedding)
            and module.padding_idx is not None
        ):
            return module.padding_idx + 1
    return 0


def _weights_digest(model: torch.nn.Module) -> str:
    sha = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        sha.update(name.encode())
        sha.update(tensor.detach().contiguous().numpy().tobytes())
    return sha.hexdigest()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """A context in which transformers prints no progress bars and notes while it loads. Its notes
    on unused heads and new poolers do not matter here."""
    logging = transformers.utils.logging
    verbosity, has_bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if has_bar:
            logging.enable_progress_bar()
