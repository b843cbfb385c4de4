"""Two fidelities: cheap ridge probes in every embedding space, and logistic probes only where they
could change which space is best."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from probes.sweep.planned_block import PlannedBlock, TaskSpace

MARGIN = 0.01
"""A space whose accuracy is within this fraction of the best is always a contender: ridge and
logistic probes differ by about that much."""
N_ERRORS = 2.0
"""A space is also a contender if its accuracy is within this many standard errors of the best."""

SpaceId = tuple[str, str, int, str]
"""task_fingerprint, encoder_fingerprint, layer, pooling."""


def contenders(results: pd.DataFrame) -> set[SpaceId]:
    """The spaces that may be the best of their task, from ridge rows of `probes.sweep.results`.
    They are compared by their mean leave-one-out accuracy at the task's largest size, which looks
    at no test row."""
    ridge = results[(results["probe"] == "ridge") & results["C_selected"]]
    found: set[SpaceId] = set()
    for _, rows in ridge.groupby("task_fingerprint"):
        largest = rows[rows["n_train"] == rows["n_train"].max()]
        space = ["task_fingerprint", "encoder_fingerprint", "layer", "pooling"]
        accuracy = largest.groupby(space)["loo_accuracy"].mean()
        best = float(accuracy.max())
        error = np.sqrt(best * (1 - best) / largest["n_train"].iloc[0])
        found |= set(accuracy.index[accuracy >= best - max(MARGIN, N_ERRORS * error)])
    return found


def contender_blocks(blocks: Sequence[PlannedBlock], chosen: set[SpaceId]) -> list[PlannedBlock]:
    """The planned blocks whose embedding space is among `chosen`."""
    return [block for block in blocks if _space(block) in chosen]


def _space(block: TaskSpace) -> SpaceId:
    return (
        block["task_fingerprint"],
        block["encoder"]["fingerprint"],
        int(block["layer"]),
        block["pooling"],
    )
