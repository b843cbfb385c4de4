"""A study: the configuration that every stage reads, and the place where the stages run (storage,
Ray, ledger)."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, field_validator, model_validator

from cluster.storage import Storage, UserError, digest
from meta.metamodel.observation_blocks import ObservationSpec
from meta.search import SearchSpace
from neoberta.config import PretrainConfig
from neoberta.near_miss import did_you_mean
from probes.encoders.reference import check_pooling
from probes.sweep.spec import SweepSpec
from probes.tasks.docs.registry import docs_task
from ray_jobs.config import StrictModel, apply_overrides, read_yaml, validate
from ray_jobs.counters import STAGE_SECONDS
from ray_jobs.progress import ProgressCallback, StageProgress

ALREADY_THERE = "already there"
PRESETS = ("smoke", "laptop", "full")


class DocsConfig(StrictModel):
    """The tasks and texts that are built from the documentation strings of installed packages."""

    packages: tuple[str, ...] | None = None
    """Packages to read. Null means every known package that is installed."""
    max_rows_per_task: int = Field(4000, ge=100)
    """Largest number of rows of a task, over all splits."""


class TokenizerConfig(StrictModel):
    vocab_size: int = Field(8192, ge=512)
    max_texts: int = Field(60_000, ge=100)
    """Documents (docstrings of train files) that the tokenizer and the NeoBERTas learn from."""


class EncoderConfig(StrictModel):
    """An encoder of the study and the views of it that are probed."""

    ref: str
    """`hf:ID`, `lsa:DIM`, `static:FILE`; `neoberta:NAME` and `random:NAME` name one of the study's
    own `neobertas`."""
    layers: Literal["all"] | Annotated[tuple[NonNegativeInt, ...], Field(min_length=1)] = "all"
    poolings: tuple[str, ...] = Field(("cls", "mean", "max"), min_length=1)
    """`cls`, `mean`, `max`, `last`; averages of layers such as `mean_all`, `mean_last4`,
    `mean_ends`, which only the last layer has; `sentence`; `cross_cls` and so on for pairs of
    texts. Those that an encoder lacks are left out of it."""
    trust_remote_code: bool = False
    """Whether an `hf:` encoder may run the Python code that its folder brings. Read it first."""

    @field_validator("poolings")
    @classmethod
    def _known(cls, poolings: tuple[str, ...]) -> tuple[str, ...]:
        for name in poolings:
            try:
                check_pooling(name)
            except UserError as error:
                raise ValueError(str(error)) from error
        return poolings

    @property
    def name(self) -> str:
        """The name of the encoder in tables."""
        return self.ref.removeprefix("neoberta:") if self.ref.startswith("neoberta:") else self.ref


class MetamodelConfig(StrictModel):
    """Which samples the metamodel learns from."""

    observations: ObservationSpec = ObservationSpec()
    views_per_encoder: int = Field(4, ge=1)
    """How many views of each encoder are observed. They are spread over depth and pooling."""
    with_shipped: bool = True
    """Learn also from the observations that ship, which come from public tasks. The evaluation uses
    the study's own tasks only."""
    tune: bool = False
    """Choose the metamodel's hyperparameters inside every fold of the evaluation. This takes
    minutes of a core for each task family."""


class CharacterizeConfig(StrictModel):
    """The demonstration: `characterize` on a task that the metamodel has never seen."""

    task: str
    """Reference of the task. The metamodel does not learn from it."""
    n_train: int = Field(200, ge=20)
    n_eval: int = Field(500, ge=20)
    target: float = Field(0.9, gt=0, le=1)


class SearchConfig(StrictModel):
    """The meta-search for a NeoBERTa."""

    space: SearchSpace = SearchSpace()
    n_trials: int = Field(6, ge=1)
    n_tokens: int = Field(200_000, ge=1000)
    """Token budget of each candidate."""
    n_labelled: int = Field(128, ge=16)
    """Labelled rows of each of the search's tasks."""
    horizon: int = Field(4, ge=1)
    """The metric is predicted at this multiple of `n_labelled`."""
    n_tasks: int = Field(2, ge=1)
    """How many tasks judge a candidate: the first single-text tasks of the study that the metamodel
    was fitted on."""


