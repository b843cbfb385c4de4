"""The command line: parse, load the configuration, call the job.

Exit codes: 0 done, 1 failed, 2 the user's mistake, 130 stopped.
"""

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO

import typer

from cluster.storage import CorruptArtefactError, UserError, access_explained
from ray_jobs.cluster_options import ClusterOptions, runs_on_cluster

if TYPE_CHECKING:
    from ray_jobs.study import StudyConfig

app = typer.Typer(
    name="neoberta",
    help=(
        "Simulate an NLP project before you build it: how much data, how well, what to label, which"
        " encoder, depth, settings."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

cache_app = typer.Typer(
    help="Embedding caches: what is there, is it whole, what is unused.", no_args_is_help=True
)
app.add_typer(cache_app, name="cache")

OWN_PACKAGES = ("neoberta", "probes", "meta", "cluster", "ray_jobs")

UsageError: type[Exception] = typer.BadParameter.__mro__[1]
"""What typer raises for an unknown command or option. Typer gives this class no public name."""

Out = Annotated[
    str,
    typer.Option("--out", help="Folder (or s3://, gs:// URI) for everything the command makes."),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value over the YAML; dots go into sections. Repeatable."),
]
JobsAddress = Annotated[
    str, typer.Option("--address", help="The head's dashboard: http(s)://head:8265.")
]
Insecure = Annotated[bool, typer.Option("--insecure", help="Also without a token or encryption.")]
JobId = Annotated[str, typer.Argument(help="As `neoberta jobs ls` lists it.", show_default=False)]
# `readable=False`: whoever reads a file says in full why it may not be read
Config = Annotated[
    Path,
    typer.Argument(
        help="A study's YAML (see ray_jobs/configs).", show_default=False, readable=False
    ),
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option(
        "--trust-remote-code",
        help="Let an hf: encoder run the Python code that it brings. Read it first.",
    ),
]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", help="Further tasks: folder, CSV, hub name, docs/NAME. Repeatable."),
]


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"neoberta {version('neoberta')}")
        raise typer.Exit


@app.callback()
def _before_every_command(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version, and end."
        ),
    ] = False,
) -> None:
    pass


@app.command()
@runs_on_cluster
def pilot(
    preset: Annotated[
        str, typer.Option(help="smoke (minutes), laptop, or full (a cluster).")
    ] = "laptop",
    out: Out = "",
    tasks: Tasks = None,
    overrides: Set = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print the plan with its counts and costs; do nothing."),
    ] = False,
    *,
    cluster: ClusterOptions,
) -> None:
    """The whole study, end to end: tasks, NeoBERTas, embeddings, sweep, metamodel, answers,
    meta-search, report."""
    from ray_jobs.pilot import run_pilot
    from ray_jobs.study import load_preset

    config, out = load_preset(preset, overrides or [], tasks or []), out or f"pilot-{preset}"
    if cluster.submits and not dry_run:
        _submit_study(cluster, config, out)
    run_pilot(config, out=out, dry_run=dry_run, address=cluster.address)


def _submit_study(
    cluster: ClusterOptions, study: "StudyConfig", out: str, file: Path | None = None
) -> NoReturn:
    from ray_jobs.commands.submit import submit_study

    raise typer.Exit(submit_study(cluster, study, out, file))


def _run_stage(
    stage: str, config: Path, out: str, overrides: list[str], cluster: ClusterOptions
) -> None:
    from ray_jobs.pilot import run_stage
    from ray_jobs.study import load_study

    study = load_study(config, overrides)
    out = out or f"pilot-{study.name}"
    if cluster.submits:
        _submit_study(cluster, study, out, config)
    run_stage(stage, study, out=out, address=cluster.address)


def _stage_command(stage: str, summary: str) -> None:
    def command(
        config: Config, out: Out = "", overrides: Set = None, *, cluster: ClusterOptions
    ) -> None:
        _run_stage(stage, config, out, overrides or [], cluster)

    command.__doc__ = summary
    app.command(stage)(runs_on_cluster(command))


_stage_command(
    "tokenizer", "Train the study's tokenizer (and whatever it stands on that is not there yet)."
)
_stage_command("pretrain", "Pretrain the study's NeoBERTas with Ray Train and DeepSpeed.")
_stage_command(
    "embed", "Encode every text of the study's tasks once per encoder into the embedding cache."
)


@app.command()
@runs_on_cluster
def sweep(
    config: Config,
    out: Out = "",
    probes: Annotated[
        str | None, typer.Option(help="Kinds of probe, fitted everywhere: ridge,logistic.")
    ] = None,
    overrides: Set = None,
    *,
    cluster: ClusterOptions,
) -> None:
    """Fit the study's linear probes: one Parquet row a probe."""
    forced = (
        [] if probes is None else [f"sweep.probes=[{probes}]", "sweep.logistic_where=everywhere"]
    )
    _run_stage("sweep", config, out, [*(overrides or []), *forced], cluster)


