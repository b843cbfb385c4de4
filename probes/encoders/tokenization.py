"""Turns texts, pairs and words into token ids, with fast and slow tokenizers.

Nothing is padded here. An input that is longer than the encoder reads is cut and counted. The
tokenizer's closing special token is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from probes.encoders.base import split_pair

_OPTIONS = {"padding": False, "return_attention_mask": False, "verbose": False}


@dataclass
class TokenizedTexts:
    """Tokenised inputs of an encoder. Their lengths differ."""

    ids: list[list[int]]
    """Token ids of each input, special tokens included. No input is empty."""
    types: list[list[int]] | None
    """For each token the text of the pair that it comes from (0 or 1). None where the model does
    not take it."""
    n_truncated: int = 0


@dataclass
class TokenizedWords(TokenizedTexts):
    """Windows of sentences: an input is one window of whole words."""

    words: list[np.ndarray] = field(default_factory=list)
    """Per window (tokens,) int64: the word of each token, counted through all sentences; -1 for
    special tokens and spaces."""


class TextTokenizer:
    """A tokenizer of transformers, with the functions that encoders need. `takes_types`: whether
    the model takes token types 0 and 1."""

    def __init__(self, tokenizer: Any, max_length: int, *, takes_types: bool):
        self._tokenizer, self.max_length = tokenizer, max_length
        self._takes_types = takes_types and "token_type_ids" in tokenizer.model_input_names
        self.pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        known = (
            tokenizer.bos_token_id,
            tokenizer.eos_token_id,
            tokenizer.unk_token_id,
            self.pad_id,
        )
        self.filler_id: int = next(token_id for token_id in known if token_id is not None)
        """The token of an input for which the tokenizer gives no token at all."""

    @property
    def joins_pairs(self) -> bool:
        """Whether this tokenizer has a form of its own for two texts in one input."""
        count = self._tokenizer.num_special_tokens_to_add
        return count(pair=True) > max(count(pair=False), 1)

    def cls_is_last(self) -> bool:
        """Whether the classification token closes a text (XLNet) instead of opening it."""
        cls_id = self._tokenizer.cls_token_id
        ids = self._tokenizer("a", **_OPTIONS)["input_ids"]
        return cls_id is not None and len(ids) > 1 and ids[-1] == cls_id and ids[0] != cls_id

    def name(self, token_id: int) -> str:
        """The token that has a number."""
        return str(self._tokenizer.convert_ids_to_tokens(token_id))

    def texts(self, texts: Sequence[str], *, are_pairs: bool = False) -> TokenizedTexts:
        """Each text, or each pair made by `join_pair`, as one input."""
        columns = (
            [list(column) for column in zip(*map(split_pair, texts), strict=True)]
            if are_pairs
            else [list(texts)]
        )
        columns = [[valid_unicode(text) for text in column] for column in columns]
        options = {**_OPTIONS, "return_token_type_ids": self._takes_types}
        encoded = self._tokenizer(*columns, truncation=False, **options)
        ids, types = (
            list(encoded["input_ids"]),
            encoded.get("token_type_ids") if self._takes_types else None,
        )
        too_long = [row for row, found in enumerate(ids) if len(found) > self.max_length]
        if too_long:  # once more, so that the tokenizer keeps its closing special token
            cut = [[column[row] for row in too_long] for column in columns]
            shortened = self._tokenizer(
                *cut, truncation=True, max_length=self.max_length, **options
            )
            for position, row in enumerate(too_long):
                ids[row] = shortened["input_ids"][position]
                if types is not None:
                    types[row] = shortened["token_type_ids"][position]
        for row, found in enumerate(ids):
            if not found:
                ids[row] = [self.filler_id]
                if types is not None:
                    types[row] = [0]
        return TokenizedTexts(
            ids, types if types is not None and any(map(any, types)) else None, len(too_long)
        )

    def words(self, sentences: Sequence[Sequence[str]]) -> TokenizedWords:
        """Each sentence as one input, with its words aligned to its tokens. A sentence that is too
        long is several inputs."""
        result = TokenizedWords([], None)
        first = 0
        for sentence in sentences:
            words = [valid_unicode(word) for word in sentence]
            windows = self._windows(words, first)
            result.n_truncated += len(windows) > 1
            for ids, word_of_token in windows:
                result.ids.append(ids)
                result.words.append(word_of_token)
            first += len(words)
        return result

    def _windows(self, words: list[str], first: int) -> list[tuple[list[int], np.ndarray]]:
        """(token ids, word of each token) of each window. There are as few windows as possible.
        Words are counted from `first`."""
        if not words:
            return []
        ids, word_of_token = self._align(words)
        if (
            len(ids) <= self.max_length or len(words) == 1
        ):  # of a word that is too long by itself, the beginning
            word_of_token = np.where(word_of_token >= 0, word_of_token + first, -1)
            return [
                (
                    ids[: self.max_length] or [self.filler_id],
                    word_of_token[: self.max_length] if ids else np.array([-1]),
                )
            ]
        half = len(words) // 2
        return self._windows(words[:half], first) + self._windows(words[half:], first + half)

    def _align(self, words: list[str]) -> tuple[list[int], np.ndarray]:
        """Token ids of the words as one text, and the word (from 0; -1 for none) of each."""
        if not self._tokenizer.is_fast:
            return self._align_slowly(words)
        text = " ".join(words)
        lengths = np.array([len(word) for word in words])
        starts = np.cumsum(lengths + 1) - lengths - 1
        options = {**_OPTIONS, "return_token_type_ids": False}
        encoded = self._tokenizer(text, truncation=False, return_offsets_mapping=True, **options)
        spans = np.array(encoded["offset_mapping"], dtype=np.int64).reshape(-1, 2)
        word = (
            np.searchsorted(starts, spans[:, 1] - 1, side="right") - 1
        )  # some tokens begin with the space before the word
        is_inside = (spans[:, 1] > spans[:, 0]) & (
            spans[:, 1] <= (starts + lengths)[np.maximum(word, 0)]
        )
        return list(encoded["input_ids"]), np.where(is_inside, word, -1)

    def _align_slowly(self, words: list[str]) -> tuple[list[int], np.ndarray]:
        """The same as `_align`, word by word. Tokenizers written in Python do not say which word a
        token comes from."""
        pieces = [
            self._tokenizer(word, add_special_tokens=False, **_OPTIONS)["input_ids"]
            for word in words
        ]
        flat = [token_id for piece in pieces for token_id in piece]
        word = np.repeat(np.arange(len(words)), [len(piece) for piece in pieces])
        ids = self._tokenizer.build_inputs_with_special_tokens(flat)
        n_before = next(
            (at for at in range(len(ids) - len(flat) + 1) if ids[at : at + len(flat)] == flat), 0
        )
        n_after = len(ids) - len(flat) - n_before
        return ids, np.concatenate([np.full(n_before, -1), word, np.full(n_after, -1)]).astype(
            np.int64
        )


def valid_unicode(text: str) -> str:
    """`text` with lone surrogates (what is left of broken UTF-16) replaced by `?`: tokenizers take
    only valid Unicode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
