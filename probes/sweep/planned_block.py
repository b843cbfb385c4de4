"""A block of probes, as it is planned, and what became of it.

All of it is plain JSON: it travels to workers, and its keys are those that earlier versions wrote.
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
    """How tables call the encoder."""
    encoder: EncoderFacts
    layer: int
    pooling: str


class BlockShape(TypedDict):
    """What a block costs depends on this alone."""

    n_train: int
    n_test: int
    n_classes: int
    n_columns: int
    """Columns of the matrix that probes see."""
    spec: dict[str, Any]
    """The SweepSpec as JSON."""


class BlockContent(TaskSpace, BlockShape):
    """What a block's probes are fitted on, and which they are."""


class PlannedBlock(BlockContent):
    """A block that a worker can run."""

    key: str
    """Its table on the storage, `probes/<digest>.parquet`."""
    storage: str
    """The storage's URI."""


class BlockBatch(TypedDict):
    """Blocks that one worker runs one after the other."""

    blocks: list[PlannedBlock]


class ProbeGroup(NamedTuple):
    """The probes of a block that share their size and kind of subset."""

    n_train: int
    subset: str


class BlockResult(TypedDict):
    """What running a block did."""

    key: str
    n_probes: int
    """Fitted now."""
    solver_seconds: float
    wall_seconds: float
    bytes: int
    """Written now."""


class BatchResult(TypedDict):
    """What running a batch did: the sums over its blocks."""

    keys: list[str]
    n_probes: int
    solver_seconds: float
    wall_seconds: float
    bytes: int