_stage_command("fit", "Fit, calibrate and evaluate the metamodel on the study's probes.")
_stage_command(
    "search",
    "Search NeoBERTa's depth, width, learning rate and masking rate with the metamodel's help.",
)
_stage_command(
    "report", "Write the study's HTML report (and whatever it stands on that is not there yet)."
)


@app.command()
@runs_on_cluster
def characterize(
    train: Annotated[
        Path, typer.Option(help="Labelled rows: .csv, .tsv, .jsonl, .parquet ...", readable=False)
    ],
    eval_path: Annotated[
        Path | None,
        typer.Option("--eval", help="Unlabelled rows the classifier will meet.", readable=False),
    ] = None,
    encoder: Annotated[
        list[str] | None, typer.Option(help="hf:ID, neoberta:FOLDER, lsa:256, ... Repeatable.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What is forecast: accuracy, macro_f1, auroc or log_loss.")
    ] = "accuracy",
    target: Annotated[
        float | None, typer.Option(help="The metric you need, as a fraction: 0.9.")
    ] = None,
    out: Out = "characterization",
    text_column: Annotated[str, typer.Option(help="Column of the text.")] = "text",
    pair_column: Annotated[
        str | None,
        typer.Option(
            help="Column of the second text of a pair. Default: text_pair, if there is one."
        ),
    ] = None,
    label_column: Annotated[str, typer.Option(help="Column of the label.")] = "label",
    group_column: Annotated[
        str | None,
        typer.Option(
            help="Column of what rows share: author, document. Groups are held out whole."
        ),
    ] = None,
    time_column: Annotated[
        str | None,
        typer.Option(help="Column of dates: forecasts are for texts that come after the rows."),
    ] = None,
    keep_case: Annotated[
        bool,
        typer.Option("--keep-case", help="Labels that differ in case alone are two classes."),
    ] = False,
    keep_label: Annotated[
        list[str] | None,
        typer.Option(help="A label that is a class, although it looks like none: NA. Repeatable."),
    ] = None,
    eval_labels: Annotated[
        bool,
        typer.Option(
            "--eval-labels",
            help="Use the labels that --eval has (20 or more) to correct the forecast.",
        ),
    ] = False,
    metamodel: Annotated[
        str | None, typer.Option(help="Folder of a metamodel; default: the one that ships.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            help="Put before every text: a prompt that the model names, or a text. Default: as the"
            " model's folder says."
        ),
    ] = None,
    trust_remote_code: TrustRemoteCode = False,
    *,
    cluster: ClusterOptions,
) -> None:
    """Answer the six questions for your own data: writes answers.json and report.html."""
    if cluster.submits:
        from ray_jobs.commands.submit import submit_characterize

        if prompt == "":  # an empty option does not travel
            raise UserError("--prompt: is empty; write #prompt= behind the reference instead")
        files = {"train": train, "eval_path": eval_path}
        code = submit_characterize(
            cluster, out=out, files=files, encoders=encoder or (), metamodel=metamodel
        )
        raise typer.Exit(code)
    from ray_jobs.commands.characterize import run_characterize

    run_characterize(
        train=train,
        eval_path=eval_path,
        encoders=tuple(encoder or ()),
        metric=metric,
        target=target,
        out=out,
        text_column=text_column,
        pair_column=pair_column,
        label_column=label_column,
        group_column=group_column,
        time_column=time_column,
        keep_case=keep_case,
        keep_labels=tuple(keep_label or ()),
        eval_labels=eval_labels,
        metamodel=metamodel,
        address=cluster.address,
        prompt=prompt,
        trust_remote_code=trust_remote_code,
    )


