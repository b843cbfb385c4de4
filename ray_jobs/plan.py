"""The plan of a study: what each stage would do, with counts and rough costs. Nothing is run, and
nothing is loaded from a hub."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from neoberta.config import PretrainConfig
from probes.embeddings.segment import segment_bytes
from probes.encoders.load import check_encoder
from probes.encoders.reference import is_last_layers_only
from probes.sweep.cost import n_probes_of, predict_cost
from probes.sweep.planned_block import BlockShape
from probes.sweep.sweep import PAIR_FACTOR
from probes.tasks.load import check_task
from ray_jobs.stages.tasks import check_distinct
from ray_jobs.study import EncoderConfig, StudyConfig

UNKNOWN = "known when loaded"
ASSUMED_ROWS, ASSUMED_CLASSES, ASSUMED_LAYERS, ASSUMED_WIDTH = 20_000, 8, 13, 768
"""The size of a task or an encoder is often not known before it is loaded. Costs are then predicted
with these numbers."""
FLOPS_PER_PARAMETER_TOKEN = 6
"""Floating-point operations of a forward and a backward pass of a dense model, without attention
(Kaplan et al. 2020, arXiv 2001.08361, section 2.1)."""


def print_plan(config: StudyConfig) -> None:
    """Print the plan of `config`."""
    table = Table(title=f"Plan of the study {config.name} (nothing is run)", title_justify="left")
    for column in ("stage", "what", "how much"):
        table.add_column(column, overflow="fold")
    for row in plan_rows(config):
        table.add_row(*row)
    console = Console()
    if not console.is_terminal:
        console.width = 160  # in a file or pipe no line is folded
    console.print(table)


def check_references(config: StudyConfig) -> None:
    """Check the tasks and encoders of the study that are files or folders: they are read. What
    comes from a hub is not looked up. Raises UserError for what the study would refuse."""
    tasks = {ref: check_task(ref) for ref in [*config.tasks, config.characterize.task]}
    check_distinct({ref: task.fingerprint for ref, task in tasks.items() if task is not None})
    for encoder in config.encoders:
        family, _, name = encoder.ref.partition(":")
        is_here = name.startswith((".", "/", "~")) or Path(name.partition("#")[0]).is_dir()
        is_from_hub = family in ("hf", "random") and not is_here
        if not (name in config.neobertas or is_from_hub):
            check_encoder(encoder.ref, trust_remote_code=encoder.trust_remote_code)


def plan_rows(config: StudyConfig) -> list[tuple[str, str, str]]:
    """Everything that the study does, as rows (stage, what, how much)."""
    tasks = list(dict.fromkeys([*config.tasks, config.characterize.task]))
    rows = [("tasks", task, _task_size(config, task)) for task in tasks]
    rows.append(
        (
            "tokenizer",
            f"byte-level BPE of {config.tokenizer.vocab_size:,}",
            f"{config.tokenizer.max_texts:,} texts",
        )
    )
    rows += [
        ("pretrain", name, _pretrain_size(config, run)) for name, run in config.neobertas.items()
    ]
    views = {encoder.name: n_views(config, encoder) for encoder in config.encoders}
    rows += [
        ("embed", name, _many(n, "view") if n else f"views {UNKNOWN}") for name, n in views.items()
    ]
    rows.append(("embed", "size of all vectors", _embed_size(config, tasks)))
    known = [n for n in views.values() if n]
    blocks = len(tasks) * sum(known)
    probes = blocks * probes_per_block(config)
    n_unknown = len(views) - len(known)
    more = (
        f", and those of {_many(n_unknown, 'encoder')} whose depth is {UNKNOWN}"
        if n_unknown
        else ""
    )
    rows.append(
        (
            "sweep",
            f"{_many(blocks, 'block')} of task x view",
            f"at most {_many(probes, 'probe')}{more}",
        )
    )
    rows.append(("sweep", "cost of all probes", _sweep_cost(config, tasks)))
    observations = config.metamodel.observations
    observed = len(tasks) * sum(min(n, config.metamodel.views_per_encoder) for n in known)
    n_samples = observed * len(observations.sizes) * observations.n_seeds
    rows.append(
        (
            "fit",
            f"{_many(observed, 'block')} of observations",
            f"at most {_many(n_samples, 'sample')} described",
        )
    )
    rows.append(
        (
            "search",
            _many(config.search.n_trials, "candidate"),
            f"{config.search.n_tokens:,} tokens each",
        )
    )
    rows.append(
        ("characterize", config.characterize.task, f"{config.characterize.n_train} labelled rows")
    )
    return rows


def n_views(config: StudyConfig, encoder: EncoderConfig) -> int | None:
    """The number of views of an encoder. None where its depth is not known before it is loaded."""
    family, _, name = encoder.ref.partition(":")
    if family in ("lsa", "static"):
        return 1
    depth = config.neobertas[name].model.n_layers if name in config.neobertas else None
    if encoder.layers == "all" and depth is None:
        return None
    layers = range(depth + 1) if encoder.layers == "all" and depth is not None else encoder.layers
    at_the_end = [pooling for pooling in encoder.poolings if is_last_layers_only(pooling)]
    has_last = depth is None or depth in layers
    return len(layers) * (len(encoder.poolings) - len(at_the_end)) + has_last * len(at_the_end)


def probes_per_block(config: StudyConfig) -> int:
    """The number of probes of one (task, view), if the task has enough rows for every size."""
    return n_probes_of(config.sweep, max(config.sweep.sizes))


def _sweep_cost(config: StudyConfig, tasks: Sequence[str]) -> str:
    """The cost of the sweep, in words. Tasks and encoders of unknown size have the assumed one."""
    blocks: list[BlockShape] = []
    for task in tasks:
        n_rows = _n_rows(config, task)
        for encoder in config.encoders:
            block: BlockShape = {
                "n_train": n_rows * 3 // 4,
                "n_test": n_rows // 4,
                "n_classes": ASSUMED_CLASSES,
                "n_columns": _width(config, encoder) * (PAIR_FACTOR if "pair" in task else 1),
                "spec": config.sweep.model_dump(mode="json"),
            }
            blocks += [block] * _n_views_or_assumed(config, encoder)
    seconds, n_bytes = predict_cost(blocks)
    return (
        f"about {seconds / 3600:,.2g} core-hours and {n_bytes / 1e6:,.0f} MB (where unknown, a task"
        f" is taken to have {ASSUMED_ROWS:,} rows and {ASSUMED_CLASSES} classes, an encoder"
        f" {ASSUMED_LAYERS} layers of width {ASSUMED_WIDTH})"
    )


def _embed_size(config: StudyConfig, tasks: Sequence[str]) -> str:
    """The size of the vectors of all texts and views on the storage, in words. Tasks and encoders
    of unknown size have the assumed one."""
    n_texts = sum(_n_rows(config, task) * (2 if "pair" in task else 1) for task in tasks)
    n_bytes = sum(
        segment_bytes(n_texts, _width(config, encoder), _n_views_or_assumed(config, encoder))
        for encoder in config.encoders
    )
    return f"about {n_bytes / 1e6:,.0f} MB for {n_texts:,} texts"


def _n_rows(config: StudyConfig, task: str) -> int:
    return config.docs.max_rows_per_task if task.startswith("docs/") else ASSUMED_ROWS


def _width(config: StudyConfig, encoder: EncoderConfig) -> int:
    family, _, name = encoder.ref.partition(":")
    if name in config.neobertas:
        return config.neobertas[name].model.hidden_size
    return int(name) if family == "lsa" and name.isdecimal() else ASSUMED_WIDTH


def _n_views_or_assumed(config: StudyConfig, encoder: EncoderConfig) -> int:
    return n_views(config, encoder) or ASSUMED_LAYERS * len(encoder.poolings)


def _task_size(config: StudyConfig, task: str) -> str:
    return (
        f"at most {config.docs.max_rows_per_task:,} rows"
        if task.startswith("docs/")
        else f"rows {UNKNOWN}"
    )


def _pretrain_size(config: StudyConfig, run: PretrainConfig) -> str:
    parameters = run.model.n_parameters(config.tokenizer.vocab_size)
    total = sum(parameters.values())
    pflop = FLOPS_PER_PARAMETER_TOKEN * total * run.n_tokens / 1e15
    size = f"{total / 1e6:.1f} M parameters, {run.n_tokens / 1e6:,.1f} M tokens"
    return f"{size}, {_many(run.n_workers, 'worker')}, about {pflop:,.3g} PFLOP"


def _many(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
