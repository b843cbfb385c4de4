"""One encoder's vectors of a user's samples, as a value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from probes.encoders.base import EncoderInfo, View


@dataclass(frozen=True)
class EmbeddedEncoder:
    """The vectors of both samples that one encoder gives."""

    info: EncoderInfo
    views: Mapping[View, tuple[np.ndarray, np.ndarray]]
    """View -> X_train (n, d), X_eval (m, d), both float32. m is 0 without evaluation rows."""
    milliseconds_per_text: float | None = None
    """Measured time of the whole encoder. None where it was not measured."""
    n_truncated: int = 0
    """Number of texts of both samples that are longer than the encoder reads."""
    read_train: Callable[[View], np.ndarray] | None = None
    """A function that reads X_train alone, where that costs less than reading both."""

    def train(self, view: View) -> np.ndarray:
        """X_train (n, d) float32 of a view."""
        return self.views[view][0] if self.read_train is None else self.read_train(view)
