"""Batches of texts sorted by length, cut where padding would cost more than another call of the
model.

What a batch costs is its padded tokens and, once, what a call costs whatever is in it (kernels to
start, small matrices). The cuts are those of least total cost under a limit of tokens a batch; they
depend on the lengths and the model's shape alone, never on a clock, so that the same texts are
batched alike again.
"""

from collections.abc import Iterator, Sequence

import numpy as np

BATCH_TOKENS = {"cpu": 2048, "cuda": 32_768}
"""Padded tokens of a batch, by device. CPU: measured with MiniLM (`python -m benchmarks.embed
--scan`); 1k to 4k tokens are within a few per cent of each other, more falls out of the cache.
CUDA: from published rates, not measured."""
CALL_FLOPS_PER_LAYER = {"cpu": 8e7, "cuda": 1e10}
"""What starting a layer costs, in the floating-point operations that would take as long. CPU:
measured (`--scan`): 2.3 ms of a MiniLM layer at 34 GFLOP/s. CUDA: some 15 kernels of 6 µs at 100
TFLOP/s."""


def call_tokens(n_layer_parameters: float, device: str) -> float:
    """How many tokens cost as much as a call of the model, whose layers have `n_layer_parameters`
    each on average."""
    return CALL_FLOPS_PER_LAYER[device] / (2 * max(n_layer_parameters, 1.0))


def length_sorted_batches(
    lengths: Sequence[int], batch_tokens: int, call_cost_tokens: float = 0.0
) -> Iterator[np.ndarray]:
    """Indices (int64) of the texts of each batch, longest texts first, so that memory runs out at
    once or never.

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
    """Ranges of the descending `sizes` that are batched together: dynamic programming over the
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
