"""What has been found out of an encoder on a sample: kept beside the vectors, so that a second call
needs no weights.

The key is the content of the encoder's files, known without loading them, the sample's texts, and
the machine by name: times are its own, and so is the precision that `auto` stands for.
"""

import dataclasses
import math
import platform
from dataclasses import dataclass

from pydantic import TypeAdapter

from cluster.storage import CorruptArtefactError, Storage, digest
from probes.encoders.base import EncoderInfo

VERSION = 1
"""Raised when what is kept changes its meaning."""


@dataclass(frozen=True)
class KnownEncoder:
    """One encoder on one sample."""

    info: EncoderInfo
    milliseconds_per_text: float
    """On this machine."""
    n_truncated: int
    """Texts of the sample that are longer than the encoder reads."""


_STORED = TypeAdapter(KnownEncoder)


def read_known_encoder(storage: Storage, encoder: str, sample: str) -> KnownEncoder | None:
    """What was kept of the encoder and the sample of these fingerprints on this machine; None where
    nothing (readable) was."""
    try:
        known = _STORED.validate_python(storage.read_json(_key(encoder, sample)))
    except (FileNotFoundError, CorruptArtefactError, ValueError):
        return None
    return known if math.isfinite(known.milliseconds_per_text) else None


def write_known_encoder(storage: Storage, encoder: str, sample: str, known: KnownEncoder) -> None:
    """Write what `read_known_encoder` reads."""
    storage.write_json(_key(encoder, sample), dataclasses.asdict(known))


def _key(encoder: str, sample: str) -> str:
    return f"samples/{digest([VERSION, encoder, sample, platform.node()])}.json"
