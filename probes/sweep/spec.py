"""Which probes are fitted in every block of a sweep."""

from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from probes.sweep.subsets import parse_kind

RIDGE_CS = tuple(float(f"{10.0**power:.6g}") for power in np.arange(-5, 1.01, 0.5))
"""Inverse penalties of the ridge probe (`probes.solvers.ridge`), from strong to weak."""

ProbeKind = Literal[
    "ridge", "logistic", "ridge_balanced", "logistic_balanced", "centroid", "knn", "lda"
]


class SweepSpec(BaseModel):
    """Which probes are fitted in every block."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sizes: tuple[int, ...] = Field((16, 32, 64, 128, 256, 512, 1024), min_length=1)
    """Training rows of a probe. Sizes above the number of a task's training rows are left out."""
    n_seeds: int = Field(5, ge=1)
    """Number of subsets drawn at each size."""
    subsets: tuple[str, ...] = Field(("stratified",), min_length=1)
    """Kinds of subset (`probes.sweep.subsets`): `stratified`, `noisy:0.2`, ..."""
    probes: tuple[ProbeKind, ...] = Field(("ridge", "logistic"), min_length=1)
    """Kinds of probe. In `*_balanced` rows are weighted so that every class counts the same. All
    kinds but the logistic ones are fitted at every size and seed."""
    ridge_Cs: tuple[float, ...] = Field(RIDGE_CS, min_length=1)
    logistic_Cs: tuple[float, ...] = Field((0.01, 0.1, 1.0, 10.0, 100.0), min_length=1)
    logistic_sizes: tuple[int, ...] = (32, 128, 512)
    """Sizes at which the logistic probe is fitted too (the second fidelity). Those that are not
    among `sizes` are left out."""
    logistic_n_seeds: int = Field(2, ge=0)
    """How many subsets of each such size get the logistic probe: seeds 0, 1, ..."""
    logistic_where: Literal["everywhere", "contenders"] = "everywhere"
    """`contenders`: only in the embedding spaces of a task that may be its best by their ridge
    probes (`probes.sweep.fidelity`). The other spaces get ridge probes alone."""
    logistic_folds: int = Field(3, ge=2)
    """Folds of the cross-validation, inside the subset, that chooses the logistic probe's C."""
    max_test_rows: int = Field(1000, ge=10)
    """Test rows on which probes are scored: the same rows for every probe of a task."""

    @field_validator("sizes", "logistic_sizes")
    @classmethod
    def _sizes_ascend(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if any(size < 2 for size in sizes):
            raise ValueError("sizes are numbers of rows from 2 up")
        return tuple(sorted(set(sizes)))

    @field_validator("subsets")
    @classmethod
    def _kinds_are_known(cls, kinds: tuple[str, ...]) -> tuple[str, ...]:
        for kind in kinds:
            parse_kind(kind)
        return kinds

    @field_validator("ridge_Cs", "logistic_Cs")
    @classmethod
    def _cs_ascend(cls, Cs: tuple[float, ...]) -> tuple[float, ...]:
        if any(C <= 0 for C in Cs):
            raise ValueError("C is an inverse regularisation strength above 0")
        return tuple(sorted(set(Cs)))

    @model_validator(mode="after")
    def _contenders_are_found_by_ridge(self) -> "SweepSpec":
        if (
            self.logistic_where == "contenders"
            and self.logistic_kinds
            and "ridge" not in self.probes
        ):
            raise ValueError(
                "logistic_where: contenders are found by the ridge probe; add ridge to probes"
            )
        return self

    @property
    def fidelities(self) -> list["SweepSpec"]:
        """The passes over the blocks, the cheap one first: this spec alone, or first all its probes
        but the logistic ones and then the logistic ones."""
        if self.logistic_where == "everywhere" or not self.logistic_kinds:
            return [self]
        others = tuple(kind for kind in self.probes if kind not in self.logistic_kinds)
        passes = (others, tuple(self.logistic_kinds))
        return [
            self.model_copy(update={"probes": probes, "logistic_where": "everywhere"})
            for probes in passes
        ]

    @property
    def ridge_kinds(self) -> list[str]:
        """The ridge probes among `probes`."""
        return [kind for kind in ("ridge", "ridge_balanced") if kind in self.probes]

    @property
    def logistic_kinds(self) -> list[str]:
        """The logistic probes among `probes`."""
        return [kind for kind in ("logistic", "logistic_balanced") if kind in self.probes]

    @property
    def cheap_kinds(self) -> list[str]:
        """The probes among `probes` that have no regularisation to choose."""
        return [kind for kind in ("centroid", "knn", "lda") if kind in self.probes]

    @property
    def n_base_subsets(self) -> int:
        """How many subsets of each size get the probes that are not logistic."""
        return self.n_seeds if self.ridge_kinds or self.cheap_kinds else 0

    def n_logistic_subsets(self, size: int) -> int:
        """How many subsets of `size` rows get the logistic probes."""
        is_wanted = self.logistic_kinds and size in self.logistic_sizes
        return min(self.n_seeds, self.logistic_n_seeds) if is_wanted else 0
