"""Byte-level BPE tokenizers. They are trained from texts, and stored as the folder of a Hugging
Face fast tokenizer.

Every Unicode string has an encoding, without unknown tokens. The same texts in the same order give
the same tokenizer.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from cluster.storage import UserError, check_readable

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD_ID, UNK_ID, CLS_ID, SEP_ID, MASK_ID = range(5)
MIN_VOCAB_SIZE = 256 + len(SPECIAL_TOKENS)
"""One token for each byte, and the special tokens."""
TOKENIZER_VERSION = 1
"""Part of the key. It is raised when the same texts would give another tokenizer."""


def train_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """A tokenizer of at most `vocab_size` tokens. It has fewer when the texts have fewer frequent
    pairs. It puts [CLS] before a text and [SEP] after it (and after a second text). Raises
    UserError."""
    if vocab_size < MIN_VOCAB_SIZE:
        raise UserError(
            f"vocab_size {vocab_size}: must be at least {MIN_VOCAB_SIZE} (bytes and special tokens)"
        )
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS_ID), ("[SEP]", SEP_ID)],
    )
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    """Write `tokenizer` so that `transformers.AutoTokenizer` loads it. `max_length` is the longest
    input of its model, in tokens."""
    from transformers import PreTrainedTokenizerFast

    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    fast = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer.to_str()),
        model_max_length=max_length,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **dict(zip(names, SPECIAL_TOKENS, strict=True)),
    )
    fast.save_pretrained(folder)


def load_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a folder that `save_tokenizer` wrote, without truncation or padding. Raises
    UserError."""
    path = folder / "tokenizer.json"
    check_readable(path)
    if not path.is_file():
        raise UserError(
            f"{folder}: no tokenizer.json; give a folder that `neoberta tokenizer` made"
        )
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for idx, token in enumerate(SPECIAL_TOKENS):
        if tokenizer.token_to_id(token) != idx:
            raise UserError(
                f"{path}: token {token} must have id {idx}; train the tokenizer with `neoberta"
                " tokenizer`"
            )
    return tokenizer


def tokenizer_identity(texts_digest: str, vocab_size: int) -> dict[str, Any]:
    """Everything that a trained tokenizer depends on."""
    library = tokenizers.__version__
    return {
        "version": TOKENIZER_VERSION,
        "texts": texts_digest,
        "vocab_size": vocab_size,
        "tokenizers": library,
    }


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Token ids of each text, without special tokens."""
    return [
        encoding.ids
        for encoding in tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    ]
