"""`neoberta probe-tokens`: probes of the words of a sequence-labelling task, at nested sizes.

It runs in this process. Word vectors and finished probes are kept on the storage, so an interrupted
run goes on where it was.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pyarrow as pa

from cluster.storage import Storage, UserError, digest
from probes.embeddings.cache import EmbeddingCache
from probes.embeddings.words import embed_words, missing_sentences, predicted_bytes, word_vectors
from probes.encoders.base import WordEncoder
from probes.encoders.load import check_encoder, load_encoder
from probes.encoders.reference import parse_ref, split_prompt, with_prompt
from probes.sweep.tokens import check_seqeval, token_probes
from probes.tasks.token_task import (
    TaggedSplit,
    TokenTask,
    as_words,
    load_token_task,
    train_and_test,
)
from ray_jobs.commands.look import print_table
from ray_jobs.progress import ProgressCallback, StageProgress
from ray_jobs.stages.embed import check_room
from ray_jobs.study import ALREADY_THERE

DEFAULT_SIZES = (16, 64, 256)
RESULTS = "token_probes"


@dataclass(frozen=True)
class _Plan:
    """The work that is done for each encoder."""

    task: TokenTask
    train: TaggedSplit
    test: TaggedSplit
    sizes: list[int]
    n_seeds: int


def run_probe_tokens(
    folder: Path,
    *,
    encoders: Sequence[str],
    layers: Sequence[int] = (),
    sizes: Sequence[int] = (),
    n_seeds: int = 3,
    out: str,
    trust_remote_code: bool = False,
) -> None:
    """Fit and score the probes, and print the table of their means over seeds.

    Empty `layers` mean all layers. `sizes` are numbers of labelled sentences; empty they mean those
    of `DEFAULT_SIZES` that the task has. Raises UserError."""
    task = load_token_task(folder)
    train, test = train_and_test(task)
    plan = _Plan(task, train, test, _fitting_sizes(sizes, len(train), task), n_seeds)
    check_seqeval(task.tag_names)
    for ref in encoders:
        _check(ref, trust_remote_code)
    storage, progress = Storage(out), StageProgress(2 * len(encoders))
    frames = []
    for ref in encoders:
        # words are read without the folder's default prompt, so nothing is said of it
        encoder = load_encoder(with_prompt(ref, ""), trust_remote_code=trust_remote_code)
        assert isinstance(encoder, WordEncoder), "`_check` lets no other kind pass"
        for note in encoder.info.notes:
            print(f"note: {note.replace(encoder.info.ref, ref)}")
        encoder.info = dataclasses.replace(encoder.info, ref=ref)
        frames.append(
            _run_encoder(encoder, _wanted_layers(encoder, layers), plan, storage, progress).assign(
                encoder=ref
            )
        )
    _show(pd.concat(frames, ignore_index=True), task)
    print(f"every probe: {storage.uri}/{RESULTS}")


def _run_encoder(
    encoder: WordEncoder,
    layers: Sequence[int],
    plan: _Plan,
    storage: Storage,
    progress: StageProgress,
) -> pd.DataFrame:
    """Every probe of an encoder's `layers`. One stage encodes the words, another one fits."""
    cache = EmbeddingCache(storage, encoder.info.fingerprint)
    sentences = [*plan.train.sentences, *plan.test.sentences]

    def embed(report: ProgressCallback) -> tuple[None, int]:
        missing = missing_sentences(cache, sentences, layers)
        check_room(storage, predicted_bytes(missing, encoder.info.hidden_size, len(layers)))
        return None, embed_words(encoder, cache, sentences, layers, progress=report)

    _stage(progress, f"word vectors, {encoder.info.ref}", embed, "sentences encoded")
    probe = functools.partial(_probe, cache, layers, plan)
    return _stage(progress, f"token probes, {encoder.info.ref}", probe, "layers probed")


def _stage(
    progress: StageProgress,
    title: str,
    work: Callable[[ProgressCallback], tuple[Any, int]],
    what: str,
) -> Any:
    """Run `work(report)` as a stage, and return its result. The stage says how much of `what` it
    made."""
    said: list[str] = []
    with progress.stage(title, lambda: "".join(said)) as report:
        result, n_made = work(report)
        said.append(f"{n_made:,} {what}" if n_made else ALREADY_THERE)
    return result


