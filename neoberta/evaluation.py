"""How well a NeoBERTa predicts held-out text. The masks are always the same, so that runs with
different mask rates can be compared."""

import math

import numpy as np
import torch

from neoberta.corpus import Corpus
from neoberta.masking import mask_tokens
from neoberta.model import NeoBERTa

EVALUATION_RATE = 0.15
EVALUATION_SEED = 2**31
"""No training run has this seed for its masks."""


@torch.no_grad()
def validation_loss(
    model: NeoBERTa, corpus: Corpus, *, max_rows: int = 256, batch_size: int = 32
) -> dict[str, float]:
    """The loss on the first `max_rows` rows of a held-out corpus, masked at 15 % with a fixed seed:
    `loss` (mean cross-entropy of a masked token, nats), `bits_per_byte_masked` (by which models
    with different vocabularies can be compared), `n_masked`."""
    rows = corpus.rows(np.arange(min(max_rows, corpus.n_rows)))
    epoch = np.zeros(len(rows.tokens), dtype=np.int64)
    inputs, is_target = mask_tokens(
        *rows, epoch, seed=EVALUATION_SEED, rate=EVALUATION_RATE, vocab_size=model.vocab_size
    )
    total, was_training = 0.0, model.training
    model.eval()
    for start in range(0, len(inputs), batch_size):
        part = slice(start, start + batch_size)
        target_idx = is_target[part].ravel().nonzero()[0]
        loss = model(
            tokens=torch.from_numpy(inputs[part]),
            document=torch.from_numpy(rows.document[part]),
            position=torch.from_numpy(rows.position[part]),
            target_idx=torch.from_numpy(target_idx),
            targets=torch.from_numpy(rows.tokens[part].ravel()[target_idx]),
            scale=torch.tensor(1.0),
        )
        total += float(loss)
    model.train(was_training)
    n_masked = max(1, int(is_target.sum()))
    bytes_per_token = corpus.info["size_bytes_text"] / max(1, corpus.info["n_tokens"])
    return {
        "loss": total / n_masked,
        "bits_per_byte_masked": total / n_masked / math.log(2) / bytes_per_token,
        "n_masked": n_masked,
    }
