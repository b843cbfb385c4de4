"""The whole study in order; each stage finds what is there and makes what is missing."""

from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape

from cluster.storage import UserError
from ray_jobs.progress import ProgressCallback
from ray_jobs.stages.embed import check_encoders
from ray_jobs.stages.tasks import check_families
from ray_jobs.study import Study, StudyConfig

Results = dict[str, Any]
Step = Callable[[Study, ProgressCallback, Results], Any]


def steps() -> dict[str, tuple[str, Step]]:
    """Every stage in its order: name -> (what the user sees, what runs). A stage stands on the ones
    before it."""
    from ray_jobs.stages.embed import embed, make_encoders
    from ray_jobs.stages.fit import fit
    from ray_jobs.stages.held_out import characterize_held_out
    from ray_jobs.stages.pretrain import pretrain_neobertas
    from ray_jobs.stages.report import write_report
    from ray_jobs.stages.search import search
    from ray_jobs.stages.sweep import sweep
    from ray_jobs.stages.tasks import make_tasks
    from ray_jobs.stages.tokenizer import make_tokenizer

    return {
        "tasks": ("tasks", lambda study, report, _: make_tasks(study, report)),
        "tokenizer": ("tokenizer", lambda study, report, _: make_tokenizer(study, report)),
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
        "fit": (
            "metamodel",
            lambda study, report, done: fit(
                study, report, done["tasks"], done["encoders"], done["sweep"]
            ),
        ),
        "search": ("meta-search", search),
        "characterize": ("six answers", characterize_held_out),
        "report": ("report", write_report),
    }


def run_stages(config: StudyConfig, *, out: str, last: str, address: str | None = None) -> Results:
    """Results of the stages up to `last`, by name."""
    every = steps()
    wanted = list(every)[: list(every).index(last) + 1]
    done: Results = {}
    with Study(config, out, n_stages=len(wanted), address=address) as study:
        check_writable(study)
        if "encoders" in wanted:
            check_encoders(study)
        for name in wanted:
            title, step = every[name]
            if name == "tokenizer" and "fit" in wanted:
                check_families(config, done["tasks"])
            done[name] = study.run(
                title, lambda study, report, step=step: step(study, report, done)
            )
    return done


def run_pilot(
    config: StudyConfig, *, out: str, dry_run: bool = False, address: str | None = None
) -> None:
    """Run every stage and print where the report is and the six answers; `dry_run` prints the plan
    and does nothing."""
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
    """Run one stage, and whatever it stands on that is not there yet."""
    run_stages(config, out=out, last=stage, address=address)
    Console().print(f"{stage}: done, in {escape(out)}")


def check_writable(study: Study) -> None:
    """Fail before any work is done where nothing can be written. Raises UserError."""
    try:
        study.storage.write_json("study.json", study.config.model_dump(mode="json"))
    except OSError as error:
        raise UserError(
            f"{study.storage.uri}: cannot write there ({error.strerror or error}); choose another"
            " --out"
        ) from error
