"""A block of probes as it is planned, and the result of running it.

All of it is plain JSON, because it travels to workers. The names of the keys are those that earlier
versions wrote.
"""

from typing import Any, NamedTuple, TypedDict

from probes.encoders.base import EncoderFacts


class TaskSpace(TypedDict):
    """One embedding space (encoder, layer, pooling) of one task."""

    task: str
    """The task's name."""
    task_fingerprint: str
    task_family: str
    encoder_name: str
    """The name of the encoder in tables."""
    encoder: EncoderFacts
    layer: int
    pooling: str


class BlockShape(TypedDict):
    """Everything that the cost of a block depends on."""

    n_train: int
    n_test: int
    n_classes: int
    n_columns: int
    """Columns of the matrix that probes see."""
    spec: dict[str, Any]
    """The SweepSpec as JSON."""


class BlockContent(TaskSpace, BlockShape):
    """What a block's probes are fitted on, and which probes they are."""


class PlannedBlock(BlockContent):
    """A block that a worker can run."""

    key: str
    """The key of its table on the storage, `probes/<digest>.parquet`."""
    storage: str
    """The storage's URI."""


class BlockBatch(TypedDict):
    """Blocks that one worker runs one after the other."""

    blocks: list[PlannedBlock]


class ProbeGroup(NamedTuple):
    """The probes of a block that share their size and their kind of subset."""

    n_train: int
    subset: str


class BlockResult(TypedDict):
    """What one run of a block did."""

    key: str
    n_probes: int
    """Probes that were fitted now."""
    solver_seconds: float
    wall_seconds: float
    bytes: int
    """Bytes that were written now."""


class BatchResult(TypedDict):
    """What one run of a batch did: the sums over its blocks."""

    keys: list[str]
    n_probes: int
    solver_seconds: float
    wall_seconds: float
    bytes: int
