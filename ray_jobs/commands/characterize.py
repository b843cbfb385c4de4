"""`neoberta characterize`: the six answers for a user's own rows."""

from pathlib import Path

from rich.console import Console

from cluster.storage import Storage, UserError
from meta.answering.request import check_and_prepare
from meta.answers import ANSWERS_FILE, Answers
from meta.api import answer
from meta.given.vectors import as_task
from neoberta.extras import need
from probes.tasks.read import Columns
from ray_jobs.commands.encode_on_ray import embed_where_quicker
from ray_jobs.progress import StageProgress

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
    group_column: str | None = None,
    time_column: str | None = None,
    keep_case: bool = False,
    keep_labels: tuple[str, ...] = (),
    eval_labels: bool = False,
    metamodel: str | None = None,
    address: str | None = None,
    prompt: str | None = None,
    trust_remote_code: bool = False,
) -> Answers:
    """Answer the six questions for the user's rows, and print the answers.

    Writes `answers.json` and `report.html` into `out`. The vectors are kept there too, so a second
    run encodes nothing. Raises UserError. Mistakes that are known from the input alone are raised
    before anything is written."""
    if address is not None:
        need("study", f"--address {address}")
    request = check_and_prepare(
        train,
        eval_path,
        Columns(
            text_column,
            pair_column,
            label_column,
            keep_case,
            keep_labels,
            group_column,
            time_column,
        ),
        encoders=encoders,
        metric=metric,
        target=target,
        eval_labels=eval_labels,
        metamodel=metamodel,
        prompt=prompt,
        trust_remote_code=trust_remote_code,
    )
    storage = Storage(out)
    _check_writable(storage)
    task = as_task(request.prepared)
    progress = StageProgress(len(request.encoders) + 1)
    log_path = Path(storage.uri) / "logs" / "ray.log" if storage.is_local else None
    embedded = []
    for ref in request.encoders:
        with progress.stage(f"embeddings {ref}") as report:
            embedded.append(
                embed_where_quicker(
                    ref,
                    task,
                    storage,
                    report,
                    address=address,
                    log_path=log_path,
                    trust_remote_code=trust_remote_code,
                    say=progress.say,
                )
            )
    with progress.stage("six answers") as report:
        answers = answer(request, embedded, progress=report)
    write_answers(answers, storage)
    _say(answers, storage)
    return answers


def write_answers(answers: Answers, storage: Storage, folder: str = "") -> None:
    """Write `answers.json`, then `report.html`, under `folder` of `storage`. Each file is written
    whole or not at all."""
    from meta.report.page import characterize_report

    prefix = f"{folder}/" if folder else ""
    storage.write_json(prefix + ANSWERS_FILE, answers.to_json())
    storage.write_bytes(prefix + REPORT_FILE, characterize_report(answers).encode())


def _check_writable(storage: Storage) -> None:
    """Check that the storage can be written, before any work is done. Raises UserError."""
    for name in (ANSWERS_FILE, REPORT_FILE):
        if storage.is_local and (Path(storage.uri) / name).is_dir():
            raise UserError(
                f"{storage.uri}/{name}: is a folder, and a file is to be written there; remove it"
                " or choose another --out"
            )
    probe = ".writable"
    try:
        storage.write_bytes(probe, b"")
        storage.delete(probe)
    except OSError as error:
        raise UserError(
            f"{storage.uri}: cannot write there ({error.strerror or error}); choose another --out"
        ) from error


def _say(answers: Answers, storage: Storage) -> None:
    console = Console(soft_wrap=True, markup=False, highlight=False)
    for line in str(answers).splitlines():
        console.print(line)
    for warning in answers.warnings:
        console.print(f"note: {warning}")
    console.print(f"answers: {storage.uri}/{ANSWERS_FILE}\nreport:  {storage.uri}/{REPORT_FILE}")
