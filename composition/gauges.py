"""The gauges that nobody's turn moves: told every few seconds for as long as metrics are kept.

Names and units stand in docs/telemetry.md. What a turn counts itself is not here (`openrouter_pipe.domain.turn.metering`).
"""

from __future__ import annotations

from typing import Final

from openrouter_pipe.adapters.memory.telemetry import NullMetrics
from openrouter_pipe.composition.policies import turn_policies
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.domain.admission import Admission
from openrouter_pipe.domain.breakers import Breakers, Scope
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.ports.runtime import Clock
from openrouter_pipe.ports.telemetry import Metrics

EVERY: Final = 10.0
"""Seconds between two looks."""


class Gauges:
    """Looks at the process-wide services of one pipe; `run` is a background worker."""

    def __init__(
        self,
        metrics: Metrics,
        admission: Admission,
        breakers: Breakers,
        catalog: CatalogService,
        latest: LatestSettings,
        clock: Clock,
    ) -> None:
        self._metrics = metrics
        self._admission = admission
        self._breakers = breakers
        self._catalog = catalog
        self._latest = latest
        self._clock = clock

    async def run(self) -> None:
        """Look and tell until cancelled; at once done where no metrics are kept."""
        while not isinstance(self._metrics, NullMetrics):
            self.tell()
            await self._clock.sleep(EVERY)

    def tell(self) -> None:
        """One look. What is not known yet is not told."""
        self._metrics.gauge("turns_running", self._admission.running)
        self._metrics.gauge("turns_waiting", self._admission.waiting)
        if (age := self._catalog.age()) is not None:
            self._metrics.gauge("catalog_age_seconds", age)
        if self._latest.settings is not None:
            is_open = self._breakers.open(turn_policies(self._latest.settings).breaker)
            for scope in Scope:
                self._metrics.gauge("breakers_open", is_open[scope], {"scope": scope.value})
