"""Checks that the parts of a model folder fit together: tokenizer, configuration, weights, and the
head of sentence-transformers.

Only JSON files and the headers of safetensors files are read. No weights are loaded, and no library
is imported. Other mistakes show when the model is loaded.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from cluster.storage import UserError, access_explained, check_readable
from probes.encoders.sentence_modules import (
    DENSE,
    NORMALIZE,
    POOLING,
    TRANSFORMER,
    Module,
    list_modules,
)

Shape = tuple[int, ...]

_TOKEN_EMBEDDINGS = (
    *("word_embeddings.weight", "word_embedding.weight", "tok_embeddings.weight"),
    *("embed_tokens.weight", "wte.weight", "shared.weight", "token_embedding.weight"),
)
_POSITION_EMBEDDINGS = ("position_embeddings.weight", "embed_positions.weight", "wpe.weight")
"""The endings of the names of position embeddings in transformers' models."""
_WIDTHS = ("hidden_size", "d_model", "n_embd", "dim")
_EMBEDDING_WIDTHS = (*_WIDTHS, "embedding_size", "input_embedding_size", "word_embed_proj_dim")
_POSITIONS = ("max_position_embeddings", "n_positions")
_SPARE_POSITIONS = 2
"""Some models (BART and its like) have up to two rows more than positions."""
_SAME_PLACE = "copy all files of the model from one place again"


def tensor_shapes(files: Sequence[Path], ref: str) -> dict[str, Shape]:
    """The shape of every tensor in safetensors files, by name. Raises UserError for a damaged
    file."""
    shapes = {}
    check_readable(*files, subject=f"encoder {ref}: ")
    for path in files:
        try:
            with safe_open(path, "np") as opened:
                for name in opened.keys():  # noqa: SIM118  (no mapping: it has `keys` alone)
                    shapes[name] = tuple(opened.get_slice(name).get_shape())
        except (SafetensorError, OSError) as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
            raise UserError(
                f"encoder {ref}: {path} is damaged ({first}); copy or download it again"
            ) from error
    return shapes


def check_parts(
    folder: Path, config: Mapping[str, Any], shapes: Mapping[str, Shape], ref: str
) -> None:
    """Raises UserError where the folder's tokenizer, configuration and weights (`shapes`; none: the
    configuration speaks for them) do not fit together."""
    embeddings = _tensor(shapes, _TOKEN_EMBEDDINGS)
    positions = _tensor(shapes, _POSITION_EMBEDDINGS)
    if "auto_map" not in config:  # a model with its own code may read its settings in another way
        _check_sizes(folder, config, embeddings, positions, ref)
    n_rows = embeddings[1][0] if embeddings is not None else _whole(config, ("vocab_size",))
    if n_rows is not None:
        _check_tokenizer(folder, config, n_rows, ref)
    if positions is not None:
        _check_max_length(folder, positions[1][0], ref)


def _check_sizes(
    folder: Path,
    config: Mapping[str, Any],
    embeddings: tuple[str, Shape] | None,
    positions: tuple[str, Shape] | None,
    ref: str,
) -> None:
    """Check `config.json` against the weights."""
    where = f"encoder {ref}: {folder}/config.json"
    if embeddings is not None:
        name, (n_rows, width) = embeddings
        widths = {key: config[key] for key in _EMBEDDING_WIDTHS if _whole(config, (key,))}
        if widths and width not in widths.values():
            key, value = next(iter(widths.items()))
            raise UserError(
                f"{where} has {key} {value}, and the weights have {width} ({name}); {_SAME_PLACE}"
            )
        n_tokens = _whole(config, ("vocab_size",))
        if n_tokens not in (None, n_rows):
            raise UserError(
                f"{where} has vocab_size {n_tokens}, and the embeddings in the weights have"
                f" {n_rows} rows ({name}); {_SAME_PLACE}"
            )
    n_positions = _whole(config, _POSITIONS)
    if positions is not None and n_positions is not None:
        name, (n_rows, _) = positions
        if not n_positions <= n_rows <= n_positions + _SPARE_POSITIONS:
            raise UserError(
                f"{where} has {n_positions} positions, and the weights have {n_rows} ({name});"
                f" {_SAME_PLACE}"
            )


