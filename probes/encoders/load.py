"""From an encoder reference to a loaded encoder."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from cluster.storage import UserError, digest, file_digest
from neoberta.precision import Precision
from probes.encoders.base import Encoder, EncoderInfo
from probes.encoders.reference import family_of, parse_ref, resolve_view, split_prompt

DEFAULT_MAX_LENGTH = 512
"""Encoders that could read more tokens of a text read so many. Cost grows with the length, and
classification gains little."""


def load_encoder(
    ref: str,
    *,
    n_threads: int | None = None,
    fit_texts: Sequence[str] | None = None,
    precision: Precision = "auto",
    max_length: int = DEFAULT_MAX_LENGTH,
    trust_remote_code: bool = False,
) -> Encoder:
    """The encoder that `ref` names, ready on this process's threads.

    `hf:<folder or hub id>[@revision]`, `neoberta:<checkpoint folder>`, `random:<folder or hub id>`
    (same architecture, untrained), `lsa:<fitted folder>` or `lsa:<dim>` (fitted here on
    `fit_texts`), `static:<vectors file>`; a suffix `#layer=6,pooling=mean` leaves that one view,
    and `#prompt=query` (behind the view, if there is one) puts a prompt before every text.
    `n_threads` sets torch's threads for the whole process. `precision` `auto` is bf16 where the
    hardware multiplies it. `trust_remote_code` lets an `hf:` model run the Python code it brings.
    Raises UserError with one line.
    """
    base, view = parse_ref(ref)
    family, name = family_of(base)
    encoder: Encoder
    if family == "lsa":
        from probes.encoders.lsa import fit_lsa, load_lsa

        if name.isdecimal():
            if fit_texts is None:
                raise UserError(
                    f"encoder {ref}: must be fitted on texts first; give the folder of a fitted one"
                    " as lsa:FOLDER"
                )
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
            trusted = trust_remote_code and family == "hf"
            encoder = load_hf(
                name,
                ref,
                family=family,
                precision=precision,
                max_length=max_length,
                prompt=split_prompt(ref)[1],
                trust_remote_code=trusted,
            )
    if view is not None:
        encoder.info = dataclasses.replace(
            encoder.info, views=(resolve_view(encoder.info, view),), standard_views=()
        )
    return encoder


def check_encoder(
    ref: str, *, fit_texts: Sequence[str] | None = None, trust_remote_code: bool = False
) -> None:
    """Check `ref` without loading its weights: its spelling, whether its folder or file exists,
    whether its files can be loaded, and whether it can be fitted on `fit_texts` where it has to
    be. A hub model is downloaded. Raises UserError."""
    family, name = family_of(parse_ref(ref)[0])
    if family == "lsa" and name.isdecimal():
        if int(name) < 1:
            raise UserError(f"encoder {ref}: the dimension must be 1 or more, for example lsa:256")
        if fit_texts is not None:
            from probes.encoders.lsa import check_fit

            check_fit(fit_texts, int(name))
    elif family == "lsa":
        from probes.encoders.lsa import load_lsa

        load_lsa(name, ref)
    elif family == "static":
        from probes.encoders.static import check_static

        check_static(Path(os.path.expanduser(name)), ref)
    else:
        from probes.encoders.model_folder import check_model_folder, find_model_folder
        from probes.encoders.prompts import choose_prompt, read_prompts

        trusted = trust_remote_code and family == "hf"
        folder = find_model_folder(name, ref, with_code=trusted)
        check_model_folder(folder, ref, needs_weights=family != "random", trust_remote_code=trusted)
        choose_prompt(read_prompts(folder, ref), split_prompt(ref)[1], ref)


def reference_fingerprint(ref: str, *, trust_remote_code: bool = False) -> str | None:
    """A hash of `ref`, of its model files and of how they are read here. It stays the same as long
    as `load_encoder` gives the same encoder on this machine. Nothing is loaded. None for families
    that have no model folder. Raises UserError."""
    family, name = family_of(parse_ref(ref)[0])
    if family in ("lsa", "static"):
        return None
    from probes.encoders.model_folder import (
        ENCODING_VERSION,
        find_model_folder,
        folder_identity,
        head_files,
        weight_files,
    )
    from probes.encoders.sentence_modules import transformer_folder

    trusted = trust_remote_code and family == "hf"
    whole = find_model_folder(name, ref, with_code=trusted)
    folder = transformer_folder(whole, ref)
    weights = [] if family == "random" else weight_files(folder, ref)
    files = folder_identity(folder, weights, with_code=trusted)
    files |= {str(path.relative_to(whole)): file_digest(path) for path in head_files(whole, ref)}
    return digest(
        {"version": ENCODING_VERSION, "ref": ref, "files": files, "max_length": DEFAULT_MAX_LENGTH}
    )


def describe_encoder(ref: str, *, trust_remote_code: bool = False) -> EncoderInfo:
    """The facts about the encoder that `ref` names, for planning. Its weights are not kept. Raises
    UserError as `load_encoder` does."""
    return load_encoder(ref, trust_remote_code=trust_remote_code).info
