"""Encoders: texts in, one vector per text and view out."""

from probes.encoders.base import Encoder, EncoderInfo, EncodingStats, View
from probes.encoders.load import describe_encoder, load_encoder
from probes.encoders.reference import parse_ref, resolve_view

__all__ = [
    "Encoder",
    "EncoderInfo",
    "EncodingStats",
    "View",
    "describe_encoder",
    "load_encoder",
    "parse_ref",
    "resolve_view",
]