class StudyConfig(StrictModel):
    """Everything that a study does; the presets in `ray_jobs/configs` are examples."""

    name: str
    seed: int = Field(0, ge=0)
    tasks: tuple[str, ...] = Field(min_length=1)
    """Task references: folders, CSV files, hub names, `docs/NAME` (docs/probes.md)."""
    docs: DocsConfig = DocsConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    neobertas: dict[str, PretrainConfig] = Field(default_factory=dict)
    """The NeoBERTas to pretrain, by name."""
    encoders: tuple[EncoderConfig, ...] = Field(min_length=1)
    texts_per_shard: int = Field(1000, ge=1)
    """How many texts one embedding task encodes and publishes at once. An interrupted job repeats
    at most these."""
    sweep: SweepSpec = SweepSpec()
    metamodel: MetamodelConfig = MetamodelConfig()
    characterize: CharacterizeConfig
    search: SearchConfig = SearchConfig()

    @field_validator("tasks")
    @classmethod
    def _unique(cls, tasks: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({task for task in tasks if tasks.count(task) > 1})
        if twice:
            raise ValueError(f"task {twice[0]} is listed twice")
        for task in tasks:
            if task.startswith("docs/"):
                docs_task(task.removeprefix("docs/"))
        return tasks

    @model_validator(mode="after")
    def _observations_are_swept(self) -> "StudyConfig":
        observed = self.metamodel.observations
        extra = sorted(set(observed.sizes) - set(self.sweep.sizes))
        if extra:
            raise ValueError(
                f"metamodel.observations.sizes: {extra[0]} is not among sweep.sizes, so its truth"
                " is not measured"
            )
        if observed.subset not in self.sweep.subsets:
            raise ValueError(
                f"metamodel.observations.subset: {observed.subset} is not among sweep.subsets"
            )
        return self

    @model_validator(mode="after")
    def _encoders_exist(self) -> "StudyConfig":
        for encoder in self.encoders:
            family, _, name = encoder.ref.partition(":")
            is_own = family in ("neoberta", "random") and re.fullmatch(r"[\w.-]+", name)
            if is_own and name not in self.neobertas and not Path(name).exists():
                known = ", ".join(self.neobertas) or "none"
                raise ValueError(
                    f"encoder {encoder.ref} names no NeoBERTa of this study (neobertas: {known})"
                )
        return self


def load_study(
    path: Path, overrides: Sequence[str] = (), extra_tasks: Sequence[str] = ()
) -> StudyConfig:
    """A study from a YAML file, with `--set` overrides and further tasks. Raises UserError."""
    value = apply_overrides(read_yaml(path), overrides)
    if extra_tasks:
        given = value.get("tasks", [])
        if not isinstance(given, list):
            raise UserError(
                f"{path.name}: tasks: must be a list of task references (got {given!r})"
            )
        value["tasks"] = [*given, *extra_tasks]
    return validate(StudyConfig, value, path.name)


def load_preset(
    name: str, overrides: Sequence[str] = (), extra_tasks: Sequence[str] = ()
) -> StudyConfig:
    """One of the studies that ship. Raises UserError."""
    if name not in PRESETS:
        raise UserError(
            f"--preset {name}: unknown; choose {', '.join(PRESETS)}, or run the stages on your own"
            f" YAML{did_you_mean(name, PRESETS)}"
        )
    return load_study(
        Path(str(files("ray_jobs") / "configs" / f"{name}.yaml")), overrides, extra_tasks
    )


class Study:
    """The place where a study's stages run. Ray starts only when a stage needs it, and stops when
    the study ends."""

    def __init__(self, config: StudyConfig, out: str, *, n_stages: int, address: str | None = None):
        self.config = config
        self.storage = Storage(out)
        self.progress = StageProgress(n_stages)
        self.address = address
        self._stack = ExitStack()
        self._has_ray = False
        self._made: str | None = None

    def __enter__(self) -> "Study":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    @property
    def log_path(self) -> Path:
        """The file that the output of Ray and its workers goes to."""
        root = Path(self.storage.uri) if self.storage.is_local else Path.cwd()
        return root / "logs" / "ray.log"

    def need_ray(self) -> None:
        """Start (or attach to) Ray, once."""
        if self._has_ray:
            return
        from cluster.session import session

        self.log_path.parent.mkdir(parents=True, exist_ok=True)
        opened = self._stack.enter_context(session(self.address, log_path=self.log_path))
        self._has_ray = True
        if opened.dashboard_url:
            self.progress.say(f"Ray dashboard: {opened.dashboard_url}")

    def made(self, n: int, what: str) -> None:
        """A stage calls this to say that it has made `n` of `what`. 0 means that all were there."""
        self._made = f"{n:,} {what}" if n else ALREADY_THERE

    def run(self, title: str, stage: Callable[["Study", ProgressCallback], Any]) -> Any:
        """Run one stage, and show it to the user. Its seconds are written to the ledger, also when
        it is interrupted. A stage that had nothing to do is not written."""
        started_at, start = datetime.now(UTC), time.perf_counter()
        self._made, status = None, "interrupted"
        try:
            with self.progress.stage(title, lambda: self._made or "") as report:
                result = stage(self, report)
            status = "done"
            return result
        finally:
            if self._made != ALREADY_THERE:
                seconds = time.perf_counter() - start
                STAGE_SECONDS.add(seconds, stage=title)
                entry = {
                    "stage": title,
                    "started_at": started_at.isoformat(),
                    "seconds": seconds,
                    "status": status,
                }
                self.storage.write_json(f"ledger/{started_at:%Y%m%dT%H%M%S.%f}.json", entry)

    def ledger(self) -> list[dict[str, Any]]:
        """Every run of every stage, the oldest first: stage, started_at, seconds, status."""
        return [self.storage.read_json(key) for key in self.storage.keys("ledger")]

    def once(self, kind: str, key_of: Any, make: Callable[[], Any]) -> Any:
        """The JSON result of `make`. It is made once, stored under a key made of `key_of`, and read
        from then on."""
        key = f"{kind}/{digest(key_of)}.json"
        if self.storage.exists(key):
            return self.storage.read_json(key)
        result = make()
        self.storage.write_json(key, result)
        return result
