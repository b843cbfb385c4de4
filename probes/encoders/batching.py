"""Batches of texts that are sorted by length. A new batch begins where padding would cost more than
another call of the model.

The cost of a batch is its padded tokens plus a fixed cost of the call (kernels to start, small
matrices). The batches are chosen so that their total cost is least, under a limit of tokens for
each batch. They depend on the lengths and the model's shape alone and never on a clock, so the same
texts get the same batches again.
"""

from collections.abc import Iterator, Sequence

import numpy as np

BATCH_TOKENS = {"cpu": 2048, "cuda": 32_768}
"""Largest number of padded tokens in a batch, by device. The one for CPUs was measured with MiniLM
(`python -m benchmarks.embed --scan`): 1k to 4k tokens differ by a few per cent, more do not fit
into the cache. The one for CUDA comes from published rates and was not measured."""
CALL_FLOPS_PER_LAYER = {"cpu": 8e7, "cuda": 1e10}
"""The fixed cost of a layer, as the number of floating-point operations that take as long. The one
for CPUs was measured (`--scan`): 2.3 ms of a MiniLM layer at 34 GFLOP/s. The one for CUDA is
computed: some 15 kernels of 6 µs at 100 TFLOP/s."""


def call_tokens(n_layer_parameters: float, device: str) -> float:
    """How many tokens cost as much as a call of the model. `n_layer_parameters` is the mean number
    of parameters of a layer."""
    return CALL_FLOPS_PER_LAYER[device] / (2 * max(n_layer_parameters, 1.0))


def length_sorted_batches(
    lengths: Sequence[int], batch_tokens: int, call_cost_tokens: float = 0.0
) -> Iterator[np.ndarray]:
    """Indices (int64) of the texts of each batch. The longest texts come first, so that memory runs
    out at once or never.

    `lengths` are token counts (>= 1). A batch holds at most `batch_tokens` tokens counting padding,
    and at least one text.
    """
    if not len(lengths):
        return
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    for start, stop in _cuts(sizes[order], batch_tokens, call_cost_tokens):
        at = start
        while at < stop:
            n_rows = max(1, batch_tokens // int(sizes[order[at]]))
            yield order[at : min(at + n_rows, stop)]
            at += n_rows


def _cuts(sizes: np.ndarray, batch_tokens: int, call_cost_tokens: float) -> list[tuple[int, int]]:
    """The ranges of the descending `sizes` that form a batch, found by dynamic programming over the
    distinct lengths."""
    distinct, first = np.unique(
        -sizes, return_index=True
    )  # ascending of the negative: longest first
    distinct, ends = -distinct, np.append(first[1:], len(sizes))
    best = np.zeros(len(distinct) + 1)  # best[j]: cost of the first j lengths
    cut = np.zeros(len(distinct) + 1, dtype=np.int64)
    for j in range(1, len(distinct) + 1):
        padded = (ends[j - 1] - first[:j]) * distinct[:j]  # tokens, if lengths i to j-1 go together
        costs = best[:j] + padded + call_cost_tokens * np.ceil(padded / batch_tokens)
        cut[j] = int(np.argmin(costs))
        best[j] = costs[cut[j]]
    ranges, j = [], len(distinct)
    while j > 0:
        ranges.append((int(first[cut[j]]), int(ends[j - 1])))
        j = int(cut[j])
    return ranges[::-1]
