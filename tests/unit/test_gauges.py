"""The gauges that no turn moves: breakers by scope, the catalogue's age, turns that run and wait."""

from __future__ import annotations

import asyncio

import pytest

from openrouter_pipe.adapters.memory import MemoryMetrics, NullMetrics
from openrouter_pipe.adapters.memory.provider import ScriptedCatalog
from openrouter_pipe.adapters.memory.runtime import ManualClock
from openrouter_pipe.composition.gauges import EVERY, Gauges
from openrouter_pipe.composition.policies import connection
from openrouter_pipe.composition.served import LatestSettings
from openrouter_pipe.domain.admission import Admission, AdmissionPolicy
from openrouter_pipe.domain.breakers import BreakerPolicy, Breakers
from openrouter_pipe.domain.catalog.service import CatalogService
from openrouter_pipe.ports.settings import read_settings

POLICY = BreakerPolicy(max_failures=2, window_seconds=60, history_size=5)


class House:
    """The services, and what the gauges say of them."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = MemoryMetrics()
        self.admission = Admission()
        self.breakers = Breakers(self.clock)
        self.catalog = CatalogService(ScriptedCatalog(({"id": "a/b"},)), self.clock)
        self.latest = LatestSettings("p")
        self.gauges = self.make(self.metrics)

    def make(self, metrics: MemoryMetrics | NullMetrics) -> Gauges:
        return Gauges(metrics, self.admission, self.breakers, self.catalog, self.latest, self.clock)

    def told(self) -> dict[str, float]:
        self.gauges.tell()
        return {
            "/".join([name, *(value for _, value in labels)]): told
            for (name, labels), told in self.metrics.gauges.items()
        }


async def test_what_is_not_known_yet_is_not_told() -> None:
    assert House().told() == {"turns_running": 0, "turns_waiting": 0}


async def test_everything_is_told() -> None:
    house = House()
    house.latest.settings = read_settings({"BREAKER_MAX_FAILURES": 2, "BREAKER_WINDOW_SECONDS": 60})
    await house.catalog.current(connection(house.latest.settings), 3600)
    for key in [("request", "u1"), ("request", "u1"), ("request", "u2"), *[("tool", "u1", "dice")] * 3]:
        house.breakers.failure(key, POLICY)
    house.clock.advance(30)
    async with house.admission.permit("u1", AdmissionPolicy(5)):
        assert house.told() == {
            "turns_running": 1,
            "turns_waiting": 0,
            "catalog_age_seconds": 30,
            "breakers_open/request": 1,
            "breakers_open/tool": 1,
            "breakers_open/store": 0,
        }
    house.breakers.success(("request", "u1"))
    assert house.told()["breakers_open/request"] == 0
    house.clock.advance(30)
    assert house.told()["breakers_open/tool"] == 0


@pytest.mark.parametrize("after", [0.0, 59.9, 60.0, 61.0])
def test_a_breaker_counts_as_open_exactly_while_it_allows_nothing(after: float) -> None:
    clock = ManualClock()
    breakers = Breakers(clock)
    for pause in (0, 5, 5):
        clock.advance(pause)
        breakers.failure(("store", "u"), POLICY)
    clock.advance(after)
    assert breakers.open(POLICY)["store"] == (not breakers.allows(("store", "u"), POLICY))


async def test_the_worker_looks_again_and_again_and_ends_at_once_where_nothing_is_kept() -> None:
    house = House()
    async with asyncio.timeout(1):
        await house.make(NullMetrics()).run()
    running = asyncio.create_task(house.gauges.run())
    await asyncio.sleep(0)
    house.metrics.gauges.clear()
    for _ in range(3):
        await asyncio.sleep(0)
        house.clock.advance(EVERY)
        await asyncio.sleep(0)
    assert ("turns_running", ()) in house.metrics.gauges
    running.cancel()
