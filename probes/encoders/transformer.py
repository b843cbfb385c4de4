"""Any text encoder of transformers. One forward pass gives all layers and poolings. Batches are
sorted by length.

The vector of a text depends on that text alone. Padding is masked, so the other texts of a call and
their order change it only by rounding (1e-4 in fp32).
"""

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from cluster.storage import UserError
from neoberta.precision import Precision, UsedPrecision, autocast_dtype
from probes.encoders.base import CROSS, EncoderInfo, EncodingStats, View
from probes.encoders.batching import BATCH_TOKENS, call_tokens, length_sorted_batches
from probes.encoders.errors import encoding
from probes.encoders.pooling import COMBINATIONS, TOKEN_POOLINGS, layers_of, pool, text_mask
from probes.encoders.reference import SENTENCE, resolve_view
from probes.encoders.sentence_head import SentenceHead
from probes.encoders.tokenization import TextTokenizer, TokenizedTexts, TokenizedWords

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TEXTS_PER_CHUNK = 1024
"""How many texts are tokenised together, while the model works on the chunk before them."""


@dataclass(frozen=True)
class Identity:
    """The names of a transformer encoder. See `EncoderInfo`."""

    ref: str
    family: str
    fingerprint: str
    max_length: int
    precision: UsedPrecision
    prompt: str = ""
    """Text that is put before every text. Sequence labelling does not use it."""
    notes: tuple[str, ...] = ()
    weights: str = ""
    hub_id: str = ""


