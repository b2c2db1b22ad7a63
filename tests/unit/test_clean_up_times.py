"""When artifacts are cleaned up, by a clock that a test owns."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

import pytest

from openrouter_pipe.adapters.memory import ManualClock, SteadyRandomness
from openrouter_pipe.domain.clean_up import FIRST_AFTER, ORPHAN_AGE, CleanUp, CleanUpPolicy
from openrouter_pipe.ports.artifacts import ArtifactStoreError, StorePolicy
from openrouter_pipe.ports.settings import Secret

STORE = StorePolicy("pipe", Secret("key"))


class Shelf:
    """Notes what it is asked."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.times: list[float] = []
        self.limits: list[tuple[datetime, datetime]] = []
        self.failure = False

    async def clean_up(self, older_than: datetime, policy: StorePolicy) -> int:
        assert policy is STORE
        self.times.append(self.clock.monotonic())
        if self.failure:
            raise ArtifactStoreError("out of reach")
        self.limits.append((older_than, older_than))
        return 1

    async def delete_orphans(self, older_than: datetime, policy: StorePolicy) -> int:
        self.limits[-1] = (self.limits[-1][0], older_than)
        return 2


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.shelf = Shelf(self.clock)
        self.policy: CleanUpPolicy | None = CleanUpPolicy(3600.0, timedelta(days=90), STORE)
        self.service = CleanUp(self.shelf, self.clock, SteadyRandomness(), lambda: self.policy)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(int(seconds // 10)):
            self.clock.advance(10)
            for _ in range(5):
                await asyncio.sleep(0)


@pytest.fixture
async def bench() -> object:
    bench = Bench()
    task = asyncio.create_task(bench.service.run())
    await asyncio.sleep(0)
    yield bench
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_soon_after_the_start_and_then_at_every_interval(bench: Bench) -> None:
    await bench.pass_time(FIRST_AFTER[0] - 10)
    assert bench.shelf.times == []
    await bench.pass_time(3 * 3600)
    first, *later = bench.shelf.times
    assert FIRST_AFTER[0] <= first <= FIRST_AFTER[1]
    assert later == [first + 3600, first + 7200]
    old, orphaned = bench.shelf.limits[0]
    now = bench.clock.now() - timedelta(seconds=bench.clock.monotonic() - first)
    assert (now - old, now - orphaned) == (timedelta(days=90), ORPHAN_AGE)


async def test_what_takes_long_to_load_is_loaded_before_the_first_turn() -> None:
    class Heavy(Shelf):
        loaded = 0

        async def preload(self) -> None:
            self.loaded += 1

    clock = ManualClock()
    shelf = Heavy(clock)
    task = asyncio.create_task(CleanUp(shelf, clock, SteadyRandomness(), lambda: None).run())
    await asyncio.sleep(0)
    assert (shelf.loaded, shelf.times) == (1, [])
    task.cancel()


async def test_a_changed_interval_and_age_take_effect_at_once(bench: Bench) -> None:
    await bench.pass_time(1000)
    assert len(bench.shelf.times) == 1
    bench.policy = CleanUpPolicy(1800.0, timedelta(days=1), STORE)
    await bench.pass_time(1860)
    assert len(bench.shelf.times) == 2
    assert bench.shelf.limits[1][0] == bench.clock.now() - timedelta(days=1) - (
        timedelta(seconds=bench.clock.monotonic() - bench.shelf.times[1])
    )
    bench.policy = CleanUpPolicy(86400.0, timedelta(days=1), STORE)
    await bench.pass_time(7200)
    assert len(bench.shelf.times) == 2


async def test_nothing_happens_until_the_settings_are_known(bench: Bench) -> None:
    known, bench.policy = bench.policy, None
    await bench.pass_time(7200)
    assert bench.shelf.times == []
    bench.policy = known
    await bench.pass_time(60)
    assert len(bench.shelf.times) == 1


async def test_a_store_out_of_reach_is_tried_again(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.shelf.failure = True
    await bench.pass_time(1200)
    assert len(bench.shelf.times) == 1
    assert "out of reach" in caplog.text
    bench.shelf.failure = False
    await bench.pass_time(3600)
    assert (len(bench.shelf.times), len(bench.shelf.limits)) == (2, 1)
