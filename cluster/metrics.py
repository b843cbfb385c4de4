"""Counters that Ray exports to Prometheus beside its own, on the metrics port of the node that counts.

Invariant: counting never starts Ray and never fails. What is counted before Ray is there is handed over with the first count
afterwards; where it never comes, or is an embedded one, which exports nothing, nothing happens.
"""

import sys
from typing import Any


class Counter:
    """A sum that only grows. Prometheus sees `NAME` as `ray_NAME_total`."""

    def __init__(self, name: str, description: str, labels: tuple[str, ...] = ()):
        self.name, self.description, self.labels = name, description, labels
        self._waiting: dict[tuple[str, ...], float] = {}
        self._exported: Any = None
        self._connection: str | None = None

    def add(self, value: float, **labels: str) -> None:
        """Count `value`, which is 0 or more. `labels` are those the counter was made with: all of them. Raises ValueError."""
        if set(labels) != set(self.labels) or value < 0:
            raise ValueError(f"{self.name} takes the labels {self.labels} and values from 0 (got {labels}, {value})")
        key = tuple(labels[name] for name in self.labels)
        self._waiting[key] = self._waiting.get(key, 0.0) + value
        if self._is_connected():
            for waiting, total in self._waiting.items():
                if total > 0:
                    self._exported.inc(total, dict(zip(self.labels, waiting, strict=True)))
            self._waiting = {}

    def _is_connected(self) -> bool:
        """Whether there is a Ray to count in; the counter is made anew for each connection."""
        ray = sys.modules.get("ray")
        if ray is None or not ray.is_initialized():
            return False
        connection = ray.get_runtime_context().get_worker_id()
        if connection != self._connection:
            from ray.util.metrics import Counter as RayCounter

            self._exported, self._connection = RayCounter(self.name, self.description, self.labels), connection
        return True