def _check_tokenizer(folder: Path, config: Mapping[str, Any], n_rows: int, ref: str) -> None:
    """The tokenizer's numbers against the rows of the embedding matrix. Added tokens may be beyond:
    only a text that has one cannot be read."""
    n_tokens, named = count_tokens(folder, ref)
    if n_tokens > n_rows:
        raise UserError(too_many_tokens(ref, str(folder), n_tokens, n_rows))
    pad_id = config.get("pad_token_id")
    if isinstance(pad_id, int):
        named = {**named, "pad_token_id of config.json": pad_id}
    for what, token_id in named.items():
        if token_id >= n_rows:
            raise UserError(
                f"encoder {ref}: {folder}: the special token {what} has the number {token_id}, and"
                f" the model's embeddings have {n_rows} rows; take the tokenizer that the model"
                " was trained with"
            )


def too_many_tokens(ref: str, where: str, n_tokens: int, n_rows: int) -> str:
    """The message about a tokenizer that has more tokens than the embedding matrix has rows."""
    return (
        f"encoder {ref}: {where}: the tokenizer has {n_tokens} tokens and the model's embeddings"
        f" {n_rows} rows; take the tokenizer that the model was trained with"
    )


def count_tokens(folder: Path, ref: str) -> tuple[int, dict[str, int]]:
    """How many rows the tokenizer's vocabulary needs without added tokens (0 where only loading it
    could say), and the numbers of the special tokens that it puts around a text. Raises UserError
    for damaged files."""
    numbers: list[int] = []
    added_numbers: list[int] = []
    around: dict[str, int] = {}
    pieces: set[str] = set()
    fast = _json(folder / "tokenizer.json", ref)
    if isinstance(fast, dict):
        vocabulary = (fast.get("model") or {}).get("vocab") or {}
        if isinstance(vocabulary, dict):
            numbers += _ints(vocabulary.values())
            pieces |= set(vocabulary)
        else:  # Unigram: pairs of piece and score, in the order of their numbers
            numbers.append(len(vocabulary) - 1)
            pieces |= {str(pair[0]) for pair in vocabulary if isinstance(pair, list) and pair}
        added = [token for token in fast.get("added_tokens") or () if isinstance(token, dict)]
        added_numbers += _ints(token.get("id") for token in added)
        pieces |= {str(token.get("content")) for token in added}
        around = dict(_template_tokens(fast.get("post_processor")))
    else:
        spelt = _json(folder / "vocab.json", ref)
        if isinstance(spelt, dict):
            numbers += _ints(spelt.values())
        elif (listing := folder / "vocab.txt").is_file():
            lines = listing.read_text(encoding="utf-8", errors="replace").rstrip("\n")
            numbers.append(lines.count("\n"))
        added_tokens = _json(folder / "added_tokens.json", ref)
        if isinstance(added_tokens, dict):
            added_numbers += _ints(added_tokens.values())
    if not numbers:
        return 0, around
    n_tokens = max(numbers) + 1
    padding = _padding_token(folder, ref)
    if pieces and padding is not None and padding not in pieces:
        # transformers appends it when it loads the tokenizer
        around[padding] = max(numbers + added_numbers) + 1
    return n_tokens, around


def _padding_token(folder: Path, ref: str) -> str | None:
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        settings = _json(folder / name, ref)
        token = settings.get("pad_token") if isinstance(settings, dict) else None
        token = token.get("content") if isinstance(token, dict) else token
        if isinstance(token, str):
            return token
    return None


def _template_tokens(processor: Any) -> Iterator[tuple[str, int]]:
    """The special tokens that a post-processor of `tokenizer.json` adds, with their numbers."""
    if not isinstance(processor, dict):
        return
    for part in processor.get("processors") or ():
        yield from _template_tokens(part)
    for name in ("cls", "sep"):  # BertProcessing, RobertaProcessing: [token, number]
        pair = processor.get(name)
        if isinstance(pair, list) and len(pair) == 2:
            yield from ((str(pair[0]), number) for number in _ints(pair[1:]))
    special = processor.get("special_tokens")
    for name, token in special.items() if isinstance(special, dict) else ():
        ids = token.get("ids") if isinstance(token, dict) else None
        yield from ((str(name), number) for number in _ints(ids or ()))


