"""Facts about an encoder on a sample, kept beside the vectors so that a second call loads no
weights.

The key is made of three things: a fingerprint of the encoder's files, which is known without
loading them, a fingerprint of the sample's texts, and the name of the machine. The machine counts
because it decides the time per text and the precision that `auto` chooses.
"""

import dataclasses
import math
import platform
from dataclasses import dataclass

from pydantic import TypeAdapter

from cluster.storage import CorruptArtefactError, Storage, digest
from probes.encoders.base import EncoderInfo

VERSION = 3
"""Part of the key. It is raised when a stored field is added or changes its meaning."""


@dataclass(frozen=True)
class KnownEncoder:
    """The facts about one encoder on one sample."""

    info: EncoderInfo
    milliseconds_per_text: float
    """Measured on this machine."""
    n_truncated: int
    """Number of texts of the sample that are longer than the encoder reads."""


_STORED = TypeAdapter(KnownEncoder)


def read_known_encoder(storage: Storage, encoder: str, sample: str) -> KnownEncoder | None:
    """The facts that this machine has stored. `encoder` and `sample` are fingerprints. None where
    there are none, or where they cannot be read."""
    try:
        known = _STORED.validate_python(storage.read_json(_key(encoder, sample)))
    except (FileNotFoundError, CorruptArtefactError, ValueError):
        return None
    return known if math.isfinite(known.milliseconds_per_text) else None


def write_known_encoder(storage: Storage, encoder: str, sample: str, known: KnownEncoder) -> None:
    """Store the facts for `read_known_encoder`. `encoder` and `sample` are fingerprints."""
    storage.write_json(_key(encoder, sample), dataclasses.asdict(known))


def _key(encoder: str, sample: str) -> str:
    """The key of the facts on the storage."""
    return f"samples/{digest([VERSION, encoder, sample, platform.node()])}.json"