@app.command("probe-tokens")
def probe_tokens(
    folder: Annotated[
        Path,
        typer.Argument(
            help="train|validation|test.parquet, .jsonl or .conll (tokens, tags); tag_names in"
            " dataset.json.",
            readable=False,
        ),
    ],
    encoder: Annotated[
        list[str], typer.Option(help="hf:ID, neoberta:FOLDER, random:FOLDER. Repeatable.")
    ],
    layer: Annotated[
        list[int] | None, typer.Option(min=0, help="Layer to probe. Repeatable; default: all.")
    ] = None,
    n_sentences: Annotated[
        list[int] | None,
        typer.Option(min=1, help="Labelled sentences. Repeatable; default: 16, 64 and 256."),
    ] = None,
    n_seeds: Annotated[int, typer.Option(min=1, help="Nested subsets of each size.")] = 3,
    out: Out = "probe-tokens",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Sequence labelling: probes of words on few to many labelled sentences, scored by entities."""
    from ray_jobs.commands.probe_tokens import run_probe_tokens

    run_probe_tokens(
        folder,
        encoders=encoder,
        layers=layer or (),
        sizes=n_sentences or (),
        n_seeds=n_seeds,
        out=out,
        trust_remote_code=trust_remote_code,
    )


@app.command()
def tasks() -> None:
    """List the tasks that are built from the installed packages, and the forms a task reference can
    take."""
    from ray_jobs.commands.look import show_tasks

    show_tasks()


@app.command()
def encoders(
    refs: Annotated[list[str] | None, typer.Argument(help="References to look at.")] = None,
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """List the forms an encoder reference can take; with references, what each one is."""
    from ray_jobs.commands.look import show_encoders

    show_encoders(refs or [], trust_remote_code=trust_remote_code)


@app.command()
def results(
    out: Out,
    metric: Annotated[str, typer.Option(help="Column of the results to show.")] = "accuracy",
    watch: Annotated[
        bool, typer.Option("--watch", help="Follow a running sweep until it ends.")
    ] = False,
) -> None:
    """A table of a study's probes: the best view of each encoder on each task, by training size."""
    from ray_jobs.commands.results import show_results, watch_results

    (watch_results if watch else show_results)(out, metric)


@cache_app.command("ls")
def cache_ls(out: Out) -> None:
    """List the encoders whose vectors are kept: texts, views, size, last use."""
    from ray_jobs.commands.cache import show_caches

    show_caches(out)


@cache_app.command("verify")
def cache_verify(out: Out) -> None:
    """Read every vector and check it; names the damaged files (exit code 1)."""
    from ray_jobs.commands.cache import check_caches

    raise typer.Exit(check_caches(out))


@cache_app.command("prune")
def cache_prune(
    out: Out,
    older_than: Annotated[str, typer.Option(help="Last used longer ago than this: 12h, 30d, 8w.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be removed.")
    ] = False,
) -> None:
    """Remove vectors that were not used for so long, and what killed jobs left."""
    from ray_jobs.commands.cache import prune

    prune(out, older_than, dry_run=dry_run)


@app.command()
def doctor() -> None:
    """Check this machine: cores, memory, disk, versions, which extras are there, and for
    pretraining the compiler and DeepSpeed's operator."""
    from ray_jobs.commands.look import run_doctor

    raise typer.Exit(run_doctor())


jobs = typer.Typer(help="The jobs that were submitted to a cluster.", no_args_is_help=True)
app.add_typer(jobs, name="jobs")


@jobs.command("ls")
def jobs_ls(address: JobsAddress, insecure: Insecure = False) -> None:
    """List them, the newest last."""
    from ray_jobs.commands.jobs import show_jobs

    show_jobs(address, insecure=insecure)


@jobs.command("logs")
def jobs_logs(
    job_id: JobId,
    address: JobsAddress,
    following: Annotated[
        bool,
        typer.Option("--follow", "-f", help="Until it ends; its exit code becomes this one's."),
    ] = False,
    insecure: Insecure = False,
) -> None:
    """Print what a job has printed."""
    from ray_jobs.commands.jobs import show_logs

    raise typer.Exit(show_logs(address, job_id, following=following, insecure=insecure))


@jobs.command("stop")
def jobs_stop(job_id: JobId, address: JobsAddress, insecure: Insecure = False) -> None:
    """Stop a job; the same command goes on where it was."""
    from ray_jobs.commands.jobs import stop_job

    raise typer.Exit(stop_job(address, job_id, insecure=insecure))


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show a warning of our own code as one line. Warnings of libraries are not shown."""
    # an installed package lies in the same folder as the libraries
    root, source = Path(__file__).resolve().parents[1], Path(filename).resolve()
    if source.is_relative_to(root) and source.relative_to(root).parts[0] in OWN_PACKAGES:
        print(f"note: {message}", file=sys.stderr)


def main() -> None:
    """Console entry point."""
    warnings.showwarning = _show_warning
    try:
        with access_explained():
            status = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except UserError as error:
        print(f"neoberta: {error}", file=sys.stderr)
        status = 2
    except UsageError as error:
        context = getattr(error, "ctx", None)
        names: list[str] = []
        while context is not None and context.parent is not None:
            names.insert(0, context.info_name)
            context = context.parent
        command = " ".join(["neoberta", *names])
        print(f"neoberta: {error.format_message()} (see {command} --help)", file=sys.stderr)  # type: ignore[attr-defined]
        status = 2
    except CorruptArtefactError as error:
        print(f"neoberta: {error}; delete it and run the same command again", file=sys.stderr)
        status = 1
    except (KeyboardInterrupt, typer.Abort):
        print("neoberta: stopped; the same command goes on where it was", file=sys.stderr)
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


if __name__ == "__main__":
    main()
