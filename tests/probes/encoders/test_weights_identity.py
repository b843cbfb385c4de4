"""Weights are known by their numbers, whatever their folder and their files are called."""

import json
import shutil
from pathlib import Path

import pytest
from encoder_conformance import needs_minilm
from safetensors.numpy import load_file, save_file
from tiny_models import save_tiny_model
from transformers import AutoModel, AutoTokenizer

from probes.encoders import load_encoder
from probes.encoders.weights_identity import hub_id_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny") / "org" / "original")


def weights(folder: Path) -> str:
    return load_encoder(f"hf:{folder}", precision="fp32").info.weights


def test_the_same_weights_are_the_same_in_any_folder(folder: Path, tmp_path: Path) -> None:
    moved = tmp_path / "some-other-model"
    shutil.copytree(folder, moved)
    config = json.loads((moved / "config.json").read_text())
    (moved / "config.json").write_text(json.dumps(config | {"_name_or_path": "someone/else"}))
    saved_again = tmp_path / "saved-again"
    AutoModel.from_pretrained(folder).save_pretrained(saved_again, max_shard_size="20KB")
    AutoTokenizer.from_pretrained(folder).save_pretrained(saved_again)
    assert len(list(saved_again.glob("*.safetensors"))) > 1
    assert weights(folder) == weights(moved) == weights(saved_again)
    assert len(weights(folder)) == 16


def test_one_other_number_is_other_weights(folder: Path, tmp_path: Path) -> None:
    tuned = tmp_path / "original"
    shutil.copytree(folder, tuned)
    tensors = load_file(tuned / "model.safetensors")
    name = next(name for name in sorted(tensors) if "pooler" not in name)
    tensors[name] = tensors[name].copy()
    tensors[name].flat[0] += 1e-3
    save_file(tensors, tuned / "model.safetensors", {"format": "pt"})
    assert weights(tuned) != weights(folder)


def test_a_folder_without_a_pooler_has_the_same_hidden_states(folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(folder, bare)
    tensors = load_file(bare / "model.safetensors")
    kept = {name: values for name, values in tensors.items() if "pooler" not in name}
    assert len(kept) < len(tensors)
    save_file(kept, bare / "model.safetensors", {"format": "pt"})
    assert weights(bare) == weights(folder)


def test_only_what_the_hub_client_downloaded_has_a_hub_name(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / ("a" * 40)
    shutil.copytree(folder, snapshot)
    assert hub_id_of(snapshot) == "", "the client keeps the files beside"
    (tmp_path / "hub" / "models--org--name" / "blobs").mkdir()
    assert hub_id_of(snapshot) == "org/name"
    link = tmp_path / "link"
    link.symlink_to(snapshot, target_is_directory=True)
    assert load_encoder(f"hf:{link}", precision="fp32").info.hub_id == "org/name"
    assert load_encoder(f"hf:{folder}", precision="fp32").info.hub_id == ""


def test_untrained_weights_have_none(folder: Path) -> None:
    assert load_encoder(f"random:{folder}", precision="fp32").info.weights == ""


@needs_minilm()
def test_the_offline_encoder_is_the_one_that_the_prior_knows() -> None:
    from meta.priors.encoders import load_prior

    info = load_encoder("hf:all-MiniLM-L6-v2").info
    name = load_prior().name_of(info.weights, info.hub_id)
    assert name == "sentence-transformers/all-MiniLM-L6-v2"
