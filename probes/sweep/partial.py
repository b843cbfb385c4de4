"""The part of a block that has been fitted so far. When a worker is killed, only seconds of work
are lost, however long the block is.

A part is one Parquet file with whole groups of probes (all probes of one size and one kind of
subset). It is published by an atomic rename. The parts are removed when the block itself is
published.
"""

import time
from collections.abc import Iterable

import pyarrow as pa

from cluster.storage import CorruptArtefactError, Storage
from probes.sweep.planned_block import ProbeGroup
from probes.sweep.results import PROBE_RESULTS_SCHEMA

PART_SECONDS = 4.0
"""New groups are published when fitting them took this many seconds. A short block never writes a
part."""


class PartialBlock:
    """The parts of the block `key` on a storage."""

    def __init__(self, storage: Storage, key: str):
        self._storage = storage
        self._prefix = _prefix_of(key)
        self._fresh: list[pa.Table] = []
        self._since = time.perf_counter()
        self.n_found = 0
        """Number of probes that `tables` found."""

    def tables(self) -> dict[ProbeGroup, pa.Table]:
        """Every group that lies there complete. A part that fails its checksums, or has another
        schema, is removed."""
        found: dict[ProbeGroup, pa.Table] = {}
        for key in self._storage.keys(self._prefix):
            try:
                table = self._storage.read_table(key)
            except CorruptArtefactError:
                self._storage.delete(key)
                continue
            if table.schema.equals(PROBE_RESULTS_SCHEMA):
                frame = table.select(["n_train", "subset"]).to_pandas()
                for group, places in frame.groupby(
                    ["n_train", "subset"], sort=False
                ).indices.items():
                    found[ProbeGroup(int(group[0]), str(group[1]))] = table.take(places)
            else:
                self._storage.delete(key)
        self.n_found = sum(map(len, found.values()))
        return found

    def add(self, table: pa.Table) -> None:
        """Keep a group. Publish the kept groups when they took PART_SECONDS."""
        self._fresh.append(table)
        if time.perf_counter() - self._since >= PART_SECONDS:
            first = self._fresh[0].select(["n_train", "subset"]).slice(0, 1).to_pylist()[0]
            name = f"{first['n_train']}-{first['subset'].replace(':', '-')}"
            self._storage.write_table(
                f"{self._prefix}/{name}.parquet", pa.concat_tables(self._fresh)
            )
            self._fresh, self._since = [], time.perf_counter()

    def clear(self) -> None:
        """Remove the parts."""
        for key in self._storage.keys(self._prefix):
            self._storage.delete(key)


def clear_leftovers(storage: Storage, done: Iterable[str]) -> None:
    """Remove the parts of blocks that are `done`. A worker may have been killed after it published
    its block and before it removed them."""
    with_parts = {key.rpartition("/")[0] for key in storage.keys("parts")}
    for key in done:
        if _prefix_of(key) in with_parts:
            PartialBlock(storage, key).clear()


def _prefix_of(key: str) -> str:
    return f"parts/{key.rpartition('/')[2].removesuffix('.parquet')}"