def _probe(
    cache: EmbeddingCache, layers: Sequence[int], plan: _Plan, report: ProgressCallback
) -> tuple[pd.DataFrame, int]:
    """Every probe, and how many layers were probed now. The probes of a layer are one file, which
    is made once."""
    storage, task, frames, n_made = cache.storage, plan.task, [], 0
    cells = [(n, seed) for n in plan.sizes for seed in range(plan.n_seeds)]
    for i, layer in enumerate(layers):
        identity = {
            "task_fingerprint": task.fingerprint,
            "encoder_fingerprint": cache.encoder_fingerprint,
            "layer": layer,
        }
        identity |= {"sizes": plan.sizes, "n_seeds": plan.n_seeds}
        key = f"{RESULTS}/{digest(identity)}.parquet"
        if not storage.exists(key):
            train, test = (
                as_words(split, word_vectors(cache, split.sentences, layer))
                for split in (plan.train, plan.test)
            )
            rows = []
            for j, (n, seed) in enumerate(cells):
                report(i * len(cells) + j, len(layers) * len(cells))
                rows += token_probes(
                    train,
                    test,
                    task.tag_names,
                    n_sentences=n,
                    seed=seed,
                    task_fingerprint=task.fingerprint,
                )
            storage.write_table(
                key, pa.Table.from_pylist([{"task": task.name, **identity, **row} for row in rows])
            )
            n_made += 1
        frames.append(storage.read_table(key).to_pandas())
    return pd.concat(frames, ignore_index=True), n_made


def _check(ref: str, trust_remote_code: bool) -> None:
    """Check an encoder as far as it can be checked without loading it. Raises UserError."""
    base, view = parse_ref(ref)
    if split_prompt(ref)[1] is not None:
        raise UserError(
            f"--encoder {ref}: words are read without a prompt; leave out prompt=, and what"
            " follows it"
        )
    if view is not None:
        raise UserError(
            f"--encoder {ref}: leave out what follows #; layers of words are chosen by --layer"
        )
    if base.startswith(("lsa:", "static:")):
        raise UserError(
            f"--encoder {ref}: gives no vectors of words in their sentence; choose hf:, neoberta:"
            " or random:"
        )
    check_encoder(ref, trust_remote_code=trust_remote_code)


def _wanted_layers(encoder: WordEncoder, layers: Sequence[int]) -> list[int]:
    n_layers = encoder.info.n_layers
    missing = [layer for layer in layers if layer > n_layers]
    if missing:
        raise UserError(f"--layer {missing[0]}: {encoder.info.ref} has layers 0 to {n_layers}")
    return sorted({*layers}) or list(range(n_layers + 1))


def _fitting_sizes(sizes: Sequence[int], n_train: int, task: TokenTask) -> list[int]:
    too_large = [n for n in sizes if n > n_train]
    if too_large:
        raise UserError(
            f"--n-sentences {too_large[0]}: {task.name} has {n_train} to train on; ask for fewer"
        )
    return sorted({*sizes}) or [n for n in DEFAULT_SIZES if n <= n_train] or [n_train]


def _show(probes: pd.DataFrame, task: TokenTask) -> None:
    """Print the means of the chosen probes over seeds, and how much they differ."""
    has_entities = bool(probes["entity_f1"].notna().any())
    metric, title = (
        ("entity_f1", "entity-level F1") if has_entities else ("macro_f1", "macro-F1 of words")
    )
    scores = probes[probes["C_selected"]].groupby(["encoder", "layer", "n_sentences"], sort=False)[
        metric
    ]
    means, spreads = scores.mean().unstack(), scores.std().unstack()
    rows = []
    for place, mean in means.iterrows():
        encoder, layer = cast(tuple[str, int], place)
        spread = cast("pd.Series[float]", spreads.loc[(encoder, layer)])
        cells = [
            f"{mean[n]:.3f}" + ("" if pd.isna(spread[n]) else f" ± {spread[n]:.3f}")
            for n in means.columns
        ]
        rows.append((encoder, str(layer), *cells))
    columns = ("encoder", "layer", *(f"{n:,} sentences" for n in means.columns))
    print_table(
        f"{task.name}: {title} by labelled sentences, mean ± deviation over seeds", columns, rows
    )
