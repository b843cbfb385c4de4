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
from probes.encoders.loaded_tensors import check_tensors, has_two_sides
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
from probes.encoders.weights_identity import hub_id_of, weights_identity

ROWS_PER_TOKEN = 100
"""A tokenizer that knows fewer than one token for so many rows of the embedding matrix has lost its
vocabulary. Where it finds no vocabulary file of its kind, transformers makes one that has special
tokens only, and says nothing: all texts would be unknown tokens, and equally long ones the same."""


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
    tensor_notes = check_tensors(model, found, folder, ref)
    model = _encoder_side(model)
    token_notes = _check_tokenizer(model, tokenizer, folder, ref)
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
                notes=(*prompt_notes, *head_notes, *tensor_notes, *token_notes),
                weights=weights_identity(model),
                hub_id=hub_id_of(folder),
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
    weights: str = "",
    hub_id: str = "",
) -> Identity:
    """What names the encoder. Precision and prompt are part of it, since bf16 moves vectors by
    1e-2: encoders that differ in them never share a cache."""
    used = precision_here(precision)
    rounding = {} if used == "fp32" else {"precision": used}
    prompted = {"prompt": prompt} if prompt else {}
    fingerprint = digest(
        {"version": ENCODING_VERSION, "files": files, "max_length": n_tokens, **rounding} | prompted
    )
    return Identity(ref, family, fingerprint, n_tokens, used, prompt, notes, weights, hub_id)


def _load_tokenizer(folder: Path, trust_remote_code: bool = False) -> Any:
    return AutoTokenizer.from_pretrained(
        folder, trust_remote_code=trust_remote_code, local_files_only=True
    )


def _check_tokenizer(model: Any, tokenizer: Any, folder: Path, ref: str) -> tuple[str, ...]:
    """What must be said of a tokenizer whose numbers only loading it tells. Raises UserError where
    it does not fit the embedding matrix, or where the model has none."""
    n_rows = _embedding_rows(model, folder, ref)
    added = tokenizer.get_added_vocab()
    numbers = {number for token, number in tokenizer.get_vocab().items() if token not in added}
    if max(numbers, default=-1) >= n_rows:
        raise UserError(too_many_tokens(ref, str(folder), max(numbers) + 1, n_rows))
    if len(numbers) * ROWS_PER_TOKEN < n_rows:
        raise UserError(
            f"encoder {ref}: {folder}: the tokenizer knows {len(numbers)} tokens beside the special"
            f" ones, and the model {n_rows}: transformers does not find its vocabulary; save it"
            " there again with tokenizer.save_pretrained(folder), which writes tokenizer.json"
        )
    beyond = sorted(token for token, number in added.items() if number >= n_rows)
    if not beyond:
        return ()
    return (
        f"{ref}: its tokenizer has {len(beyond)} added tokens that the model has no vector for"
        f" ({', '.join(beyond[:3])}); a text with one of them is refused",
    )


def _embedding_rows(model: Any, folder: Path, ref: str) -> int:
    """Rows of the matrix of token vectors. Raises UserError for a model without one."""
    try:
        n_rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    except NotImplementedError:
        n_rows = None
    if not isinstance(n_rows, int):
        raise UserError(
            f"encoder {ref}: {folder}: a model of the type {model.config.model_type} has no matrix"
            " of token vectors, since it reads more or other than text; give a text encoder"
        )
    return n_rows


def _encoder_side(model: Any) -> PreTrainedModel:
    if has_two_sides(model):
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