def _check_max_length(folder: Path, n_positions: int, ref: str) -> None:
    """Check the input length of a sentence-transformers folder against the matrix of positions."""
    path = folder / "sentence_bert_config.json"
    settings = _json(path, ref)
    asked = settings.get("max_seq_length") if isinstance(settings, dict) else None
    if isinstance(asked, int) and asked > n_positions:
        raise UserError(
            f"encoder {ref}: {path} asks for texts of {asked} tokens (max_seq_length), and the"
            f" model has {n_positions} positions; write {n_positions} or less there"
        )


def hidden_width(config: Mapping[str, Any]) -> int | None:
    """The width of a model's hidden states. None where its configuration leaves it out, or has an
    unknown name for it."""
    return _whole(config, _WIDTHS)


def check_head(folder: Path, width: int | None, ref: str) -> None:
    """Check that the head of a sentence-transformers folder fits hidden states of `width` (None:
    unknown). Raises UserError."""
    for module in list_modules(folder, ref):
        path = module.folder / "config.json"
        if module.kind == POOLING:
            settings = module.settings(ref)
            asked = _whole(settings, ("word_embedding_dimension", "embedding_dimension"))
            if width is not None and asked not in (None, width):
                raise UserError(
                    f"encoder {ref}: {path} is for vectors of {asked} numbers, and the model's have"
                    f" {width}; {_SAME_PLACE}"
                )
            width = None if width is None else width * _n_poolings(settings)
        elif module.kind == DENSE:
            width = _check_dense(module, width, ref)
        elif module.kind not in (TRANSFORMER, NORMALIZE):
            width = None  # an unknown part may change it


def _check_dense(module: Module, width: int | None, ref: str) -> int | None:
    """Check a dense layer. Returns the width of its output."""
    where, settings = f"encoder {ref}: {module.folder}", module.settings(ref)
    n_in, n_out = _whole(settings, ("in_features",)), _whole(settings, ("out_features",))
    if None not in (width, n_in) and width != n_in:
        raise UserError(
            f"{where}/config.json takes vectors of {n_in} numbers, and is given {width};"
            f" {_SAME_PLACE}"
        )
    weights = module.folder / "model.safetensors"
    shape = tensor_shapes([weights], ref).get("linear.weight") if weights.is_file() else None
    if shape is not None and None not in (n_in, n_out) and shape != (n_out, n_in):
        raise UserError(
            f"{where}: config.json says {n_in} to {n_out} numbers, and the weights are"
            f" {' x '.join(map(str, shape))} (out x in); {_SAME_PLACE}"
        )
    return n_out


def _n_poolings(settings: Mapping[str, Any]) -> int:
    """How many poolings the head has. Their vectors are concatenated."""
    named = settings.get("pooling_mode")
    if isinstance(named, list):
        return max(len(named), 1)
    asked = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
    return max(len(asked), 1)


def _tensor(shapes: Mapping[str, Shape], ends: Sequence[str]) -> tuple[str, Shape] | None:
    """The name and shape of the matrix whose name has one of these endings. Matrices of a decoder
    do not count. None where there is none."""
    found = [
        (name, shape)
        for name, shape in sorted(shapes.items())
        if any(f".{name}".endswith(f".{end}") for end in ends)  # x_position_embeddings is another
        and len(shape) == 2
        and "decoder." not in name
    ]
    return found[0] if found else None


def _whole(config: Mapping[str, Any], keys: Sequence[str]) -> int | None:
    """The first value under `keys` that is a positive whole number."""
    values = (config.get(key) for key in keys)
    return next(
        (value for value in values if type(value) is int and value > 0), None
    )  # True is an int too


def _ints(values: Any) -> list[int]:
    return [value for value in values if type(value) is int]


def _json(path: Path, ref: str) -> Any:
    """The JSON in a file. None where there is no such file."""
    if not path.is_file():
        return None
    try:
        with access_explained(subject=f"encoder {ref}: "):
            return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            f"encoder {ref}: {path} is damaged ({type(error).__name__}); copy or download it again"
        ) from error
