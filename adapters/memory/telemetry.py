"""Counts and costs kept in dictionaries, or thrown away."""

from __future__ import annotations

import math
from collections.abc import Mapping

from openrouter_pipe.ports.telemetry import CostSnapshot

_Key = tuple[str, tuple[tuple[str, str], ...]]


def _key(name: str, labels: Mapping[str, str] | None) -> _Key:
    return name, tuple(sorted((labels or {}).items()))


class MemoryMetrics:
    """`Metrics` that can be read back: ``counters``, ``gauges`` and ``observations`` by (name, sorted labels)."""

    def __init__(self) -> None:
        self.counters: dict[_Key, float] = {}
        self.gauges: dict[_Key, float] = {}
        self.observations: dict[_Key, list[float]] = {}

    def count(self, name: str, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Add to a counter."""
        if amount >= 0:
            key = _key(name, labels)
            self.counters[key] = self.counters.get(key, 0.0) + amount

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Set a gauge."""
        self.gauges[_key(name, labels)] = value

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Append to a histogram."""
        self.observations.setdefault(_key(name, labels), []).append(value)


class NullMetrics:
    """`Metrics` that keeps nothing; used where no metrics library is installed."""

    def count(self, name: str, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """Do nothing."""

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Do nothing."""

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """Do nothing."""


class MemoryCostSink:
    """`CostSink` into a list of (user id, snapshot)."""

    def __init__(self) -> None:
        self.snapshots: list[tuple[str, CostSnapshot]] = []

    async def record(self, user_id: str, snapshot: CostSnapshot, ttl_seconds: int) -> None:
        """Append the snapshot, unless something of it is missing."""
        texts = (user_id, snapshot.guid, snapshot.email, snapshot.name, snapshot.model)
        if all(texts) and snapshot.usage and math.isfinite(snapshot.ts):
            self.snapshots.append((user_id, snapshot))
