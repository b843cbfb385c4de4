"""Any text encoder of transformers: all layers and poolings from one forward pass, in length-sorted batches.

A vector depends on its text and on nothing else: padding is masked, so neither the other texts of a call nor their order
change it (beyond rounding: 1e-4 in fp32).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cluster.storage import UserError
from neoberta.precision import Precision, autocast_dtype
from probes.encoders.base import EncoderInfo, EncodingStats, View
from probes.encoders.batching import DEFAULT_BATCH_TOKENS, length_sorted_batches
from probes.encoders.pooling import pool
from probes.encoders.reference import POOLINGS, resolve_view


@dataclass(frozen=True)
class Identity:
    """What names a transformer encoder; see `EncoderInfo`."""

    ref: str
    family: str
    fingerprint: str
    max_length: int


class TransformerEncoder:
    """A loaded model and its tokenizer. Of encoder-decoder models it is the encoder side."""

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: Any,
        identity: Identity,
        *,
        precision: Precision = "auto",
        batch_tokens: int = DEFAULT_BATCH_TOKENS,
    ):
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self._tokenizer = tokenizer
        self._max_length = identity.max_length
        self._batch_tokens = batch_tokens
        self._autocast_dtype = autocast_dtype(precision, self._device.type)
        self._pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
        self._empty_id = _first_known(tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id, self._pad_id)
        self.stats = EncodingStats()
        probe = self._forward([[self._empty_id, self._empty_id]])[0]  # the shapes as they are, whatever the config calls them
        widths = {states.shape[-1] for states in probe}
        if len(widths) != 1:
            raise UserError(f"encoder {identity.ref}: its layers have different widths {sorted(widths)}; this is not supported")
        self.info = EncoderInfo(
            ref=identity.ref,
            fingerprint=identity.fingerprint,
            family=identity.family,
            n_layers=len(probe) - 1,
            hidden_size=widths.pop(),
            n_parameters=sum(parameter.numel() for parameter in self._model.parameters()),
            max_length=identity.max_length,
            views=tuple(View(layer, pooling) for layer in range(len(probe)) for pooling in POOLINGS),
        )

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """See `Encoder.encode`. Raises UserError for a view that it does not offer or weights that give NaN."""
        resolved = {view: resolve_view(self.info, view) for view in views}
        out = {view: np.empty((len(texts), self.info.hidden_size), dtype=np.float32) for view in set(resolved.values())}
        if len(texts) == 0:
            return {view: out[found] for view, found in resolved.items()}
        token_ids = self._tokenize(texts)
        for rows in length_sorted_batches([len(ids) for ids in token_ids], self._batch_tokens):
            hidden_states, lengths = self._forward([token_ids[row] for row in rows])
            for view, vectors in out.items():
                vectors[rows] = pool(hidden_states[view.layer], lengths, view.pooling).cpu().numpy()
        for view, vectors in out.items():
            if not np.isfinite(vectors).all():
                raise UserError(f"encoder {self.info.ref}: gives infinite or NaN vectors at {view}; its weights are damaged")
        return {view: out[found] for view, found in resolved.items()}

    def _tokenize(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text: special tokens included, at most `max_length`, never none."""
        options = {"padding": False, "return_attention_mask": False, "return_token_type_ids": False, "verbose": False}
        texts = [valid_unicode(text) for text in texts]
        token_ids = self._tokenizer(texts, truncation=False, **options)["input_ids"]
        too_long = [row for row, ids in enumerate(token_ids) if len(ids) > self._max_length]
        if too_long:  # once more, so that the tokenizer keeps its closing special token
            long_texts = [texts[row] for row in too_long]
            shortened = self._tokenizer(long_texts, truncation=True, max_length=self._max_length, **options)["input_ids"]
            for row, ids in zip(too_long, shortened, strict=True):
                token_ids[row] = ids
        token_ids = [ids or [self._empty_id] for ids in token_ids]  # some tokenizers give no token for an empty text
        self.stats.n_texts += len(texts)
        self.stats.n_tokens += sum(len(ids) for ids in token_ids)
        self.stats.n_truncated += len(too_long)
        return token_ids

    @torch.inference_mode()
    def _forward(self, token_ids: Sequence[Sequence[int]]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """Hidden states, layer 0 (embeddings) to L, each (B, T, D); and the texts' lengths (B,) int64."""
        lengths = torch.tensor([len(ids) for ids in token_ids])
        n_tokens = int(lengths.max())
        input_ids = torch.full((len(token_ids), n_tokens), self._pad_id)  # padded on the right: the first token stays first
        for row, ids in enumerate(token_ids):
            input_ids[row, : len(ids)] = torch.tensor(ids)
        mask = (torch.arange(n_tokens)[None, :] < lengths[:, None]).long()
        with torch.autocast(self._device.type, dtype=self._autocast_dtype, enabled=self._autocast_dtype is not None):
            output = self._model(
                input_ids=input_ids.to(self._device),
                attention_mask=mask.to(self._device),
                output_hidden_states=True,
                return_dict=True,
            )
        return output.hidden_states, lengths.to(self._device)


def valid_unicode(text: str) -> str:
    """`text` with lone surrogates (what is left of broken UTF-16) replaced by `?`: tokenizers take only valid Unicode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def _first_known(*token_ids: int | None) -> int:
    return next(token_id for token_id in token_ids if token_id is not None)
