"""Telemetry that never costs an answer: around whatever counts and whatever exports costs, in every build.

A library of metrics or a sink of costs is foreign code. What it raises ends here and is logged, once per turn; outside of
turns once for as long as the process runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Final
from weakref import WeakSet

from openrouter_pipe.adapters.observability.context import Scope, current
from openrouter_pipe.ports.telemetry import CostSink, CostSnapshot, Metrics

_log: Final = logging.getLogger(__name__)


class SteadyMetrics:
    """`Metrics` around another one that may raise."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._told: WeakSet[Scope] = WeakSet()

    def count(self, name: str, amount: float = 1.0, labels: Mapping[str, str] | None = None) -> None:
        """See `Metrics.count`."""
        try:
            self._metrics.count(name, amount, labels)
        except Exception as error:  # noqa: BLE001 - the edge: a number that is not kept is no reason to end a turn
            _tell(self._told, "metrics", error)

    def gauge(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """See `Metrics.gauge`."""
        try:
            self._metrics.gauge(name, value, labels)
        except Exception as error:  # noqa: BLE001 - the same edge
            _tell(self._told, "metrics", error)

    def observe(self, name: str, value: float, labels: Mapping[str, str] | None = None) -> None:
        """See `Metrics.observe`."""
        try:
            self._metrics.observe(name, value, labels)
        except Exception as error:  # noqa: BLE001 - the same edge
            _tell(self._told, "metrics", error)


class SteadyCostSink:
    """`CostSink` around another one that may raise, or be cancelled on its own."""

    def __init__(self, sink: CostSink) -> None:
        self._sink = sink
        self._told: WeakSet[Scope] = WeakSet()

    async def record(self, user_id: str, snapshot: CostSnapshot, ttl_seconds: int) -> None:
        """See `CostSink.record`."""
        try:
            await self._sink.record(user_id, snapshot, ttl_seconds)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            _tell(self._told, "the costs", error)
        except Exception as error:  # noqa: BLE001 - the edge: costs that cannot be exported are no reason to end a turn
            _tell(self._told, "the costs", error)


def steady_costs(sink: CostSink | None) -> CostSink | None:
    """``sink``, made steady, where there is one."""
    return None if sink is None else SteadyCostSink(sink)


def _tell(told: WeakSet[Scope], what: str, error: BaseException) -> None:
    scope = current()
    if scope not in told:
        told.add(scope)
        _log.warning("%s could not be kept: %s", what, type(error).__name__, exc_info=error)
