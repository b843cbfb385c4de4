"""Checkpoints in the format of Hugging Face. `AutoModel` and `AutoModelForMaskedLM` load them as
`eurobert`, without remote code.

A folder holds config.json, model.safetensors (fp32), the tokenizer's files, pretraining.json (how
the model was trained) and README.md.
"""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from cluster.storage import CorruptArtefactError, check_readable
from neoberta.config import ModelConfig
from neoberta.model import NeoBERTa
from neoberta.tokenizer import CLS_ID, MASK_ID, PAD_ID, SEP_ID, load_tokenizer, save_tokenizer

INFO_FILE = "pretraining.json"
_FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
}
"""Our fused weight -> the `eurobert` weights that it consists of, in order."""
_RENAMED = {
    "attention_norm": "input_layernorm",
    "attention_out": "self_attn.o_proj",
    "mlp_norm": "post_attention_layernorm",
    "down": "mlp.down_proj",
}
"""Our name of a layer -> its name in `eurobert`."""


def untrained(config: ModelConfig, tokenizer: Tokenizer, seed: int = 0) -> NeoBERTa:
    """A model of the same shape at step 0: the control of an experiment."""
    return NeoBERTa(config, tokenizer.get_vocab_size(), seed=seed)


def save_checkpoint(
    model: NeoBERTa, tokenizer: Tokenizer, folder: Path, info: dict[str, Any]
) -> None:
    """Write a checkpoint into an existing folder. The caller publishes the folder as a whole.
    `info` goes into pretraining.json and the README."""
    _hf_config(model).save_pretrained(folder)
    save_file(to_hf(model), str(folder / "model.safetensors"), metadata={"format": "pt"})
    save_tokenizer(tokenizer, folder, model.config.max_length)
    parameters = model.config.n_parameters(model.vocab_size)
    facts = {
        "model": model.config.model_dump(mode="json"),
        "vocab_size": model.vocab_size,
        "n_parameters": parameters,
        **info,
    }
    (folder / INFO_FILE).write_text(json.dumps(facts, indent=1))
    (folder / "README.md").write_text(_card(facts))


def load_checkpoint(folder: Path) -> tuple[NeoBERTa, Tokenizer, dict[str, Any]]:
    """`(model, tokenizer, info)` of a checkpoint that `save_checkpoint` wrote. Raises
    CorruptArtefactError, UserError."""
    check_readable(folder / INFO_FILE, folder / "model.safetensors")
    try:
        info = json.loads((folder / INFO_FILE).read_text())
        model = NeoBERTa(ModelConfig(**info["model"]), info["vocab_size"])
        from_hf(model, load_file(str(folder / "model.safetensors")))
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise CorruptArtefactError(f"{folder}: not a NeoBERTa checkpoint ({error})") from error
    return model.eval(), load_tokenizer(folder), info


def to_hf(model: NeoBERTa) -> dict[str, torch.Tensor]:
    """Weights under the names of `eurobert`, without the output layer, which is tied to the
    embedding."""
    tensors = {
        "model.embed_tokens.weight": model.embed_tokens.weight,
        "model.norm.weight": model.norm.weight,
    }
    for idx, block in enumerate(model.layers):
        for ours, weight in block.state_dict().items():
            name = ours.removesuffix(".weight")
            theirs = _FUSED.get(name, (_RENAMED.get(name, name),))
            for target, part in zip(theirs, weight.chunk(len(theirs)), strict=True):
                tensors[f"model.layers.{idx}.{target}.weight"] = part
    return {name: tensor.detach().float().contiguous().clone() for name, tensor in tensors.items()}


def from_hf(model: NeoBERTa, tensors: dict[str, torch.Tensor]) -> None:
    """Load weights that have the names of `eurobert`. Raises KeyError, RuntimeError when they do
    not fit."""
    state = {
        "embed_tokens.weight": tensors["model.embed_tokens.weight"],
        "norm.weight": tensors["model.norm.weight"],
    }
    for idx, block in enumerate(model.layers):
        for ours in block.state_dict():
            name = ours.removesuffix(".weight")
            theirs = _FUSED.get(name, (_RENAMED.get(name, name),))
            state[f"layers.{idx}.{ours}"] = torch.cat(
                [tensors[f"model.layers.{idx}.{part}.weight"] for part in theirs]
            )
    model.load_state_dict(state)


def _hf_config(model: NeoBERTa) -> Any:
    from transformers import EuroBertConfig

    config = model.config
    return EuroBertConfig(
        architectures=["EuroBertForMaskedLM"],
        vocab_size=model.vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate,
        num_hidden_layers=config.n_layers,
        num_attention_heads=config.heads,
        max_position_embeddings=config.max_length,
        rms_norm_eps=config.norm_eps,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=True,
        pad_token_id=PAD_ID,
        bos_token_id=CLS_ID,
        eos_token_id=SEP_ID,
        mask_token_id=MASK_ID,
        dtype="float32",
    )


def _card(facts: dict[str, Any]) -> str:
    model, parameters = facts["model"], facts["n_parameters"]
    shape = (
        f"An encoder of {model['n_layers']} layers, {model['hidden_size']} wide, inputs of up to"
        f" {model['max_length']} tokens: {parameters['body']:,} parameters in its body,"
        f" {parameters['embedding']:,} in its embedding ({facts['vocab_size']:,} tokens)."
    )
    training = "Untrained: freshly initialised weights, a control."
    if "validation" in facts:
        training = (
            f"Pretrained by masked language modelling on {facts['n_tokens']:,} tokens:"
            f" {facts['validation']['loss']:.3f} nats a masked token on held-out text (token"
            f" frequencies alone: {facts['validation']['unigram_loss']:.3f})."
        )
    usage = (
        'from transformers import pipeline\n\npipeline("fill-mask", model=FOLDER)("A [MASK] of'
        ' text.")'
    )
    return (
        "---\nlibrary_name: transformers\npipeline_tag: fill-mask\n---\n\n# NeoBERTa\n\n"
        f"{shape}\n\n{training}\n\n```python\n{usage}\n```\n"
    )
