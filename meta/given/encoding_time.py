"""How long an encoder takes on this machine: measured on a few texts, predicted for others."""

import time
from collections.abc import Sequence

from probes.encoders.base import Encoder
from probes.encoders.reference import standard_views

TIMED_TEXTS = 64
"""Number of texts on which an encoder is timed."""
_READ_CHARACTERS_PER_TOKEN = 5
"""Characters of a text that count for each token that an encoder reads. What is beyond is cut off
and costs nothing. English has four to five characters a token."""
_SPECIAL_CHARACTERS = 10
"""What the tokens around a text cost, in characters."""


def time_encoder(encoder: Encoder, texts: Sequence[str]) -> float:
    """Milliseconds per text on this machine: the better of two passes over at most `TIMED_TEXTS` of
    `texts`, after a short pass that is not counted."""
    sample = list(texts[:: max(len(texts) // TIMED_TEXTS, 1)])[:TIMED_TEXTS]
    view = (standard_views(encoder.info) or encoder.info.views)[-1:]
    encoder.encode(sample[:4], view)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        encoder.encode(sample, view)
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds) / len(sample)


def predict_seconds(
    milliseconds_per_text: float,
    timed: Sequence[str],
    missing: Sequence[str],
    max_length: int,
) -> float:
    """Seconds that encoding `missing` takes in this process. `milliseconds_per_text` was measured
    on texts drawn from `timed`, which may be longer or shorter. `max_length` is the number of
    tokens that the encoder reads of a text."""
    if not timed:
        return 0.0
    n_read = _READ_CHARACTERS_PER_TOKEN * max_length

    def size(texts: Sequence[str]) -> int:
        return sum(min(len(text), n_read) + _SPECIAL_CHARACTERS for text in texts)

    return milliseconds_per_text / 1000 * size(missing) * len(timed) / size(timed)
