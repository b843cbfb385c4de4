"""The six answers from Python: `from meta import characterize`.

Everything happens in this process, and no Ray is started. Only vectors are written, and they are
kept only where the caller names a folder for them. The command `neoberta characterize` adds files,
progress bars, and Ray for very many texts.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from cluster.storage import Storage, UserError, access_explained
from meta.answering.answer import answer_questions
from meta.answering.request import CharacterizeRequest, check_and_prepare
from meta.answers import Answers
from meta.given.embedded_encoder import EmbeddedEncoder
from meta.given.read import Table
from meta.given.vectors import as_task, embed_sample
from probes.tables.wording import PYTHON, in_words_of, speaking
from probes.tasks.read import Columns


def characterize(
    train: Table,
    evaluation: Table | Sequence[str] | None = None,
    *,
    encoders: str | Sequence[str] = (),
    metric: str = "accuracy",
    target: float | None = None,
    text_column: str | int = "text",
    pair_column: str | int | None = None,
    label_column: str | int = "label",
    group_column: str | int | None = None,
    time_column: str | int | None = None,
    keep_case: bool = False,
    keep_labels: Sequence[str] = (),
    eval_labels: bool = False,
    metamodel: str | Path | None = None,
    cache: str | Path | None = None,
    n_label_next: int = 20,
    seed: int = 0,
    prompt: str | None = None,
    trust_remote_code: bool = False,
) -> Answers:
    """The six answers for labelled rows `train` and, if there are any, unlabelled rows
    `evaluation`.

    `train` and `evaluation` are data frames (pandas, polars), Arrow tables, Hugging Face data sets,
    lists of dicts, columns by name, or files (.csv, .tsv, .jsonl, .json, .parquet, .xlsx, ...).
    `train` may also be `(texts, labels)`, `evaluation` a list of texts. Spellings of one label are
    one class, and a warning says so; with `keep_case` labels that differ in case alone are two.
    `keep_labels` are classes although they look like a code for no label (`NA`, `-1`).

    `group_column` says what rows have in common (an author, a document, a patient): whole groups
    are held out, and forecasts are for new groups. `time_column` holds dates or times: what a probe
    of older rows loses on the rows that follow is taken off the forecasts.

    `encoders` are references (`hf:ID`, `neoberta:FOLDER`, `lsa:256`, ...; default:
    `meta.answering.request.default_encoders`). `target` is the metric that you need: a fraction, or
    nats for log-loss. With `eval_labels`, the labels of evaluation rows correct the forecast;
    without it they are not read. `metamodel` is a folder that `neoberta fit` wrote (default: the
    metamodel that ships). `cache` is a folder or URI that keeps the vectors, so that a second call
    encodes nothing (default: a temporary folder). `prompt` is the name of a prompt of the models,
    or a text; it is put before every text (default: what each model's folder says).

    Rates are fractions in [0, 1]; sizes count labelled rows. The same arguments and `seed` give the
    same answers, except for measured times. Raises UserError, one line, for any mistake in the
    arguments or the tables.
    """
    columns = Columns(
        str(text_column),
        None if pair_column is None else str(pair_column),
        str(label_column),
        keep_case,
        tuple(map(str, (keep_labels,) if isinstance(keep_labels, str) else keep_labels)),
        None if group_column is None else str(group_column),
        None if time_column is None else str(time_column),
    )
    with speaking(PYTHON), access_explained():
        refs = (encoders,) if isinstance(encoders, str) else _listed(encoders, "encoders")
        request = check_and_prepare(
            train,
            evaluation,
            columns,
            encoders=refs,
            metric=metric,
            target=target,
            eval_labels=eval_labels,
            metamodel=None if metamodel is None else str(metamodel),
            prompt=prompt,
            trust_remote_code=trust_remote_code,
        )
        task = as_task(request.prepared)
        with tempfile.TemporaryDirectory(prefix="neoberta-") as scratch:
            storage = Storage(scratch if cache is None else cache)
            embedded = [
                embed_sample(ref, task, storage, trust_remote_code=trust_remote_code)
                for ref in request.encoders
            ]
            answers = answer(request, embedded, n_label_next=n_label_next, seed=seed)
    answers.warnings[:] = [in_words_of(PYTHON, warning) for warning in answers.warnings]
    return answers


def _listed(references: Sequence[str], name: str) -> tuple[str, ...]:
    """The references of the argument `name` as a tuple. Raises UserError for anything else."""
    if not isinstance(references, Iterable) or any(not isinstance(r, str) for r in references):
        raise UserError(f"{name}={references!r:.60}: give a reference, or a list of references")
    return tuple(references)


def answer(
    request: CharacterizeRequest,
    embedded: Sequence[EmbeddedEncoder],
    *,
    n_label_next: int = 20,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Answers:
    """The answers to a checked request.

    `embedded` holds the vectors of `request.prepared`'s rows, one element for each of
    `request.encoders`. `progress` is called with (spaces done, spaces to do).
    """
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
    of_encoders = [note for encoder in embedded for note in encoder.info.notes]
    answers.warnings[:0] = [*request.notes, *of_encoders]
    return answers
