"""What every `Clock`, `Ids` and `Randomness` does alike: the system's, and those that a test owns."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC

import pytest

from openrouter_pipe.adapters.memory import CountingIds, ManualClock, SteadyRandomness
from openrouter_pipe.adapters.system import SystemClock, SystemIds, SystemRandomness
from openrouter_pipe.ports.runtime import Clock, Ids, Randomness


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock(auto=True)], ids=["system", "manual"])
async def test_time_goes_on_with_sleep(clock: Clock) -> None:
    day, before = clock.now(), clock.monotonic()
    assert day.tzinfo is UTC
    await clock.sleep(0.01)
    assert clock.monotonic() - before >= 0.009
    assert clock.now() >= day


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
async def test_a_sleep_of_nothing_yields_once(clock: Clock) -> None:
    others: list[int] = []
    asyncio.get_running_loop().call_soon(others.append, 1)
    await clock.sleep(0)
    assert others == [1]


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
async def test_a_sleep_can_be_cancelled(clock: Clock) -> None:
    task = asyncio.ensure_future(clock.sleep(3600))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("ids", [SystemIds(), CountingIds()], ids=["system", "counting"])
def test_ids_have_their_shapes_sort_by_time_and_never_come_twice(ids: Ids) -> None:
    artifacts = [ids.artifact_id() for _ in range(1000)]
    assert all(re.fullmatch("[0-9A-HJKMNP-TV-Z]{20}", one) for one in artifacts)
    assert artifacts == sorted(set(artifacts))
    errors = {ids.error_id() for _ in range(1000)}
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in errors)
    items = {ids.item_id("msg_") for _ in range(1000)}
    assert all(re.fullmatch("msg_[0-9a-z]{16,}", one) for one in items)
    assert len(errors) == len(items) == 1000


@pytest.mark.parametrize("randomness", [SystemRandomness(), SteadyRandomness()], ids=["system", "steady"])
@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (20.0, 120.0), (0.5, 0.5)])
def test_chance_stays_within_its_bounds(randomness: Randomness, low: float, high: float) -> None:
    assert all(low <= randomness.uniform(low, high) <= high for _ in range(200))
