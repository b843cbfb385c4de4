import numpy as np
import pytest
import torch

from cluster.storage import CorruptArtefactError
from neoberta.checkpoint import load_checkpoint, save_checkpoint, to_hf, untrained
from neoberta.config import ModelConfig
from neoberta.evaluation import validation_loss
from neoberta.model import NeoBERTa, same_document

SHAPE = ModelConfig(n_layers=3, hidden_size=32, n_heads=4, max_length=32)


def _larger(model: NeoBERTa) -> NeoBERTa:
    """Weights large enough for differences to show in the outputs."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.mul_(8)
    return model


def test_packed_documents_equal_single_documents(corpus):
    model = _larger(NeoBERTa(SHAPE, 320, seed=1))
    rows = corpus.rows(np.arange(6))
    tokens, document, position = (torch.from_numpy(array) for array in rows)
    with torch.no_grad():
        packed = model.hidden_states(tokens, position, same_document(document))
        for number in document[document >= 0].unique():
            of_document = document == number
            alone = tokens[of_document].unsqueeze(0)
            everything = torch.ones(1, 1, alone.shape[1], alone.shape[1], dtype=torch.bool)
            single = model.hidden_states(
                alone, torch.arange(alone.shape[1]).unsqueeze(0), everything
            )
            for packed_layer, single_layer in zip(packed, single, strict=True):
                torch.testing.assert_close(
                    packed_layer[of_document], single_layer[0], atol=1e-5, rtol=1e-5
                )


def test_export_equals_transformers(tokenizer, tmp_path):
    from transformers import AutoModel, AutoModelForMaskedLM, AutoTokenizer

    model = _larger(untrained(SHAPE, tokenizer, seed=2))
    save_checkpoint(model, tokenizer, tmp_path, {"note": 1})
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path, trust_remote_code=False)
    assert theirs.config.model_type == "eurobert"
    assert theirs.lm_head.weight.data_ptr() == theirs.model.embed_tokens.weight.data_ptr()
    fast = AutoTokenizer.from_pretrained(tmp_path)
    batch = fast(
        ["the sorted array", "an axis of the new matrix"], padding=True, return_tensors="pt"
    )
    mask = batch["attention_mask"].bool()
    with torch.no_grad():
        ours = model.hidden_states(
            batch["input_ids"],
            torch.arange(mask.shape[1]).expand_as(mask),
            same_document(mask.long() - 1),
        )
        expected = theirs(**batch, output_hidden_states=True)
        torch.testing.assert_close(
            model.logits(ours[-1])[mask], expected.logits[mask], atol=1e-5, rtol=1e-5
        )
        torch.testing.assert_close(
            ours[1][mask], expected.hidden_states[1][mask], atol=1e-5, rtol=1e-5
        )
        base, loading = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
        torch.testing.assert_close(
            base(**batch).last_hidden_state[mask], model.norm(ours[-1])[mask], atol=1e-5, rtol=1e-5
        )
    assert not loading["missing_keys"]
    again, its_tokenizer, info = load_checkpoint(tmp_path)
    assert (
        info["note"] == 1
        and info["n_parameters"]["body"] == sum(p.numel() for p in model.parameters()) - 320 * 32
    )
    assert its_tokenizer.to_str() == tokenizer.to_str()
    assert all(
        (a == b).all() for a, b in zip(to_hf(again).values(), to_hf(model).values(), strict=True)
    )


def test_damaged_checkpoint(tokenizer, tmp_path):
    save_checkpoint(untrained(SHAPE, tokenizer), tokenizer, tmp_path, {})
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CorruptArtefactError, match="not a NeoBERTa checkpoint"):
        load_checkpoint(tmp_path)


def test_fresh_weights(tokenizer):
    one, same, other = (NeoBERTa(SHAPE, 320, seed=seed) for seed in (0, 0, 1))
    assert all((a == b).all() for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not (one.embed_tokens.weight == other.embed_tokens.weight).any()
    assert one.layers[0].qkv.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert one.layers[0].down.weight.std().item() == pytest.approx(0.02 / 6**0.5, rel=0.05)


def test_loss_is_the_cross_entropy_of_all_logits(corpus):
    model = _larger(NeoBERTa(SHAPE, 320))
    rows = corpus.rows(np.arange(4))
    tokens, document, position = (torch.from_numpy(array) for array in rows)
    target_idx = torch.tensor([3, 17, 40, 100])
    targets = tokens.flatten()[target_idx]
    with torch.no_grad():
        loss = model(
            tokens=tokens,
            document=document,
            position=position,
            target_idx=target_idx,
            targets=targets,
            scale=torch.tensor(0.25),
        )
        logits = model.logits(
            model.hidden_states(tokens, position, same_document(document))[-1]
        ).flatten(0, 1)
        expected = -logits.log_softmax(-1)[target_idx, targets].mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert validation_loss(NeoBERTa(SHAPE, 320), corpus)["loss"] == pytest.approx(
        np.log(320), rel=0.02
    )


def test_shapes():
    assert ModelConfig(hidden_size=192).heads == 3
    assert ModelConfig(hidden_size=192).intermediate == 512
    with pytest.raises(ValueError, match="even multiple of n_heads"):
        ModelConfig(hidden_size=100, n_heads=3)
