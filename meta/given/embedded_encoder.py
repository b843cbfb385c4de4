"""The vectors of a user's samples through one encoder, as a value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from probes.encoders.base import EncoderInfo, View


@dataclass(frozen=True)
class EmbeddedEncoder:
    """An encoder's vectors of both samples: per view X_train (n, d), X_eval (m, d) float32; m = 0
    without evaluation rows."""

    info: EncoderInfo
    views: Mapping[View, tuple[np.ndarray, np.ndarray]]
    milliseconds_per_text: float | None = None
    """Measured, for the whole encoder."""
    n_truncated: int = 0
    """Texts of both samples that were longer than the encoder's maximum."""
    read_train: Callable[[View], np.ndarray] | None = None
    """Reads X_train alone, where that costs less than both."""

    def train(self, view: View) -> np.ndarray:
        """X_train (n, d) of a view."""
        return self.views[view][0] if self.read_train is None else self.read_train(view)
