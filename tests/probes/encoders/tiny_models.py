"""Tiny, randomly initialised models of each architecture with a tokenizer, as folders that need no
network."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModel, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
WIDTH, N_LAYERS, N_HEADS, MAX_LENGTH = 32, 2, 2, 48

_COMMON = {
    "hidden_size": WIDTH,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": N_HEADS,
    "intermediate_size": 64,
}
_POSITIONS = {"max_position_embeddings": MAX_LENGTH}
ARCHITECTURES = {
    "bert": {**_COMMON, **_POSITIONS},
    "roberta": {
        **_COMMON,
        "max_position_embeddings": MAX_LENGTH + 1,
        "pad_token_id": 0,
    },  # counts from behind the padding index
    "distilbert": {
        "dim": WIDTH,
        "n_layers": N_LAYERS,
        "n_heads": N_HEADS,
        "hidden_dim": 64,
        **_POSITIONS,
    },
    "albert": {**_COMMON, **_POSITIONS, "embedding_size": 16},
    "electra": {**_COMMON, **_POSITIONS, "embedding_size": 16},
    "deberta-v2": {
        **_COMMON,
        **_POSITIONS,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
    },
    "modernbert": {
        **_COMMON,
        **_POSITIONS,
        "local_attention": 8,
        "cls_token_id": 2,
        "sep_token_id": 3,
    },
    "eurobert": {**_COMMON, **_POSITIONS},
    "gpt2": {"n_embd": WIDTH, "n_layer": N_LAYERS, "n_head": N_HEADS, "n_positions": MAX_LENGTH},
    "bart": {
        **{
            "d_model": WIDTH,
            "encoder_layers": N_LAYERS,
            "decoder_layers": 1,
            "encoder_attention_heads": N_HEADS,
        },
        **{
            "decoder_attention_heads": N_HEADS,
            "encoder_ffn_dim": 64,
            "decoder_ffn_dim": 64,
            **_POSITIONS,
        },
    },
    "xlnet": {"d_model": WIDTH, "n_layer": N_LAYERS, "n_head": N_HEADS, "d_inner": 64},
    "mobilebert": {
        **_COMMON,
        **_POSITIONS,
        "embedding_size": WIDTH,
        "intra_bottleneck_size": 16,
        "num_feedforward_networks": 1,
    },
    "roformer": {**_COMMON, **_POSITIONS, "embedding_size": WIDTH},
    "mpnet": {
        **_COMMON,
        "max_position_embeddings": MAX_LENGTH + 2,
    },  # its padding index is always 1
    "xlm-roberta": {**_COMMON, "max_position_embeddings": MAX_LENGTH + 1, "pad_token_id": 0},
    "deberta": {
        **_COMMON,
        **_POSITIONS,
        "relative_attention": True,
        "pos_att_type": ["p2c", "c2p"],
    },
    "t5": {"d_model": WIDTH, "d_kv": 16, "d_ff": 64, "num_layers": N_LAYERS, "num_heads": N_HEADS},
}


def make_tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE of 400 tokens, `[CLS] text [SEP]`."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(
        ["Fit the model to the data and return the index of the smallest value."] * 20, trainer
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    names = dict(
        zip(
            ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"),
            SPECIAL_TOKENS,
            strict=True,
        )
    )
    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=MAX_LENGTH, model_input_names=inputs, **names
    )


def save_tiny_model(folder: Path, architecture: str = "bert", seed: int = 0) -> Path:
    """A model and tokenizer folder as `save_pretrained` writes it."""
    tokenizer = make_tokenizer()
    ids = {"vocab_size": len(tokenizer), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    config = CONFIG_MAPPING[architecture](**{**ids, **ARCHITECTURES[architecture]})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoModel.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
