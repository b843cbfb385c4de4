"""From an encoder reference to a loaded encoder."""

import dataclasses
from collections.abc import Sequence

from cluster.storage import UserError
from neoberta.precision import Precision
from probes.encoders.base import Encoder, EncoderInfo
from probes.encoders.reference import family_of, parse_ref, resolve_view

DEFAULT_MAX_LENGTH = 512
"""Tokens of a text that are read, of encoders that could take more: cost grows with length, classification gains little."""


def load_encoder(
    ref: str,
    *,
    n_threads: int | None = None,
    fit_texts: Sequence[str] | None = None,
    precision: Precision = "auto",
    max_length: int = DEFAULT_MAX_LENGTH,
) -> Encoder:
    """The encoder that `ref` names, ready on this process's threads.

    `hf:<folder or hub id>[@revision]`, `neoberta:<checkpoint folder>`, `random:<folder or hub id>` (same architecture,
    untrained), `lsa:<fitted folder>` or `lsa:<dim>` (fitted here on `fit_texts`), `static:<vectors file>`; a suffix
    `#layer=6,pooling=mean` leaves that one view. `n_threads` sets torch's threads for the whole process. `precision` `auto`
    is bf16 where the hardware multiplies it. Raises UserError with one line.
    """
    base, view = parse_ref(ref)
    family, name = family_of(base)
    encoder: Encoder
    if family == "lsa":
        from probes.encoders.lsa import fit_lsa, load_lsa

        if name.isdecimal():
            if fit_texts is None:
                raise UserError(f"encoder {ref}: must be fitted on texts first; give the folder of a fitted one as lsa:FOLDER")
            encoder = fit_lsa(fit_texts, int(name))
        else:
            encoder = load_lsa(name, ref)
    elif family == "static":
        from probes.encoders.static import load_static

        encoder = load_static(name, ref)
    else:
        import torch

        from probes.encoders.hf import load_hf, load_untrained

        if n_threads is not None:
            torch.set_num_threads(n_threads)
        if family == "random":
            encoder = load_untrained(name, ref, precision=precision, max_length=max_length)
        else:
            encoder = load_hf(name, ref, family=family, precision=precision, max_length=max_length)
    if view is not None:
        encoder.info = dataclasses.replace(encoder.info, views=(resolve_view(encoder.info, view),))
    return encoder


def describe_encoder(ref: str) -> EncoderInfo:
    """What `ref` names, without keeping its weights: for planning. Raises UserError as `load_encoder` does."""
    return load_encoder(ref).info
