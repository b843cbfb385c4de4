"""The whole study, stage by stage. A stage makes only what is not on the storage yet."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from rich.console import Console
from rich.markup import escape

from cluster.storage import UserError
from neoberta.extras import need
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.embed import check_encoders
from ray_jobs.stages.tasks import check_families
from ray_jobs.study import Study, StudyConfig

if TYPE_CHECKING:
    from ray_jobs.stages.embed import EncoderRow
    from ray_jobs.stages.fit import FitResult
    from ray_jobs.stages.held_out import HeldOutResult
    from ray_jobs.stages.report import ReportResult
    from ray_jobs.stages.search import SearchResult
    from ray_jobs.stages.tasks import TaskRow


class Results(TypedDict, total=False):
    """The results of the stages that have run, by the name of the stage."""

    tasks: "list[TaskRow]"
    tokenizer: str
    """The key of the tokenizer on the storage."""
    pretrain: dict[str, str]
    """Name of a NeoBERTa -> key of its checkpoint."""
    encoders: "list[EncoderRow]"
    embed: None
    sweep: list[str]
    """Keys of the blocks of probes."""
    observe: list[str]
    """Keys of the tables of observations."""
    fit: "FitResult"
    search: "SearchResult"
    characterize: "HeldOutResult"
    report: "ReportResult"


class Step(Protocol):
    """The function of a stage. `done` holds the results of the stages before it."""

    def __call__(self, study: Study, report: ProgressCallback, done: Results) -> Any: ...


def steps() -> dict[str, tuple[str, Step]]:
    """Every stage in order: name -> (title that the user sees, function). A stage needs the results
    of the stages before it."""
    from ray_jobs.stages.embed import embed, make_encoders
    from ray_jobs.stages.fit import fit
    from ray_jobs.stages.held_out import characterize_held_out
    from ray_jobs.stages.observe import observe
    from ray_jobs.stages.pretrain import pretrain_neobertas
    from ray_jobs.stages.report import StudyResults, write_report
    from ray_jobs.stages.search import search
    from ray_jobs.stages.sweep import sweep
    from ray_jobs.stages.tasks import make_tasks
    from ray_jobs.stages.tokenizer import make_tokenizer

    def all_results(done: Results) -> StudyResults:
        return StudyResults(
            tasks=done["tasks"],
            pretrained=done["pretrain"],
            encoders=done["encoders"],
            probe_keys=done["sweep"],
            fit=done["fit"],
            search=done["search"],
            held_out=done["characterize"],
        )

    return {
        "tasks": ("tasks", lambda study, report, done: make_tasks(study, report)),
        "tokenizer": ("tokenizer", lambda study, report, done: make_tokenizer(study, report)),
        "pretrain": (
            "NeoBERTas",
            lambda study, report, done: pretrain_neobertas(study, report, done["tokenizer"]),
        ),
        "encoders": (
            "encoders",
            lambda study, report, done: make_encoders(study, report, done["pretrain"]),
        ),
        "embed": (
            "embeddings",
            lambda study, report, done: embed(study, report, done["tasks"], done["encoders"]),
        ),
        "sweep": (
            "probes",
            lambda study, report, done: sweep(study, report, done["tasks"], done["encoders"]),
        ),
        "observe": (
            "observations",
            lambda study, report, done: observe(study, report, done["tasks"], done["encoders"]),
        ),
        "fit": (
            "metamodel",
            lambda study, report, done: fit(
                study, report, done["tasks"], done["sweep"], done["observe"]
            ),
        ),
        "search": (
            "meta-search",
            lambda study, report, done: search(
                study, report, done["tasks"], done["tokenizer"], done["fit"].metamodel_key
            ),
        ),
        "characterize": (
            "six answers",
            lambda study, report, done: characterize_held_out(
                study, report, done["tasks"], done["encoders"], done["fit"].metamodel_key
            ),
        ),
        "report": (
            "report",
            lambda study, report, done: write_report(study, report, all_results(done)),
        ),
    }


def run_stages(config: StudyConfig, *, out: str, last: str, address: str | None = None) -> Results:
    """Run the stages up to `last`, and return their results by name."""
    every = steps()
    wanted = list(every)[: list(every).index(last) + 1]
    need_extras(config, wanted)
    done: Results = {}
    with Study(config, out, n_stages=len(wanted), address=address) as study:
        check_writable(study)
        if "encoders" in wanted:
            check_encoders(study)
        for name in wanted:
            title, step = every[name]
            if name == "tokenizer" and "fit" in wanted:
                check_families(config, done["tasks"])
            result = study.run(title, partial(step, done=done))
            done[name] = result  # type: ignore[literal-required]  # the names are those of Results
    return done


def run_pilot(
    config: StudyConfig, *, out: str, dry_run: bool = False, address: str | None = None
) -> None:
    """Run every stage. Then print the place of the report and the six answers. With `dry_run` only
    the plan is printed."""
    if dry_run:
        from ray_jobs.plan import check_references, print_plan

        check_references(config)
        print_plan(config)
        return
    result = run_stages(config, out=out, last="report", address=address)["report"]
    console = Console(soft_wrap=True)
    for line in [f"\nreport: {result.path}", *result.six_answers]:
        console.print(escape(line))


def run_stage(stage: str, config: StudyConfig, *, out: str, address: str | None = None) -> None:
    """Run one stage. The stages before it run first, and make only what is missing."""
    run_stages(config, out=out, last=stage, address=address)
    Console().print(f"{stage}: done, in {escape(out)}")


def need_extras(config: StudyConfig, stages: Sequence[str]) -> None:
    """Check that everything that the stages import is installed. Otherwise a late stage could fail
    after hours of work. Raises UserError."""
    if "pretrain" in stages and config.neobertas:
        need("pretrain", "a study that pretrains NeoBERTas")
    if "embed" in stages:
        need("study", "a study")


def check_writable(study: Study) -> None:
    """Check that the storage can be written, before any work is done. Raises UserError."""
    try:
        study.storage.write_json("study.json", study.config.model_dump(mode="json"))
    except OSError as error:
        raise UserError(
            f"{study.storage.uri}: cannot write there ({error.strerror or error}); choose another"
            " --out"
        ) from error