class TransformerEncoder:
    """A loaded model and its tokenizer. For an encoder-decoder model only the encoder is used."""

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: Any,
        identity: Identity,
        *,
        batch_tokens: int | None = None,
        sentence_head: SentenceHead | None = None,
    ):
        self.device = encoding_device()
        self.batch_tokens = batch_tokens or BATCH_TOKENS[self.device.type]
        self._model = model.to(self.device).eval()  # type: ignore[arg-type]  # takes self for the device
        self._autocast_dtype = autocast_dtype(identity.precision, self.device.type)
        self._tokenizer = TextTokenizer(
            tokenizer, identity.max_length, takes_types=_takes_types(model)
        )
        self._cls = "last" if self._tokenizer.cls_is_last() else "cls"
        self._head = sentence_head
        self._prompt = identity.prompt
        self.stats = EncodingStats()
        self._counting = threading.Lock()
        probe, is_causal = self._look_inside(identity.ref)
        if self._head is not None:  # its parts may be for another width
            n_inputs, n_tokens, _ = probe[-1].shape
            self._head(probe[-1], torch.full((n_inputs,), n_tokens, device=self.device))
        n_layers = len(probe) - 1
        n_embeddings = _input_embeddings(self._model).weight.numel()
        n_parameters = sum(parameter.numel() for parameter in self._model.parameters())
        self.call_tokens = call_tokens(
            (n_parameters - n_embeddings) / max(n_layers, 1), self.device.type
        )
        self.info = EncoderInfo(
            ref=identity.ref,
            fingerprint=identity.fingerprint,
            family=identity.family,
            n_layers=n_layers,
            hidden_size=probe[0].shape[-1],
            n_parameters=n_parameters,
            max_length=identity.max_length,
            views=self._offered_views(
                n_layers, may_cross=self._tokenizer.joins_pairs and not is_causal
            ),
            standard_views=tuple(
                View(layer, pooling)
                for layer in range(n_layers + 1)
                for pooling in (("last", "mean", "max") if is_causal else ("cls", "mean", "max"))
            )
            + ((View(n_layers, SENTENCE),) if self._head is not None else ()),
            precision=identity.precision,
            notes=identity.notes,
            weights=identity.weights,
            hub_id=identity.hub_id,
        )

    def encode(self, texts: Sequence[str], views: Sequence[View]) -> dict[View, np.ndarray]:
        """See `Encoder.encode`. Raises UserError for a view that the encoder does not offer, for
        weights that give NaN, and for any error while it encodes."""
        resolved = {view: resolve_view(self.info, view) for view in views}
        are_pairs = {view.is_cross for view in views} == {True}
        if not are_pairs and any(view.is_cross for view in views):
            raise ValueError(
                "views of pairs and of single texts take different inputs; ask for them one after"
                " the other"
            )
        wanted = sorted(set(resolved.values()))
        out: dict[View, np.ndarray] = {}
        with encoding(self.info.ref), self._workers() as each:
            for rows, tokenized in self._chunks(texts, are_pairs):
                batches = list(self._batches(tokenized))
                pooled = list(
                    each(
                        lambda batch, inputs=tokenized: self._pool(
                            *self._forward(inputs, batch), wanted
                        ),
                        batches,
                    )
                )
                for view in wanted:
                    vectors = (
                        torch.cat([part[view] for part in pooled]).cpu().numpy()
                    )  # one copy a chunk, not one a batch
                    target = out.setdefault(
                        view, np.empty((len(texts), vectors.shape[1]), dtype=np.float32)
                    )
                    target[rows[np.concatenate(batches)]] = vectors
        for view, vectors in out.items():
            if not np.isfinite(vectors).all():
                raise UserError(
                    f"encoder {self.info.ref}: gives infinite or NaN vectors at {view}; its weights"
                    " are damaged"
                )
        nothing = np.empty((0, self.info.hidden_size), dtype=np.float32)
        return {view: out.get(found, nothing) for view, found in resolved.items()}

    def encode_words(
        self, sentences: Sequence[Sequence[str]], layers: Sequence[int]
    ) -> dict[int, np.ndarray]:
        """See `WordEncoder.encode_words`."""
        for layer in layers:
            if not 0 <= layer <= self.info.n_layers:
                raise UserError(
                    f"encoder {self.info.ref}: has layers 0 to {self.info.n_layers}, not {layer}"
                )
        n_words = sum(map(len, sentences))
        with encoding(self.info.ref), self._workers() as each:
            out = {
                layer: np.zeros((n_words, self.info.hidden_size), dtype=np.float32)
                for layer in layers
            }
            tokenized = self._tokenizer.words(sentences)
            self._check_numbers(tokenized)
            self._count(tokenized, len(sentences))
            for words, of_layer in each(
                lambda batch: self._words(tokenized, batch, layers), list(self._batches(tokenized))
            ):
                for layer, vectors in of_layer.items():
                    out[layer][words] = vectors
        return out

    def count_truncated(self, texts: Sequence[str], *, are_pairs: bool = False) -> int:
        """See `Encoder.count_truncated`."""
        starts = range(0, len(texts), TEXTS_PER_CHUNK)
        chunks = (texts[start : start + TEXTS_PER_CHUNK] for start in starts)
        with encoding(self.info.ref):
            return sum(self._tokenize(chunk, are_pairs).n_truncated for chunk in chunks)

    def _tokenize(self, texts: Sequence[str], are_pairs: bool) -> TokenizedTexts:
        tokenized = self._tokenizer.texts(
            [self._prompt + text for text in texts], are_pairs=are_pairs
        )
        self._check_numbers(tokenized)
        return tokenized

    def _check_numbers(self, tokenized: TokenizedTexts) -> None:
        """Raises UserError for a token that the model has no vector for."""
        n_rows = _input_embeddings(self._model).num_embeddings
        largest = max((number for ids in tokenized.ids for number in ids), default=0)
        if largest >= n_rows:
            raise UserError(
                f"encoder {self.info.ref}: a text has the token {self._tokenizer.name(largest)!r},"
                f" which was added to the tokenizer and has no vector in the model ({n_rows} rows);"
                " take it out of the texts, or call model.resize_token_embeddings(len(tokenizer)),"
                " train the new row and save the model again"
            )

    def _words(
        self, tokenized: TokenizedWords, batch: np.ndarray, layers: Sequence[int]
    ) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        """The words (k,) int64 of some windows, and per layer their vectors (k, D) float32."""
        hidden_states, _ = self._forward(tokenized, batch)
        word_of_token = [tokenized.words[window] for window in batch]
        word = torch.from_numpy(np.concatenate(word_of_token))
        is_word = word >= 0
        found, place, counts = torch.unique(word[is_word], return_inverse=True, return_counts=True)
        mask = text_mask(
            torch.tensor([len(part) for part in word_of_token]), hidden_states[0].shape[1]
        )
        vectors = {}
        for layer in layers:
            tokens = (
                hidden_states[layer].float().cpu()[mask][is_word]
            )  # (tokens of words, D), window after window
            sums = torch.zeros(len(found), self.info.hidden_size).index_add_(0, place, tokens)
            vectors[layer] = (sums / counts[:, None]).numpy()
        return found.numpy(), vectors

    @contextlib.contextmanager
    def _workers(self) -> Iterator[Callable[..., Iterator[Any]]]:
        """A function like `map`, over batches. On CPUs each core works on its own batch. So no core
        waits for another one after every operation, and a vector does not depend on the number of
        threads."""
        n_threads = torch.get_num_threads()
        if self.device.type != "cpu" or n_threads == 1:
            yield map
            return
        try:
            with ThreadPoolExecutor(
                n_threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                yield pool.map
        finally:
            torch.set_num_threads(n_threads)  # MKL's own setting is the process's, not the thread's

    def _offered_views(self, n_layers: int, *, may_cross: bool) -> tuple[View, ...]:
        layers = range(n_layers + 1)
        views = [View(layer, tokens) for layer in layers for tokens in TOKEN_POOLINGS]
        views += [
            View(n_layers, f"{tokens}_{combination}")
            for combination in COMBINATIONS
            for tokens in TOKEN_POOLINGS
        ]
        if self._head is not None:
            views.append(View(n_layers, SENTENCE))
        if may_cross:
            views += [View(layer, CROSS + tokens) for layer in layers for tokens in TOKEN_POOLINGS]
        return tuple(views)

    def _chunks(
        self, texts: Sequence[str], are_pairs: bool
    ) -> Iterator[tuple[np.ndarray, TokenizedTexts]]:
        """(rows of `texts`, their tokens), the longest texts first; the next chunk is tokenised
        while this one is used."""
        order = np.argsort([-len(text) for text in texts], kind="stable")
        chunks = [
            order[start : start + TEXTS_PER_CHUNK]
            for start in range(0, len(order), TEXTS_PER_CHUNK)
        ]

        def tokenize(rows: np.ndarray) -> TokenizedTexts:
            return self._tokenize([texts[row] for row in rows], are_pairs)

        with ThreadPoolExecutor(1) as background:
            ahead = None
            for number, rows in enumerate(chunks):
                tokenized = tokenize(rows) if ahead is None else ahead.result()
                ahead = (
                    background.submit(tokenize, chunks[number + 1])
                    if number + 1 < len(chunks)
                    else None
                )
                self._count(tokenized, len(rows))
                yield rows, tokenized

    def _batches(self, tokenized: TokenizedTexts) -> Iterator[np.ndarray]:
        return length_sorted_batches(
            [len(ids) for ids in tokenized.ids], self.batch_tokens, self.call_tokens
        )

    def _count(self, tokenized: TokenizedTexts, n_texts: int) -> None:
        self.stats.n_texts += n_texts
        self.stats.n_tokens += sum(map(len, tokenized.ids))
        self.stats.n_truncated += tokenized.n_truncated

    def _pool(
        self, hidden_states: Sequence[torch.Tensor], lengths: torch.Tensor, views: Sequence[View]
    ) -> dict[View, torch.Tensor]:
        """(B, d) float32 for each view. A pooling that several views share is computed once."""
        pooled: dict[tuple[int, str], torch.Tensor] = {}

        def of_layer(layer: int, tokens: str) -> torch.Tensor:
            tokens = self._cls if tokens == "cls" else tokens
            if (layer, tokens) not in pooled:
                pooled[layer, tokens] = pool(hidden_states[layer], lengths, tokens)
            return pooled[layer, tokens]

        out = {}
        for view in views:
            if view.pooling == SENTENCE and self._head is not None:
                out[view] = self._head(hidden_states[view.layer], lengths)
                continue
            layers, tokens = layers_of(view.layer, view.pooling.removeprefix(CROSS))
            parts = [of_layer(layer, tokens) for layer in layers]
            out[view] = parts[0] if len(parts) == 1 else torch.stack(parts).mean(dim=0)
        return out

    def _forward(
        self, tokenized: TokenizedTexts, rows: np.ndarray
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        """The hidden states of some inputs and their lengths (B,) int64. Each layer from 0
        (embeddings) to L has an array (B, T, D)."""
        lengths = torch.tensor([len(tokenized.ids[row]) for row in rows])
        n_tokens = int(lengths.max())
        inputs = {
            "input_ids": self._padded(
                [tokenized.ids[row] for row in rows], n_tokens, self._tokenizer.pad_id
            )
        }
        if tokenized.types is not None:
            inputs["token_type_ids"] = self._padded(
                [tokenized.types[row] for row in rows], n_tokens, 0
            )
        inputs["attention_mask"] = text_mask(lengths, n_tokens).long()
        with self._counting:
            self.stats.n_padding += len(rows) * n_tokens - int(lengths.sum())
        return self._run(inputs), lengths.to(self.device)

    def _padded(
        self, sequences: Sequence[Sequence[int]], n_tokens: int, filler: int
    ) -> torch.Tensor:
        """(B, n_tokens) int64, padded on the right, so that the first token stays first."""
        padded = np.full((len(sequences), n_tokens), filler, dtype=np.int64)
        for row, sequence in enumerate(sequences):
            padded[row, : len(sequence)] = sequence
        tensor = torch.from_numpy(padded)
        return tensor.pin_memory() if self.device.type == "cuda" else tensor

    @torch.inference_mode()
    def _run(self, inputs: dict[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        inputs = {
            name: tensor.to(self.device, non_blocking=True) for name, tensor in inputs.items()
        }
        with torch.autocast(
            self.device.type, dtype=self._autocast_dtype, enabled=self._autocast_dtype is not None
        ):
            return self._model(**inputs, output_hidden_states=True, return_dict=True).hidden_states

    def _look_inside(self, ref: str) -> tuple[tuple[torch.Tensor, ...], bool]:
        """(the hidden states of two inputs that differ in their last token, whether the model is
        causal). In a causal model the states of the tokens before the last one are equal. The model
        is tried because configurations have too many names for these facts. Raises UserError where
        the layers have different shapes."""
        first = self._tokenizer.filler_id
        n_embeddings = _input_embeddings(self._model).num_embeddings
        other = (first + 1) % n_embeddings
        input_ids = torch.tensor([[first, first, first], [first, first, other]])
        states = self._run({"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)})
        shapes = {state.shape for state in states}
        if len(shapes) != 1 or states[0].shape[:2] != input_ids.shape:
            raise UserError(
                f"encoder {ref}: its layers have different shapes {sorted(map(tuple, shapes))};"
                " this is not supported"
            )
        return states, bool((states[-1][0, :2] - states[-1][1, :2]).abs().max() < 1e-6)


def encoding_device() -> torch.device:
    """The device on which encoders of this process run."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision_here(precision: Precision) -> UsedPrecision:
    """The precision that `auto` means on this machine."""
    return "fp32" if autocast_dtype(precision, encoding_device().type) is None else "bf16"


def _input_embeddings(model: "PreTrainedModel") -> torch.nn.Embedding:
    """The matrix of input embeddings."""
    return cast(torch.nn.Embedding, model.get_input_embeddings())


def _takes_types(model: "PreTrainedModel") -> bool:
    """Whether a model takes token types, which tell the first text of a pair from the second."""
    n_types = getattr(
        model.config, "type_vocab_size", 2
    )  # XLNet and its like have no such setting, and do
    return "token_type_ids" in inspect.signature(model.forward).parameters and (
        n_types is None or n_types > 1
    )
