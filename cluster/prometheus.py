"""Counters that Ray exports to Prometheus beside its own. They appear on the metrics port of the
node that counts.

Invariant: counting never starts Ray and never fails. What is counted before Ray is there is kept,
and passed on at the next count after Ray has started. Nothing is exported where Ray never starts,
or where it is an embedded one.
"""

import sys
from typing import Any, ClassVar


class Counter:
    """A sum that only grows. Prometheus sees it as `ray_NAME_total`."""

    _all: ClassVar[list["Counter"]] = []

    def __init__(self, name: str, description: str, labels: tuple[str, ...] = ()):
        self.name, self.description, self.labels = name, description, labels
        self._waiting: dict[tuple[str, ...], float] = {}
        self._exported: Any = None
        self._connection: str | None = None
        self._all.append(self)

    def add(self, value: float, **labels: str) -> None:
        """Count `value`, which is 0 or more. `labels` must be all those that the counter was made
        with. Raises ValueError."""
        if set(labels) != set(self.labels) or value < 0:
            raise ValueError(
                f"{self.name} takes the labels {self.labels} and values from 0 (got {labels},"
                f" {value})"
            )
        key = tuple(labels[name] for name in self.labels)
        self._waiting[key] = self._waiting.get(key, 0.0) + value
        ray = sys.modules.get("ray")
        if ray is not None and ray.is_initialized():
            connection = ray.get_runtime_context().get_worker_id()
            for counter in self._all:
                counter._hand_over(connection)

    def _hand_over(self, connection: str) -> None:
        """Pass the waiting counts on to Ray. A new connection to Ray needs a new counter of
        Ray's."""
        if not self._waiting:
            return
        if connection != self._connection:
            from ray.util.metrics import Counter as RayCounter

            self._exported, self._connection = (
                RayCounter(self.name, self.description, self.labels),
                connection,
            )
        for key, total in self._waiting.items():
            if total > 0:
                self._exported.inc(total, dict(zip(self.labels, key, strict=True)))
        self._waiting = {}
